//! What a session that came from another node knows of one publisher's numbers.

use crate::takeover::{Place, Upto};

/// What is known of one publisher's stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// What the holder had at its cut.
    pub(super) holder: Upto,
    /// The last that this node heard before it registered the session; if it had heard nothing,
    /// the last that it cannot have heard. The session got none of these by itself.
    pub(super) heard: Option<Place>,
    /// The newest own copy since.
    pub(super) own: Option<Place>,
    /// The newest in the session's queue.
    pub(super) newest: Place,
}

impl Stream {
    /// The own copy of this came since the session was registered.
    pub(super) fn came(&mut self, place: Place) {
        self.own = self.own.max(Some(place));
        let first = self.heard.is_none();
        if first || self.heard >= Some(place) {
            // Or else the journal was asked a moment after the registration.
            self.heard = Some(place.before());
        }
    }

    /// Whether the own copy of this came before the session was registered: it is gone.
    pub(super) fn dropped(&self, place: Place) -> bool {
        self.heard.is_some_and(|heard| place <= heard)
    }

    /// What the session lacks, when this node has heard everything up to `last`: from behind the
    /// first place up to and including the second. What the holder lacked is here only if it came
    /// between the registration and `last`.
    pub(super) fn holes(&self, last: Place) -> Vec<(Place, Place)> {
        let beyond = (self.holder.last, self.holder.last.max(last));
        let heard = self.heard.unwrap_or_default();
        let holes = self.holder.holes.iter().chain([&beyond]);
        holes
            .flat_map(|(after, upto)| {
                let before = (*after, (*upto).min(heard));
                let behind = ((*after).max(last).max(heard), *upto);
                [before, behind]
            })
            .filter(|(after, upto)| after < upto)
            .collect()
    }

    /// Whether the holder has something that this node heard and dropped. Batches count from 1.
    pub(super) fn is_missing(&self) -> bool {
        self.holes(Place::LAST).iter().any(|(_, upto)| upto.seq > 0)
    }
}
