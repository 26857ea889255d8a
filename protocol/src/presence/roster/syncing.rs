//! Whom to ask for what, and what an answer changes.

use super::Roster;
use super::peer::{Ask, Fill, Peer};
use super::view::View;
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::presence::rules::{Rule, holds};
use crate::presence::{Delta, Snapshot, SyncAnswer, SyncReq, Unanswered};

/// Questions that are out at a time: what comes back at once has to fit.
const MAX_OUT: usize = 16;

/// An answer is late after this, in milliseconds, and asked for again.
pub const SYNC_TIMEOUT_MS: u64 = 700;

/// A question whose driver never came back is lost after this, in milliseconds.
const LOST_MS: u64 = 10_000;

/// The longest wait for a node that does not answer, in milliseconds.
const LONGEST_MS: u64 = 30_000;

/// What an answer came to.
enum Step {
    /// Nothing is missing.
    Whole,
    /// Something came, more is needed.
    Further,
    /// It was of no use.
    Useless,
}

impl Roster {
    /// Whom to ask for what, now. Each is answered by one [`Roster::answered`], after
    /// [`SYNC_TIMEOUT_MS`] by a [`Unanswered::Late`].
    pub fn take_asks(&mut self, now: Millis) -> Vec<(NodeId, SyncReq)> {
        if now < self.asks_due || !self.hearing.up {
            return Vec::new();
        }
        self.asks_due = Millis::MAX;
        let asks = self.peers.values();
        let asks = asks.filter_map(|peer| peer.sync.as_ref().map(|sync| sync.ask));
        let mut out = asks.filter(|ask| matches!(ask, Ask::Out(_))).count();
        let mut taken = Vec::new();
        for (node, peer) in &mut self.peers {
            let (seq, epoch) = (peer.seq, peer.epoch);
            let Some(sync) = &mut peer.sync else { continue };
            let Ask::At(at) = sync.ask else { continue };
            if at > now || out >= MAX_OUT {
                // One that has to wait for others is looked at again when one of them is back.
                if at > now {
                    self.asks_due = self.asks_due.min(at);
                }
                continue;
            }
            out += 1;
            sync.ask = Ask::Out(now);
            peer.asked_at = Some(now);
            let (have_seq, part, after) = match &sync.fill {
                Some(fill) => (Some(fill.seq), fill.part, fill.after.clone()),
                None if sync.trust => (Some(seq), 0, None),
                None => {
                    // What was heard until now is in what will be cut.
                    sync.forget();
                    (None, 0, None)
                }
            };
            let by = self.me.clone();
            let ask = SyncReq {
                by,
                epoch,
                have_seq,
                part,
                after,
            };
            taken.push((node.clone(), ask));
        }
        taken
    }

    /// The answer to what was asked of `node`. Costs by the users in it.
    pub fn answered(&mut self, node: &NodeId, answer: Result<SyncAnswer, Unanswered>, now: Millis) {
        self.look(now);
        // Those that had to wait for a place.
        self.asks_due = self.asks_due.min(now);
        if let Ok(SyncAnswer::Other { epoch }) = &answer {
            let known = self.peers.get(node).map(|peer| peer.epoch);
            let alive = self.peers.get(node).is_some_and(Peer::is_alive);
            if alive && known.is_some_and(|known| *epoch > known) && !self.is_wild(*epoch, known) {
                self.admit(node, *epoch, now);
            }
        }
        let until = now.plus(self.grace_ms);
        let random = self.random.below(SYNC_TIMEOUT_MS / 2);
        let Roster {
            peers, view, bans, ..
        } = self;
        let Some(peer) = peers.get_mut(node).filter(|peer| peer.is_alive()) else {
            return;
        };
        let Some(sync) = &mut peer.sync else {
            return;
        };
        if !matches!(sync.ask, Ask::Out(_)) {
            return;
        }
        let step = match answer {
            Ok(SyncAnswer::Deltas(deltas)) => peer.catch_up(node, deltas, view, now),
            Ok(SyncAnswer::Part(part)) => peer.take_in(node, &part, view, bans, until, now),
            Ok(SyncAnswer::Busy) => {
                sync.ask = Ask::At(now.plus(SYNC_TIMEOUT_MS / 2 + random));
                self.asks_due = self.asks_due.min(now.plus(SYNC_TIMEOUT_MS / 2));
                return;
            }
            Ok(SyncAnswer::Other { .. }) => Step::Useless,
            Err(why) => {
                peer.missed(why, random, now);
                return self.assess(now);
            }
        };
        match step {
            Step::Whole => peer.settle(until, view),
            Step::Further => {
                (peer.misses, peer.closed_doors) = (0, 0);
                peer.behind_since = now;
                peer.ask(now);
            }
            Step::Useless => {
                peer.missed(Unanswered::Nobody, random, now);
                peer.closed_doors = 0;
            }
        }
        self.assess(now);
    }

