//! Which pushes may stand before which, in a session whose pushes come by two ways.

use super::Taken;
use super::stream::Stream;
use crate::rules::{Rule, holds};
use crate::takeover::{Identity, Place};

impl Taken {
    /// Whether nothing of its publisher can be missing between the queue's end and this push.
    pub(in crate::server::moving) fn is_next(&self, identity: &Identity) -> bool {
        let Some((publisher, place)) = identity.place() else {
            return false;
        };
        let next = match self.streams.get(&publisher) {
            Some(stream) => stream.is_next(place),
            None => Place::default().is_followed_by(place),
        };
        next || !holds(Rule::HeldStandsBehindGap)
    }

    /// The position behind all in line that a forward may have to come before: what is known to be
    /// later of its publisher; of a push without a number, every other one that came since.
    pub(in crate::server::moving) fn may_belong_before(&self, identity: &Identity) -> u64 {
        match identity.place() {
            Some(_) => self.overtaken(identity).unwrap_or_default(),
            None => self.other_at.max(self.end),
        }
    }

    /// If something later of its publisher is in line already, the position behind that.
    pub(in crate::server::moving) fn overtaken(&self, identity: &Identity) -> Option<u64> {
        let (publisher, place) = identity.place()?;
        let stream = self.streams.get(&publisher);
        let stream = stream.filter(|stream| stream.newest > place)?;
        Some(stream.newest_at.max(self.end))
    }

    /// Whether a former holder is still to forward something that comes before this own copy.
    /// Of one without a number nobody knows the publisher: it may be that of any other.
    pub(in crate::server::moving) fn overtakes(&self, identity: &Identity) -> bool {
        if self.given_up {
            return false;
        }
        let Some((publisher, place)) = identity.place() else {
            return !self.told_missing && self.lacks_others();
        };
        let stream = self.streams.get(&publisher);
        stream.is_some_and(|stream| stream.lacks_before(place))
    }

    /// A gap stands before an own copy that overtakes something. One says it of all without a number:
    /// each that is forwarded stands behind a gap of its own.
    pub(in crate::server::moving) fn told_missing(&mut self, identity: &Identity) {
        self.told_missing |= identity.place().is_none();
    }

    /// Whether this own copy may be older than what the session came with: the holder had missed
    /// something, as a gap there says, and of a push without a number nobody knows whether it was
    /// this one. Said once: what comes behind that gap comes in the order of this node.
    pub(in crate::server::moving) fn holder_may_have_missed(
        &mut self,
        identity: &Identity,
    ) -> Option<u64> {
        let other = identity.place().is_none();
        (other && std::mem::take(&mut self.holder_missed)).then_some(self.end)
    }

    /// No more is forwarded. Says whether something is missing that no gap has told.
    pub(in crate::server::moving) fn forwards_are_over(&mut self) -> bool {
        if self.given_up {
            return false;
        }
        let others = self.lacks_others() && !self.told_missing;
        let untold = others || self.streams.values().any(Stream::is_missing_untold);
        self.give_up_missing();
        if untold {
            self.told_all();
        }
        untold
    }

    /// A gap at the end of the line says of every publisher that something may be missing.
    pub(in crate::server::moving) fn told_all(&mut self) {
        self.streams.values_mut().for_each(Stream::told);
    }

    /// Whether a push without a number is still to be forwarded.
    pub(super) fn lacks_others(&self) -> bool {
        self.equals.is_missing() || !self.missing_messages.is_empty()
    }
}
