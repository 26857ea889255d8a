//! What a node sees and has been told, as plainly as can be.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::presence::{Announced, Page, Sum, Told};

pub(super) fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a uid")
}

pub(super) fn node(text: &str) -> NodeId {
    NodeId::parse(text).expect("a node id")
}

/// The roster's part in this: who is there, who is told, and since when both differ.
#[derive(Debug, Default)]
pub(super) struct View {
    announced: BTreeSet<Uid>,
    pub(super) told: BTreeSet<Uid>,
    since: BTreeMap<Uid, Millis>,
    /// Nodes that are known to be gone.
    pub(super) gone: BTreeSet<NodeId>,
}

impl View {
    pub(super) fn announce(&mut self, uid: &Uid, there: bool, now: Millis) {
        self.announced.set_told(uid, there, now);
        self.compare(uid, now);
    }

    fn compare(&mut self, uid: &Uid, now: Millis) {
        if self.announced.contains(uid) == self.told.contains(uid) {
            self.since.remove(uid);
        } else {
            self.since.entry(uid.clone()).or_insert(now);
        }
    }
}

impl Told for View {
    fn is_told(&self, uid: &Uid) -> bool {
        self.told.contains(uid)
    }

    fn set_told(&mut self, uid: &Uid, told: bool, now: Millis) {
        self.told.set_told(uid, told, now);
        self.compare(uid, now);
    }

    fn told_page(&self, after: Option<&Uid>, limit: usize) -> Page<Uid> {
        self.told.told_page(after, limit)
    }

    fn told_sum(&self) -> Sum {
        self.told.told_sum()
    }

    fn each_told(&self, after: Option<&Uid>, look: impl FnMut(&str) -> bool) {
        self.told.each_told(after, look);
    }

    fn retain_told_in(
        &mut self,
        after: Option<&Uid>,
        until: Option<&Uid>,
        told: &[Uid],
        now: Millis,
    ) {
        let before = self.told.clone();
        self.told.retain_told_in(after, until, told, now);
        for uid in before.iter().chain(told) {
            self.compare(uid, now);
        }
    }
}

impl Announced for View {
    fn is_announced(&self, uid: &Uid) -> bool {
        self.announced.contains(uid)
    }

    fn is_live(&self, node: &NodeId) -> bool {
        !self.gone.contains(node)
    }

    fn differing(&self) -> impl Iterator<Item = (&str, Millis, bool)> {
        let differing = self.since.iter();
        differing.map(|(uid, since)| (uid.as_str(), *since, self.announced.contains(uid)))
    }
}
