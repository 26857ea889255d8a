//! The checker: what must be true at every step, when it has been quiet for a while, and at the end.

use crate::plan::BEGIN;
use crate::told::MARK_MS;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use tengen_protocol::presence::{Epoch, Kinds, Roster};
use tengen_protocol::{NodeId, Transport, Uid};

/// Reads a view whole, page by page.
pub(crate) fn view(roster: &Roster, only: Option<Transport>) -> Vec<(Uid, Kinds)> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = roster.page(after.as_ref(), 1_000, only);
        all.extend(page.users);
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

/// What a view knows of the nodes: id, epoch, users, anonymous, and whether all is known.
type Nodes = Vec<(NodeId, Epoch, u64, [u64; 2], bool)>;

fn nodes(roster: &Roster) -> Nodes {
    let nodes = roster.nodes();
    nodes
        .map(|it| (it.id.clone(), it.epoch, it.users, it.anonymous, it.synced))
        .collect()
}

/// Reads who is told, page by page.
fn told(roster: &Roster) -> Vec<Uid> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = roster.told_page(after.as_ref(), 1_000);
        all.extend(page.users);
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

/// That counts, lists and sets agree with each other: `any = ws ∪ poll`.
fn judge_counts(roster: &Roster, slot: usize) -> BTreeMap<Uid, Kinds> {
    let counts = roster.counts();
    let list = view(roster, None);
    let ordered = list.is_sorted_by(|one, other| one.0 < other.0);
    assert!(ordered, "node {slot} has a list without order: {list:?}");
    let all: BTreeMap<Uid, Kinds> = list.into_iter().collect();
    assert!(all.values().all(|kinds| !kinds.is_none()), "{all:?}");
    let has = |transport| {
        let its = all.iter().filter(move |(_, kinds)| kinds.has(transport));
        its.map(|(uid, kinds)| (uid.clone(), *kinds))
            .collect::<Vec<_>>()
    };
    let (ws, poll) = (has(Transport::Ws), has(Transport::Poll));
    let lengths = (ws.len(), poll.len(), all.len());
    let counted = (counts.ws, counts.poll, counts.any);
    assert_eq!(counted, lengths, "node {slot} counts other than it lists");
    assert_eq!(view(roster, Some(Transport::Ws)), ws, "node {slot}");
    assert_eq!(view(roster, Some(Transport::Poll)), poll, "node {slot}");
    all
}

impl World {
    /// After each step of a node: its diffs tell its view, its counts are those of its sets.
    pub(crate) fn look(&mut self, slot: usize) {
        let closely = self.plan.closely && self.chance.one_in(16);
        let node = &mut self.nodes[slot];
        let Some(member) = node.member.as_mut() else {
            return;
        };
        let diffs = member.take_diffs();
        let beats = member.roster().own_beats_back();
        assert!(
            member.ready().is_err() || beats >= 2,
            "node {slot} is ready after {beats} beats of its own"
        );
        if !self.plan.closely {
            return;
        }
        let mut last = None;
        for diff in diffs {
            assert!(last.as_ref() < Some(&diff.uid), "{diff:?} after {last:?}");
            let before = node.seen.get(&diff.uid).copied().unwrap_or_default();
            assert_eq!(before, diff.before, "node {slot} was not there: {diff:?}");
            match diff.now.is_none() {
                true => node.seen.remove(&diff.uid),
                false => node.seen.insert(diff.uid.clone(), diff.now),
            };
            last = Some(diff.uid);
        }
        if closely {
            let all = judge_counts(member.roster(), slot);
            assert_eq!(all, node.seen, "node {slot} has not told all its diffs");
        }
    }

    /// Quiet for TTL, grace and two beats: every ready view is the truth.
    pub(crate) fn judge_views(&mut self) {
        let truth = self.truth();
        let anonymous = self.anonymous();
        let mut ready = 0;
        let mut lists = BTreeSet::new();
        for (slot, node) in self.nodes.iter().enumerate() {
            let Some(member) = &node.member else { continue };
            if member.ready().is_err() {
                continue;
            }
            ready += 1;
            let roster = member.roster();
            lists.insert(nodes(roster));
            self.judge_view(slot, roster, &truth);
            let counts = roster.counts();
            assert_eq!(
                counts.anonymous, anonymous,
                "anonymous, as node {slot} sees it"
            );
        }
        let mut alive: Vec<&NodeId> = self
            .alive()
            .into_iter()
            .map(|slot| &self.nodes[slot].id)
            .collect();
        alive.sort();
        let agree = lists
            .iter()
            .all(|list| list.iter().map(|node| &node.0).eq(alive.iter().copied()));
        assert!(
            lists.len() <= 1 && agree,
            "nodes do not agree on the nodes {alive:?}: {lists:?}"
        );
        self.quiet = self.totals.synced;
        self.say(|| format!("{ready} views are right, of {} users", truth.len()));
    }

