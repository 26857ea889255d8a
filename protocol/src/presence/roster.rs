//! What this node knows of all nodes and their users: the merged view, without I/O or clock.

mod answers;
mod hear;
mod hearing;
mod holders;
mod peer;
mod rows;
mod syncing;
mod told;
mod verdict;
mod view;

use std::sync::Arc;

use self::hear::without;
use self::hearing::{Hearing, TICK_MS};
use self::holders::Hold;
use self::peer::{Life, Peers};
use self::view::View;
use super::rules::{Rule, holds};
use super::{Beat, Epoch, Kinds, Message, Options, Sum};
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::transport::Transport;

pub use self::answers::{Counts, Diff, Heard, NodeView, NotReady, Page};
pub use self::syncing::SYNC_TIMEOUT_MS;

/// Between two chunks of users that are taken out, in milliseconds.
const SWEEP_MS: u64 = 5;

/// A node that is gone is remembered so long, in milliseconds.
const GONE_MS: u64 = 30_000;

/// The merged view.
///
/// A lookup of one uid is a search among one number for each hundred users, which stay in the
/// processor's cache, and then as many steps whether there are ten thousand users or a million;
/// what grows is how much of them is in no cache. A hash would have as many of those steps, and
/// pages and snapshots need the order. Counts are kept, O(1). A message costs by the users it names,
/// not by how many there are.
#[derive(Debug)]
pub struct Roster {
    me: NodeId,
    ttl_ms: u64,
    grace_ms: u64,
    key_fingerprint: u64,
    own: Own,
    peers: Peers,
    view: View,
    hearing: Hearing,
    anonymous: [u64; 2],
    bans: Vec<(Uid, u64)>,
    verdict: Result<(), NotReady>,
    teller: Option<NodeId>,
    asks_due: Millis,
    random: Random,
}

/// What is known of this node itself.
#[derive(Debug)]
struct Own {
    epoch: Option<Epoch>,
    /// The highest epoch heard for this node's id before it had one.
    highest: Option<Epoch>,
    usurped_at: Option<Millis>,
    leaving: bool,
    seq: u64,
    hold: Option<Hold>,
    anonymous: [u64; 2],
    server_id: Arc<str>,
}

/// Spreads retries; splitmix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

impl Roster {
    /// A view of nothing yet. `seed` only spreads retries.
    pub fn new(me: NodeId, options: &Options, seed: u64, now: Millis) -> Roster {
        let mut view = View::new();
        let hold = view.hold(&me);
        Roster {
            me,
            ttl_ms: options.ttl_ms,
            grace_ms: options.longest_grace_ms(),
            key_fingerprint: options.key_fingerprint,
            own: Own {
                epoch: None,
                highest: None,
                usurped_at: None,
                leaving: false,
                seq: 0,
                hold,
                anonymous: [0; 2],
                server_id: options.server_id.clone(),
            },
            peers: Peers::new(),
            view,
            hearing: Hearing::new(now),
            anonymous: [0; 2],
            bans: Vec::new(),
            verdict: Err(NotReady::Young),
            teller: None,
            asks_due: Millis::MAX,
            random: Random(seed),
        }
    }

    /// This node begins, or goes on, under `epoch`; its users stay.
    pub fn begin(&mut self, epoch: Epoch, now: Millis) {
        self.look(now);
        self.own.epoch = Some(epoch);
        self.assess(now);
    }

    /// The highest epoch that was heard for this node's own id before [`Roster::begin`].
    pub fn highest_own(&self) -> Option<Epoch> {
        self.own.highest.filter(|_| holds(Rule::EpochAboveHeard))
    }

    /// Changes among this node's own users, as delta `seq` says them, and how many clients have no
    /// uid, by WebSocket and by polling. They do not come by echo: the view is right at once, bus
    /// or not.
    pub fn own(
        &mut self,
        epoch: Epoch,
        seq: u64,
        changes: &[(Uid, Kinds)],
        anonymous: [u64; 2],
        now: Millis,
    ) {
        self.look(now);
        if self.own.epoch != Some(epoch) {
            self.begin(epoch, now);
        }
        self.own.seq = seq;
        self.own.anonymous = anonymous;
        if let Some(hold) = self.own.hold {
            for (uid, kinds) in changes {
                self.view.set(uid.as_str(), hold, *kinds, now);
            }
        }
    }

