//! Which pushes may stand before which, in a session whose pushes come by two ways.

use super::Taken;
use crate::rules::{Rule, holds};
use crate::takeover::Identity;

impl Taken {
    /// Whether nothing of its publisher can be missing between the queue's end and this push.
    pub(in crate::server::moving) fn is_next(&self, identity: &Identity) -> bool {
        let Some((publisher, place)) = identity.place() else {
            return false;
        };
        let newest = self.streams.get(&publisher).map(|stream| stream.newest);
        newest.unwrap_or_default().is_followed_by(place) || !holds(Rule::HeldStandsBehindGap)
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

    /// Whether a push without a number is still to be forwarded.
    pub(super) fn lacks_others(&self) -> bool {
        self.equals.is_missing() || !self.missing_messages.is_empty()
    }
}