    fn judge_view(
        &self,
        slot: usize,
        roster: &Roster,
        truth: &BTreeMap<Uid, BTreeMap<NodeId, Kinds>>,
    ) {
        let together = |places: &BTreeMap<NodeId, Kinds>| {
            places
                .values()
                .fold(Kinds::NONE, |all, kinds| all.union(*kinds))
        };
        let list = view(roster, None);
        let wrong = list
            .iter()
            .zip(truth)
            .find(|(seen, (uid, places))| seen.0 != **uid || seen.1 != together(places));
        assert!(
            wrong.is_none() && list.len() == truth.len(),
            "node {slot} sees {} users of {}, and {wrong:?}",
            list.len(),
            truth.len()
        );
        for (uid, places) in truth.iter().filter(|_| self.plan.closely) {
            let seen: BTreeMap<NodeId, Kinds> = roster
                .uid(uid)
                .map(|(node, kinds)| (node.clone(), kinds))
                .collect();
            assert_eq!(seen, *places, "{uid}, as node {slot} sees it");
        }
        let counts = roster.counts();
        assert_eq!(
            counts.any,
            truth.len(),
            "node {slot} counts other than it lists"
        );
        if self.plan.closely {
            judge_counts(roster, slot);
        }
    }

    /// Under one teller for a while: everybody has heard what it told, by its marks at the latest.
    pub(crate) fn judge_followers(&self) {
        let (since, last) = self.told.run;
        let settled = since.max(self.told.changed_at) + MARK_MS + 3_000 < self.now;
        if !settled || last + MARK_MS + 500 < self.now || self.teller_came_again() {
            return;
        }
        let members = self.nodes.iter().filter_map(|node| node.member.as_ref());
        let ready = members.filter(|member| member.ready().is_ok());
        let tellers: BTreeSet<&NodeId> = ready
            .filter_map(|member| member.roster().teller())
            .collect();
        let Some(teller) = tellers.first().filter(|_| tellers.len() == 1) else {
            return;
        };
        let teller = self.nodes.iter().filter(|node| node.id == **teller);
        let Some(teller) = teller.filter_map(|node| node.member.as_ref()).next() else {
            return;
        };
        let base: BTreeSet<Uid> = told(teller.roster()).into_iter().collect();
        self.judge_consumers(&base);
        for (slot, node) in self.nodes.iter().enumerate() {
            if let Some(member) = &node.member {
                let heard: BTreeSet<Uid> = told(member.roster()).into_iter().collect();
                let other: Vec<&Uid> = base.symmetric_difference(&heard).take(5).collect();
                assert!(
                    other.is_empty(),
                    "node {slot} has not heard the feed: {other:?}"
                );
            }
        }
    }

    /// And later: all are ready, one tells, and the feed and all who follow it say the truth.
    pub(crate) fn judge_what_was_told(&mut self) {
        // One that was long in vain is asked again late.
        let synced = self.totals.synced - self.quiet;
        let still = synced <= self.alive().len() as u64;
        assert!(
            still,
            "{synced} times a node is synced while nothing happens"
        );
        self.judge_views();
        let truth: BTreeSet<Uid> = self.truth().into_keys().collect();
        let mut tellers = BTreeSet::new();
        for (slot, node) in self.nodes.iter().enumerate() {
            let Some(member) = &node.member else { continue };
            let ready = member.ready();
            assert!(ready.is_ok(), "node {slot} is not ready: {ready:?}");
            tellers.insert(member.roster().teller().cloned());
            let heard: BTreeSet<Uid> = told(member.roster()).into_iter().collect();
            let other: Vec<&Uid> = truth.symmetric_difference(&heard).take(5).collect();
            assert!(
                other.is_empty(),
                "node {slot} has been told other: {other:?}"
            );
        }
        let lives = |teller: &Option<NodeId>| {
            let is = |node: &crate::node::Node| {
                node.member.is_some() && Some(&node.id) == teller.as_ref()
            };
            self.nodes.iter().any(is)
        };
        assert!(
            tellers.len() == 1 && tellers.iter().all(lives),
            "there is not one teller: {tellers:?}"
        );
        self.judge_consumers(&truth);
        self.judge_feed(&truth);
    }

    /// The last event per user is the truth, or a reload or another teller came after it.
    fn judge_feed(&mut self, truth: &BTreeSet<Uid>) {
        let named = self.users.iter().filter_map(|user| user.uid.as_ref());
        for uid in named {
            let (open, at) = self.told.last.get(uid).copied().unwrap_or((false, 0));
            // A second teller is as good as a reload.
            let reloaded = self.told.reloaded_at.max(self.told.run.0) > at;
            assert!(
                open == truth.contains(uid) || reloaded,
                "{uid} was told as {open} at {}",
                at.saturating_sub(BEGIN)
            );
        }
        if !self.plan.is_gentle() {
            return;
        }
        // Each coming and going was told, and no more.
        for user in &mut self.users {
            user.pass(self.now);
            let Some(uid) = &user.uid else { continue };
            let told = self.told.events.get(uid).copied().unwrap_or(0);
            assert_eq!(told, user.events, "events of {uid}");
        }
    }

    /// Whoever was only at a node that died then is gone from all who could hear that it is silent.
    pub(crate) fn judge_mourned(&mut self, users: &[usize], died: u64) {
        if self.plan.has_loose_bus() {
            return;
        }
        for user in users {
            let it = &self.users[*user];
            let Some(uid) = &it.uid else { continue };
            if it.last_there() > died {
                continue;
            }
            for (slot, node) in self.nodes.iter().enumerate() {
                let judges = node.is_sound_since(died);
                let Some(member) = node.member.as_ref().filter(|_| judges) else {
                    continue;
                };
                let kinds = member.roster().kinds(uid);
                let gone = member.ready().is_err() || kinds.is_none();
                assert!(gone, "node {slot} still sees {uid}, who died with a node");
            }
        }
    }
}
