//! Whether this node may speak for the cluster, and who tells.

use super::Roster;
use super::answers::NotReady;
use super::peer::{Life, Peer};
use crate::ids::NodeId;
use crate::millis::Millis;
use crate::presence::Epoch;
use crate::presence::rules::{Rule, holds};

/// Beats of one's own that have to come back first.
const BEATS: u32 = 2;

/// A node that has heard nobody who is ready waits so long, in milliseconds.
const COLD_MS: u64 = 3_000;

/// Members are those known so long ago, in milliseconds.
pub(super) const MEMBERS_MS: u64 = 10_000;

/// A node that was ready stays so while a peer is behind, if it comes nearer within this, in
/// milliseconds: a lost delta must not change who tells.
const BEHIND_MS: u64 = 3_000;

/// A peer whose users cannot be had after so many questions without an answer, or digests that did
/// not match, keeps nobody from being ready: these misses take two minutes.
const HOPELESS_MISSES: u32 = 8;
const HOPELESS_DIGESTS: u32 = 3;

/// The same when the bus says that nobody listens where it is asked, though its beats come: about
/// five seconds. No node is without its doors for so long, so it is none, or a broken one, and must
/// not keep the cluster from telling.
const HOPELESS_DOORS: u32 = 4;

impl Roster {
    /// Works out whether this node is ready, and who tells.
    pub(super) fn assess(&mut self, now: Millis) {
        self.verdict = self.judge(now);
        self.teller = self.choose();
    }

    fn judge(&self, now: Millis) -> Result<(), NotReady> {
        let hearing = &self.hearing;
        if !hearing.up {
            return Err(NotReady::BusDown);
        }
        if !hearing.hears() && self.own.epoch.is_some() {
            return Err(NotReady::Deaf);
        }
        let beats = hearing.beats >= BEATS || !holds(Rule::ReadyAfterTwoBeats);
        let alive = || self.peers.values().filter(|peer| peer.is_alive());
        let cold = now >= hearing.started.plus(COLD_MS) && holds(Rule::ColdClusterIsReady);
        if self.own.epoch.is_none() || !beats || !(cold || alive().any(|peer| peer.ready)) {
            return Err(NotReady::Young);
        }
        let behind = alive().filter(|peer| self.waits_for(peer, now)).count();
        if behind > 0 && holds(Rule::ReadyWhenSynced) {
            return Err(NotReady::Syncing(behind));
        }
        self.majority(now)
    }

    fn waits_for(&self, peer: &Peer, now: Millis) -> bool {
        let hopeless = peer.misses >= HOPELESS_MISSES
            || peer.closed_doors >= HOPELESS_DOORS
            || peer.unmatched >= HOPELESS_DIGESTS;
        let since = peer.contradicted.unwrap_or(peer.behind_since);
        let patient = self.verdict.is_ok() && now < since.plus(BEHIND_MS);
        let behind = peer.sync.is_some() && !hopeless;
        (behind || peer.contradicted.is_some()) && !patient
    }

    fn majority(&self, now: Millis) -> Result<(), NotReady> {
        let then = now.0.checked_sub(MEMBERS_MS).map(Millis);
        let known = |since: Millis| then.is_some_and(|then| since <= then);
        let counts = |peer: &Peer| match peer.life {
            Life::Alive => true,
            Life::Left(_) if holds(Rule::ByeDoesNotCount) => false,
            Life::Silent(at) | Life::Left(at) => !known(at),
        };
        let me = known(self.hearing.started).then_some((&self.me, true));
        let peers = self.peers.iter();
        let peers = peers.filter(|(_, peer)| known(peer.since) && counts(peer));
        let peers = peers.map(|(id, peer)| (id, peer.is_alive()));
        let (mut members, mut heard) = (0, 0);
        let mut lowest: Option<(&NodeId, bool)> = None;
        for (id, alive) in peers.chain(me) {
            members += 1;
            heard += usize::from(alive);
            if lowest.is_none_or(|(lowest, _)| id < lowest) {
                lowest = Some((id, alive));
            }
        }
        let lost = members - heard;
        let without_lowest = lowest.is_some_and(|(_, alive)| !alive);
        if (heard < lost && holds(Rule::MinorityIsNotReady))
            || (heard == lost && without_lowest && holds(Rule::HalfNeedsLowest))
        {
            return Err(NotReady::Minority { heard, members });
        }
        Ok(())
    }

    fn choose(&self) -> Option<NodeId> {
        let ready = self.verdict.is_ok() || !holds(Rule::ReadyGatesTelling);
        let me = self.own.epoch.filter(|_| ready);
        let me = me.map(|epoch| (epoch, &self.me));
        let peers = self.peers.iter();
        let peers = peers.filter(|(_, peer)| peer.is_alive() && peer.ready);
        let peers = peers.map(|(id, peer)| (peer.epoch, id));
        let rank = |(epoch, id): &(Epoch, &NodeId)| {
            let epoch = if holds(Rule::LowestEpochTells) {
                *epoch
            } else {
                Epoch(0)
            };
            (epoch, (*id).clone())
        };
        peers.chain(me).min_by_key(rank).map(|(_, id)| id.clone())
    }
}
