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
    /// Where the queue ended behind it, if it was put there here.
    pub(super) newest_at: u64,
    /// Up to here nothing is missing that no gap tells. Before the newest, while the session has
    /// come with a hole and nothing of the publisher was put in line since; behind it, when a gap
    /// has told what is still to come.
    pub(super) whole: Place,
}

impl Stream {
    /// What the holder had; `singles` are those which it let out beyond that.
    pub(super) fn of_holder(holder: Upto, singles: impl Iterator<Item = Place>) -> Stream {
        // At its end the holder's queue may lack what its node had dropped.
        let last = |last: Place, (after, upto): &(Place, Place)| match *upto >= last {
            true => last.min(*after),
            false => last,
        };
        let mut holes = holder.holes.clone();
        holes.sort_unstable();
        let newest = holes.iter().rev().fold(holder.last, last);
        let singles: Vec<Place> = singles.collect();
        let newest = singles.iter().copied().fold(newest, Place::max);
        // What is forwarded comes in order: with the last of a hole all of it has come.
        let mut open = holes
            .iter()
            .filter(|(_, upto)| upto.is_known() && *upto > holder.told && !singles.contains(upto));
        let whole = open.next().map_or(newest, |(after, _)| newest.min(*after));
        let whole = whole.max(holder.told);
        Stream {
            newest,
            whole,
            holder,
            ..Stream::default()
        }
    }

    /// A push is in line, which ends at `end` now; whatever is missing before it has been told.
    pub(super) fn appended(&mut self, place: Place, end: u64) {
        if place >= self.newest {
            (self.newest, self.newest_at) = (place, end);
        }
        self.whole = self.whole.max(self.newest);
    }

    /// A gap at the end of the line tells whatever is missing.
    pub(super) fn told(&mut self) {
        let heard = self.heard.unwrap_or_default();
        self.whole = self.whole.max(self.newest).max(heard);
    }

    /// Whether nothing can be missing between the queue's end and this.
    pub(super) fn is_next(&self, place: Place) -> bool {
        let told = place <= self.whole || self.whole.is_followed_by(place);
        place > self.newest && told
    }

    /// Whether the session still lacks something that this node heard and dropped before `place`.
    pub(super) fn lacks_before(&self, place: Place) -> bool {
        self.heard
            .is_some_and(|heard| self.whole < heard && heard < place)
    }

    /// The own copy of this came since the session was registered.
    pub(super) fn came(&mut self, place: Place) {
        self.own = self.own.max(Some(place));
        let first = self.heard.is_none();
        if first {
            self.heard = Some(place.before_its_batch());
        } else if self.heard >= Some(place) {
            // The journal was asked a moment after the registration.
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

    /// The same, as far as no gap has told it.
    pub(super) fn is_missing_untold(&self) -> bool {
        let holes = self.holes(Place::LAST);
        holes
            .iter()
            .any(|(_, upto)| upto.is_known() && *upto > self.whole)
    }

    /// Whether the holder has something that this node heard and dropped. Batches count from 1.
    pub(super) fn is_missing(&self) -> bool {
        self.holes(Place::LAST).iter().any(|(_, upto)| upto.seq > 0)
    }
}