    /// This node's next beat, to be published at once: what is not published was not said, and
    /// this node will think that it does not hear itself.
    pub fn beat(&mut self, server_id: &Arc<str>, now: Millis) -> Beat {
        self.look(now);
        self.hearing.said(now);
        if self.own.server_id != *server_id {
            self.own.server_id = server_id.clone();
        }
        let (users, digest) = self.own.hold.map_or((0, 0), |hold| self.view.held(hold));
        Beat {
            node: self.me.clone(),
            epoch: self.own.epoch.unwrap_or_default(),
            seq: self.own.seq,
            digest,
            users,
            anonymous: self.own.anonymous,
            ready: self.verdict.is_ok(),
            server_id: server_id.clone(),
            key_fingerprint: self.key_fingerprint,
            at: now,
        }
    }

    /// This node leaves: what to say, if it ever said that it is there.
    pub fn bye(&mut self) -> Option<Message> {
        self.own.leaving = true;
        let (node, epoch) = (self.me.clone(), self.own.epoch?);
        Some(Message::Bye { node, epoch })
    }

    /// Looks at the clock: a node that was late, or does not hear itself, judges nobody.
    fn look(&mut self, now: Millis) {
        if self.hearing.look(now) {
            self.assess(now);
        }
    }

    /// Time passes. To be called at [`Roster::next`] or earlier; later by more than a second is
    /// what a paused process looks like, and nobody is judged then.
    pub fn tick(&mut self, now: Millis) {
        self.look(now);
        self.hearing.tick(now);
        if self.hearing.hears() && self.hearing.up {
            self.bury(now);
        }
        self.view.tick(now);
        self.tick_asks(now);
        self.assess(now);
    }

    /// Peers that were silent for too long are gone.
    fn bury(&mut self, now: Millis) {
        let until = now.plus(self.grace_ms);
        for peer in self.peers.values_mut() {
            let silent = now > peer.heard_at.plus(self.ttl_ms) && holds(Rule::SilenceIsDeath);
            if peer.is_alive() && silent {
                self.anonymous = without(self.anonymous, peer);
                peer.lose(Life::Silent(now), until, &mut self.view);
            }
        }
        self.peers.retain(|_, peer| match peer.life {
            Life::Alive => true,
            Life::Silent(at) | Life::Left(at) => now < at.plus(GONE_MS.max(self.ttl_ms)),
        });
    }

    /// When to call [`Roster::tick`] and [`Roster::take_asks`] next.
    pub fn next(&self) -> Millis {
        let ticked = self.hearing.ticked();
        let sweep = self.view.due().max(ticked.plus(SWEEP_MS));
        let asks = if self.hearing.up {
            self.asks_due
        } else {
            Millis::MAX
        };
        ticked.plus(TICK_MS).min(sweep).min(asks)
    }

    /// The bus is connected, or is not. It counts as connected at first.
    pub fn bus(&mut self, up: bool, now: Millis) {
        self.look(now);
        self.hearing.bus(up);
        self.assess(now);
    }

    /// Whether this node may speak for the cluster.
    ///
    /// # Errors
    /// [`NotReady`] says why not.
    pub fn ready(&self) -> Result<(), NotReady> {
        self.verdict
    }

    /// How many of this node's own beats have come back since the bus was connected, or since this
    /// node began to hear itself again.
    pub fn own_beats_back(&self) -> u32 {
        self.hearing.beats
    }

    /// The ready node of the lowest epoch, of equals the one of the lowest id, as far as heard.
    pub fn teller(&self) -> Option<&NodeId> {
        self.teller.as_ref()
    }