    /// Questions whose answer is lost are asked again.
    pub(super) fn tick_asks(&mut self, now: Millis) {
        for peer in self.peers.values_mut() {
            if let Some(sync) = &mut peer.sync
                && let Ask::Out(at) = sync.ask
                && now > at.plus(LOST_MS)
            {
                sync.ask = Ask::At(now);
                self.asks_due = now;
            }
        }
    }
}

impl Peer {
    fn ask(&mut self, at: Millis) {
        if let Some(sync) = &mut self.sync {
            sync.ask = Ask::At(at);
        }
    }

    fn missed(&mut self, why: Unanswered, random: u64, now: Millis) {
        self.misses = self.misses.saturating_add(1);
        self.closed_doors = match why {
            Unanswered::Nobody => self.closed_doors.saturating_add(1),
            Unanswered::Late | Unanswered::BusDown => 0,
        };
        if !holds(Rule::SyncIsRetried) {
            return;
        }
        // A late one has taken its 700 ms already.
        let wait = match why {
            Unanswered::Late if self.misses <= 2 => random / 2,
            _ => (SYNC_TIMEOUT_MS << self.misses.saturating_sub(1).min(6)).min(LONGEST_MS) + random,
        };
        if let Some(sync) = &mut self.sync
            && !holds(Rule::RetryFromMissingPart)
            && let Some(fill) = sync.fill.take()
        {
            self.old.push((fill.hold, false));
        }
        self.ask(now.plus(wait));
    }

    fn catch_up(
        &mut self,
        node: &NodeId,
        deltas: Vec<Delta>,
        view: &mut View,
        now: Millis,
    ) -> Step {
        let before = self.seq;
        let filling = self.sync.as_ref().is_some_and(|sync| sync.fill.is_some());
        for delta in deltas {
            let next = delta.seq == self.seq.saturating_add(1);
            if next && !filling && delta.node == *node && delta.epoch == self.epoch {
                self.apply(delta.seq, &delta.changes, view, now);
            }
        }
        if self.replay(view, now) {
            Step::Whole
        } else if self.seq > before {
            Step::Further
        } else {
            // The other node does not have what is missing: everything, then.
            if let Some(sync) = &mut self.sync {
                sync.trust = false;
            }
            Step::Useless
        }
    }

    fn take_in(
        &mut self,
        node: &NodeId,
        part: &Snapshot,
        view: &mut View,
        bans: &mut Vec<(Uid, u64)>,
        until: Millis,
        now: Millis,
    ) -> Step {
        let Some(sync) = &mut self.sync else {
            return Step::Useless;
        };
        let expected = sync.fill.as_ref().map_or(0, |fill| fill.part);
        if part.node != *node || part.epoch != self.epoch || part.part != expected {
            return Step::Useless;
        }
        if sync.fill.is_none() {
            let Some(hold) = view.hold(node) else {
                return Step::Useless;
            };
            sync.fill = Some(Fill {
                hold,
                seq: part.seq,
                part: 0,
                after: None,
            });
            bans.extend(part.bans.iter().cloned());
        }
        let Some(fill) = &mut sync.fill else {
            return Step::Useless;
        };
        for (uid, kinds) in part.users.iter() {
            view.set(uid, fill.hold, kinds, now);
        }
        if !holds(Rule::PartsCarryFirstSeq) {
            fill.seq = part.seq;
        }
        fill.part += 1;
        fill.after = part.users.last().map(Uid::known);
        if !part.is_last() {
            return Step::Further;
        }
        let (hold, seq) = (fill.hold, fill.seq);
        sync.fill = None;
        // From here on it is trusted: what is still missing are deltas behind `seq`.
        sync.trust = holds(Rule::RingReplays);
        self.old
            .push((std::mem::replace(&mut self.hold, hold), false));
        (self.seq, self.full_at) = (seq, None);
        let whole = self.replay(view, now);
        // The rest is about later deltas; what the snapshot has replaced goes now.
        let sync = self.sync.take();
        self.settle(until, view);
        if whole {
            return Step::Whole;
        }
        self.sync = sync;
        Step::Further
    }
}
