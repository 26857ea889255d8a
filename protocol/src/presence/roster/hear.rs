//! What a message changes.

use super::Roster;
use super::answers::Heard;
use super::peer::{Ask, Life, Peer};
use super::view::View;
use crate::ids::NodeId;
use crate::millis::Millis;
use crate::presence::rules::{Rule, holds};
use crate::presence::{Beat, Delta, Epoch, Message};

/// More nodes than any cluster has, the lately gone included.
const MAX_NODES: usize = 1_024;

/// An epoch beyond this, 2100-01-01 in milliseconds, cannot be a wall clock's.
const FAR: u64 = 4_102_444_800_000;

/// By so much, a year in milliseconds, an epoch may even then be beyond what is known.
const JUMP: u64 = 31_536_000_000;

/// Two claims of an own id within this, in milliseconds, are two processes.
const USURPED_MS: u64 = 60_000;

/// Digests that do not match are asked for again after this, in milliseconds, then after twice as
/// long, up to sixty-four times.
const MISMATCH_MS: u64 = 1_000;

/// A node of which only a lower epoch was heard for so long, in milliseconds, began again with a
/// clock that had stepped back: two of its beats, and none of the former life.
const AGAIN_MS: u64 = 2_500;

impl Roster {
    /// A message came. Costs by the users it names.
    pub fn hear(&mut self, message: Message, now: Millis) -> Heard {
        self.look(now);
        if *message.node() == self.me {
            return self.hear_own(&message, now);
        }
        let node = message.node().clone();
        let before = self.peers.get(&node).map(outlook);
        let heard = self.hear_peer(&node, message, now);
        if self.peers.get(&node).map(outlook) != before {
            self.assess(now);
        }
        heard
    }

    fn hear_own(&mut self, message: &Message, now: Millis) -> Heard {
        let epoch = message.epoch();
        // To go above the last one that others believe would be to be heard by nobody who comes later.
        let last = self.own.epoch.is_none_or(|mine| mine.0 <= FAR) && epoch.0 >= FAR;
        if last || self.is_wild(epoch, None) {
            return Heard::Wild;
        }
        let Some(mine) = self.own.epoch else {
            self.own.highest = self.own.highest.max(Some(epoch));
            return Heard::OwnEcho;
        };
        // Of one's own life, but not one's own: another process began in the same millisecond.
        let strange = match message {
            Message::Delta(delta) => delta.seq > self.own.seq,
            Message::Beat(beat) => beat.seq > self.own.seq,
            Message::Bye { .. } => !self.own.leaving,
        };
        if epoch > mine || (epoch == mine && strange) {
            return self.usurped(epoch, now);
        }
        if epoch < mine {
            return Heard::Old;
        }
        if let Message::Beat(beat) = message {
            let beats = self.hearing.beats;
            if self.hearing.echo(beat.at, now) && holds(Rule::FullTtlAfterFreeze) {
                for peer in self.peers.values_mut() {
                    peer.heard_at = now;
                }
            }
            if self.hearing.beats != beats && self.verdict.is_err() {
                self.assess(now);
            }
        }
        Heard::OwnEcho
    }

    fn usurped(&mut self, epoch: Epoch, now: Millis) -> Heard {
        if !holds(Rule::UsurpedGoesAbove) {
            return Heard::Old;
        }
        let last = self.own.usurped_at.replace(now);
        let lately = last.is_some_and(|last| now < last.plus(USURPED_MS));
        if lately && holds(Rule::DuplicateExits) {
            return Heard::Duplicate;
        }
        Heard::Usurped {
            epoch: Epoch(epoch.0.saturating_add(1)),
        }
    }

    /// Whether an epoch cannot be true: one that nobody could ever go above would keep its node
    /// out for good.
    pub(super) fn is_wild(&self, epoch: Epoch, known: Option<Epoch>) -> bool {
        let known = known.max(self.own.epoch).unwrap_or_default();
        epoch.0 > FAR.max(known.0.saturating_add(JUMP)) || epoch.0 == u64::MAX
    }

    fn hear_peer(&mut self, node: &NodeId, message: Message, now: Millis) -> Heard {
        let epoch = message.epoch();
        if self.is_wild(epoch, self.peers.get(node).map(|peer| peer.epoch)) {
            return Heard::Wild;
        }
        if let Message::Bye { .. } = message {
            return self.hear_bye(node, epoch, now);
        }
        if !self.admit(node, epoch, now) {
            let known = self.peers.contains_key(node);
            return if known { Heard::Old } else { Heard::TooMany };
        }
        let until = now.plus(self.grace_ms);
        let soon = now.plus(self.random.below(50));
        let Roster { peers, view, .. } = self;
        let Some(peer) = peers.get_mut(node) else {
            return Heard::TooMany;
        };
        let heard = match message {
            Message::Beat(beat) => {
                for (sum, which) in self.anonymous.iter_mut().zip(0..) {
                    *sum = sum
                        .wrapping_sub(peer.anonymous[which])
                        .wrapping_add(beat.anonymous[which]);
                }
                peer.heard_at = now;
                peer.beat(beat, view, until, soon, now)
            }
            Message::Delta(delta) => {
                if holds(Rule::AnyMessageIsLife) {
                    peer.heard_at = now;
                }
                peer.delta(delta, view, until, soon, now)
            }
            Message::Bye { .. } => Heard::Old,
        };
        if let Some(Ask::At(at)) = peer.sync.as_ref().map(|sync| sync.ask) {
            self.asks_due = self.asks_due.min(at);
        }
        heard
    }