    /// All live nodes in the order of their ids, this one included once it has begun.
    pub fn nodes(&self) -> impl Iterator<Item = NodeView<'_>> {
        let me = self.own.epoch.map(|epoch| NodeView {
            id: &self.me,
            me: true,
            epoch,
            ready: self.verdict.is_ok(),
            users: self.own.hold.map_or(0, |hold| self.view.held(hold).0),
            anonymous: self.own.anonymous,
            server_id: &self.own.server_id,
            key_fingerprint: self.key_fingerprint,
            heard_at: self.hearing.heard_at,
            synced: true,
        });
        let peers = self.peers.iter().filter(|(_, peer)| peer.is_alive());
        let peers = peers.map(|(id, peer)| NodeView {
            id,
            me: false,
            epoch: peer.epoch,
            ready: peer.ready,
            users: self.view.held(peer.hold).0,
            anonymous: peer.anonymous,
            server_id: &peer.server_id,
            key_fingerprint: peer.key_fingerprint,
            heard_at: peer.heard_at,
            synced: peer.sync.is_none(),
        });
        let before = peers.clone().filter(|peer| *peer.id < self.me);
        let behind = peers.filter(|peer| *peer.id > self.me);
        before.chain(me).chain(behind)
    }

    /// On which nodes a user is, and how. Costs a lookup.
    pub fn uid(&self, uid: &Uid) -> impl Iterator<Item = (&NodeId, Kinds)> {
        self.view.uid(uid.as_str())
    }

    /// How a user is there, on all nodes together. Costs a lookup.
    pub fn kinds(&self, uid: &Uid) -> Kinds {
        self.view.kinds(uid.as_str())
    }

    /// How many there are. O(1).
    pub fn counts(&self) -> Counts {
        let [ws, poll, any] = self.view.counts();
        let own = self.own.anonymous;
        let anonymous = [0, 1].map(|which| self.anonymous[which].wrapping_add(own[which]));
        Counts {
            ws,
            poll,
            any,
            anonymous,
        }
    }

    /// The users after `after`, in order, those by `only` alone if it is given. Walks over at most
    /// sixteen users for each that was asked for and some thousands more.
    pub fn page(
        &self,
        after: Option<&Uid>,
        limit: usize,
        only: Option<Transport>,
    ) -> Page<(Uid, Kinds)> {
        self.view.users(after, limit, only)
    }

    /// Who changed since the last call, each once, in order. To be taken after every call that may
    /// change something: until then a change costs its uid.
    pub fn take_diffs(&mut self) -> Vec<Diff> {
        self.view.take_diffs()
    }

    /// Bans that snapshots brought since the last call: who, and until when by the wall clock.
    pub fn take_bans(&mut self) -> Vec<(Uid, u64)> {
        std::mem::take(&mut self.bans)
    }

    /// The feed has said that this user is online, or offline. Costs a lookup.
    pub fn set_told(&mut self, uid: &Uid, told: bool, now: Millis) {
        self.view.set_told(uid, told, now);
    }

    /// Whether the feed has said last that this user is online. Costs a lookup.
    pub fn is_told(&self, uid: &Uid) -> bool {
        self.view.is_told(uid.as_str())
    }

    /// Who is online by the feed, in order.
    pub fn told_page(&self, after: Option<&Uid>, limit: usize) -> Page<Uid> {
        self.view.told_page(after, limit)
    }

    /// How many are told, and what tells them from any other set. O(1).
    pub fn told_sum(&self) -> Sum {
        self.view.told
    }

    /// Shows `look` all told users behind `after`, in order, until it says false.
    pub fn each_told(&self, after: Option<&Uid>, look: impl FnMut(&str) -> bool) {
        self.view.each_told(after, look);
    }

    /// Of those after `after` up to and including `until` (none: to the end), exactly `told` are
    /// online by the feed. Costs by the users in that range.
    pub fn retain_told_in(
        &mut self,
        after: Option<&Uid>,
        until: Option<&Uid>,
        told: &[Uid],
        now: Millis,
    ) {
        self.view.retain_told_in(after, until, told, now);
    }

    /// Who is in the view and not told, or told and not in the view: since when, and whether in
    /// the view. In order; costs by their number, not by how many users there are.
    pub fn differing(&self) -> impl Iterator<Item = (&str, Millis, bool)> {
        let differing = self.view.rows.differing();
        differing.map(|(uid, row)| (uid, row.since, row.is_announced()))
    }
}

#[cfg(test)]
mod tests;
