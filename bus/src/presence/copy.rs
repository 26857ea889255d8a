//! The copy of who is online, and what has changed in it since it was last looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use tengen_protocol::presence::{Page, Sum, Told};
use tengen_protocol::{Millis, Uid};

use super::Change;

/// Bounded by what one message or page says: [`Copy::take_change`] is called after each.
#[derive(Debug, Default)]
pub(super) struct Copy {
    uids: BTreeSet<Uid>,
    sum: Sum,
    /// Who came (true) or went; who did both is not in it.
    changed: BTreeMap<Uid, bool>,
}

impl Copy {
    pub(super) fn uids(&self) -> &BTreeSet<Uid> {
        &self.uids
    }

    pub(super) fn take_change(&mut self) -> Change {
        let mut change = Change::default();
        for (uid, came) in std::mem::take(&mut self.changed) {
            if came {
                change.opens.push(uid);
            } else {
                change.closes.push(uid);
            }
        }
        change
    }
}

impl Told for Copy {
    fn is_told(&self, uid: &Uid) -> bool {
        self.uids.contains(uid)
    }

    fn set_told(&mut self, uid: &Uid, told: bool, _: Millis) {
        if self.uids.contains(uid) == told {
            return;
        }
        if told {
            self.uids.insert(uid.clone());
        } else {
            self.uids.remove(uid);
        }
        self.sum.change(uid.as_str(), told);
        if self.changed.remove(uid).is_none() {
            self.changed.insert(uid.clone(), told);
        }
    }

    fn told_page(&self, after: Option<&Uid>, limit: usize) -> Page<Uid> {
        self.uids.told_page(after, limit)
    }

    fn told_sum(&self) -> Sum {
        self.sum
    }

    fn each_told(&self, after: Option<&Uid>, look: impl FnMut(&str) -> bool) {
        self.uids.each_told(after, look);
    }

    fn retain_told_in(
        &mut self,
        after: Option<&Uid>,
        until: Option<&Uid>,
        told: &[Uid],
        now: Millis,
    ) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let to = until.map_or(Bound::Unbounded, Bound::Included);
        let here = self.uids.range::<Uid, _>((from, to));
        let gone = here.filter(|uid| told.binary_search(uid).is_err());
        let gone: Vec<Uid> = gone.cloned().collect();
        gone.iter().for_each(|uid| self.set_told(uid, false, now));
        told.iter().for_each(|uid| self.set_told(uid, true, now));
    }
}
