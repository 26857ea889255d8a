//! What the feed told, heard by somebody who misses nothing, and judged at once.

use crate::world::World;
use bytes::Bytes;
use std::collections::BTreeMap;
use tengen_protocol::Uid;
use tengen_protocol::presence::{Differs, Feed, Said};

/// A user is told as gone wrongly if one of its clients has been there, for all to hear, for so long.
const SURE_MS: u64 = 8_000;
/// How often a teller marks where the feed stands.
pub(crate) const MARK_MS: u64 = 5_000;
/// A process that lives for so long under a teller that says something has heard what was told.
const LOADS_MS: u64 = 8_000;

/// The feed as it was told.
#[derive(Default)]
pub(crate) struct Told {
    /// What was said last of each user, and when.
    pub(crate) last: BTreeMap<Uid, (bool, u64)>,
    /// How many events of each.
    pub(crate) events: BTreeMap<Uid, u64>,
    pub(crate) reloaded_at: u64,
    pub(crate) changed_at: u64,
    /// Since when the same process has told without a break, and when it did last.
    pub(crate) run: (u64, u64),
    /// What was told before then, a teller has begun without.
    unsure_until: u64,
    /// When each process said anything last.
    said: BTreeMap<(usize, u32), u64>,
    /// When a node named each user last.
    named: BTreeMap<Uid, u64>,
}

impl World {
    /// Node `slot` tells this.
    pub(crate) fn hear_the_feed(&mut self, slot: usize, body: &Bytes) {
        let feed = Feed::decode(body).expect("a node tells what can be read");
        let who = (slot, self.life(slot));
        let goes_on = self
            .told
            .said
            .get(&who)
            .is_some_and(|at| at + MARK_MS + 500 > self.now);
        let only = self
            .told
            .said
            .iter()
            .all(|(other, at)| *other == who || *at < self.told.run.0);
        if !goes_on || !only || feed.said == Said::Reload {
            self.told.run.0 = self.now;
        }
        self.told.run.1 = self.now;
        self.told.said.insert(who, self.now);
        match feed.said {
            Said::Reload => {
                self.say(|| format!("node {slot} tells reload"));
                self.told.reloaded_at = self.now;
                if self.could_not_know(slot) {
                    self.told.unsure_until = self.now;
                }
                self.totals.told_reload += 1;
            }
            Said::Mark => {}
            Said::Change { opens, closes } => {
                self.say(|| format!("node {slot} tells {opens:?} come, {closes:?} gone"));
                self.told.changed_at = self.now;
                self.totals.told_open += opens.len() as u64;
                self.totals.told_closed += closes.len() as u64;
                for uid in closes {
                    self.judge_close(slot, &uid);
                    self.hear_event(slot, uid, false);
                }
                for uid in opens {
                    self.hear_event(slot, uid, true);
                }
            }
        }
    }

    fn hear_event(&mut self, slot: usize, uid: Uid, open: bool) {
        let last = self.told.last.get(&uid).copied();
        let (before, at) = last.unwrap_or((false, self.now));
        let excused = at < self.told.unsure_until
            || self.plan.has_loose_bus()
            || self.is_repeat_excused(slot, &uid);
        assert!(
            before != open || excused,
            "node {slot} tells {uid} {open} again, as was told {} ms ago",
            self.now - at
        );
        *self.told.events.entry(uid.clone()).or_default() += 1;
        self.told.last.insert(uid, (open, self.now));
    }

    /// On a bus that loses nothing nobody tells what is told already, whoever comes, goes or pauses;
    /// but for who is named, and by a teller that nobody could have told what was told before.
    fn is_repeat_excused(&self, slot: usize, uid: &Uid) -> bool {
        if self.plan.is_gentle() {
            return false;
        }
        let named = self
            .told
            .named
            .get(uid)
            .is_some_and(|at| at + 500 > self.now);
        named || self.could_not_know(slot)
    }

    /// No teller has said anything for so long that this process must have heard what was told.
    fn could_not_know(&self, slot: usize) -> bool {
        let who = (slot, self.life(slot));
        let others = self.told.said.iter().filter(|(other, _)| **other != who);
        let last = others.map(|(_, at)| *at).max().unwrap_or(0);
        last < self.nodes[slot].sound_since + LOADS_MS
    }

    /// Whether the teller is a new life of one that told a moment ago: if its clock was set back,
    /// followers take it for the old one until that has been silent for 16 s.
    pub(crate) fn teller_came_again(&self) -> bool {
        let lately = self
            .told
            .said
            .iter()
            .filter(|(_, at)| **at + 25_000 > self.now);
        let slots: Vec<usize> = lately.map(|((slot, _), _)| *slot).collect();
        slots.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Node `slot` answers for the base: it has told something itself.
    pub(crate) fn judge_base(&self, slot: usize) {
        let who = (slot, self.life(slot));
        let tells = self.told.said.contains_key(&who);
        assert!(tells, "node {slot} gives out a base and has told nothing");
    }

    /// A node names these to the teller.
    pub(crate) fn hear_named(&mut self, body: &Bytes) {
        for uid in Differs::decode(body).unwrap().uids {
            self.told.named.insert(uid, self.now);
        }
    }

    /// Nobody is told as gone who has been there for long, where all could hear it.
    fn judge_close(&self, slot: usize, uid: &Uid) {
        let user = &self.users[self.user_of(uid)];
        let sure = self.now - SURE_MS;
        let flaps = user
            .clients
            .iter()
            .find(|client| client.since <= sure && self.nodes[client.node].is_sound_since(sure));
        assert!(
            flaps.is_none(),
            "node {slot} tells {uid} as gone, who is there: {flaps:?}"
        );
    }
}