    fn hear_bye(&mut self, node: &NodeId, epoch: Epoch, now: Millis) -> Heard {
        let until = now.plus(self.grace_ms);
        match self.peers.get_mut(node) {
            Some(peer) if epoch >= peer.epoch && peer.is_alive() && holds(Rule::ByeEnds) => {
                peer.epoch = epoch;
                self.anonymous = without(self.anonymous, peer);
                peer.lose(Life::Left(now), until, &mut self.view);
                Heard::Applied
            }
            _ => Heard::Old,
        }
    }

    /// Whether a node may be heard under `epoch`; begins its life, or a new one, if so.
    pub(super) fn admit(&mut self, node: &NodeId, epoch: Epoch, now: Millis) -> bool {
        let Some(peer) = self.peers.get_mut(node) else {
            if self.peers.len() >= MAX_NODES {
                return false;
            }
            let hold = self.view.hold(node);
            let peer = hold.map(|hold| Peer::new(epoch, hold, now));
            return peer.is_some_and(|peer| self.peers.insert(node.clone(), peer).is_none());
        };
        let lower = epoch < peer.epoch && holds(Rule::LowerEpochIgnored);
        match peer.life {
            Life::Alive if epoch == peer.epoch => {
                peer.contradicted = None;
                return true;
            }
            Life::Alive if lower && now < peer.contradicted.get_or_insert(now).plus(AGAIN_MS) => {
                return false;
            }
            // What was said before the Bye may still be on its way.
            Life::Left(at) if epoch <= peer.epoch && now < at.plus(self.ttl_ms) => return false,
            Life::Silent(_) if epoch == peer.epoch && self.view.revive(peer.hold) => peer.stays(),
            Life::Alive if !holds(Rule::NewEpochSyncs) => {
                peer.epoch = epoch;
                return true;
            }
            // A lower epoch after silence: it came again, and its clock had stepped back.
            _ => match self.view.hold(node) {
                Some(hold) => peer.renew(epoch, hold, &mut self.view),
                None => return false,
            },
        }
        if let Life::Silent(at) | Life::Left(at) = peer.life
            && now >= at.plus(super::verdict::MEMBERS_MS)
        {
            peer.since = now;
        }
        peer.life = Life::Alive;
        peer.heard_at = now;
        true
    }
}

/// What of a peer others depend on.
fn outlook(peer: &Peer) -> (Life, Epoch, bool, bool) {
    (peer.life, peer.epoch, peer.ready, peer.is_doubtful())
}

/// The cluster's clients without a uid, but for those of one node.
pub(super) fn without(anonymous: [u64; 2], peer: &Peer) -> [u64; 2] {
    [0, 1].map(|which| anonymous[which].wrapping_sub(peer.anonymous[which]))
}

impl Peer {
    fn delta(
        &mut self,
        delta: Delta,
        view: &mut View,
        until: Millis,
        soon: Millis,
        now: Millis,
    ) -> Heard {
        let Delta { seq, changes, .. } = delta;
        if seq <= self.seq && holds(Rule::OldIgnored) {
            return Heard::Old;
        }
        let next = seq == self.seq.saturating_add(1);
        let Some(sync) = &mut self.sync else {
            if next || !holds(Rule::GapSyncs) {
                self.apply(seq, &changes, view, now);
                self.settle(until, view);
                return Heard::Applied;
            }
            self.fall_behind(self.seq > 0, soon, now);
            if let Some(sync) = &mut self.sync {
                sync.keep(seq, changes);
            }
            return Heard::Gap;
        };
        // While a snapshot comes in, some users are filed under it already: its number decides.
        if let Some(fill) = &sync.fill {
            if seq > fill.seq {
                sync.keep(seq, changes);
            }
            return Heard::Applied;
        }
        let trust = sync.trust;
        if next {
            if !trust {
                sync.keep(seq, changes.clone());
            }
            self.apply(seq, &changes, view, now);
        } else {
            sync.keep(seq, changes);
            self.close_gap(soon);
        }
        if trust && next && self.replay(view, now) {
            self.settle(until, view);
        }
        Heard::Applied
    }

    fn beat(
        &mut self,
        beat: Beat,
        view: &mut View,
        until: Millis,
        soon: Millis,
        now: Millis,
    ) -> Heard {
        self.ready = beat.ready;
        self.anonymous = beat.anonymous;
        self.key_fingerprint = beat.key_fingerprint;
        if self.server_id != beat.server_id {
            self.server_id = beat.server_id;
        }
        if beat.seq > self.ahead && holds(Rule::BeatAheadSyncs) {
            self.ahead = beat.seq;
        }
        let filling = self.sync.as_ref().is_some_and(|sync| sync.fill.is_some());
        if filling || beat.seq < self.seq {
            return Heard::Applied;
        }
        if beat.seq > self.seq {
            if self.sync.is_some() || !holds(Rule::BeatAheadSyncs) {
                self.close_gap(soon);
                return Heard::Applied;
            }
            self.fall_behind(self.seq > 0, soon, now);
            return Heard::Gap;
        }
        if view.held(self.hold) == (beat.users, beat.digest) || !holds(Rule::DigestIsCompared) {
            (self.unmatched, self.full_at) = (0, None);
            self.settle(until, view);
            return Heard::Applied;
        }
        if self.sync.is_some() {
            return Heard::Applied;
        }
        if let Some(at) = self.full_at {
            // Only a gap was closed meanwhile.
            self.fall_behind(false, at.max(soon), now);
            return Heard::Differs;
        }
        self.unmatched = self.unmatched.saturating_add(1);
        let at = match self.unmatched {
            0..=1 => soon,
            _ if !holds(Rule::MismatchBacksOff) => soon,
            again => soon.plus(MISMATCH_MS << (again - 2).min(6)),
        };
        self.full_at = Some(at);
        self.fall_behind(false, at, now);
        Heard::Differs
    }
}
