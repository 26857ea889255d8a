//! This node's own users: counted by transport, announced after their grace in numbered deltas, handed to whoever missed some.

mod grace;
mod ring;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use self::grace::Graces;
use self::ring::Ring;
use self::sync::Askers;
use super::rules::{Rule, holds};
use super::{Delta, Epoch, Kinds, Options};
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::transport::Transport;

/// Bytes that a change costs on the wire beside its uid, at most.
const CHANGE_BYTES: usize = 5;
/// Both, in the order of their counts.
const TRANSPORTS: [Transport; 2] = [Transport::Ws, Transport::Poll];

/// This node's own users.
///
/// Connecting and leaving cost a lookup in an ordered map; a user that has left costs one entry
/// more until the grace is over. What changes is announced [`Options::batch_ms`] later, together
/// with what has changed meanwhile, and only if it differs from what was announced.
#[derive(Debug)]
pub struct Local {
    options: Options,
    epoch: Option<Epoch>,
    users: BTreeMap<Uid, Own>,
    anonymous: [u64; 2],
    graces: Graces,
    changed: Vec<Uid>,
    flush_at: Option<Millis>,
    seq: u64,
    ring: Ring,
    askers: Askers,
}

/// One user with clients here, or in the grace after them.
#[derive(Debug, Default)]
struct Own {
    clients: [u32; 2],
    /// As announced.
    shown: Kinds,
    /// Stands in `changed`.
    changed: bool,
}

impl Local {
    pub fn new(options: Options) -> Local {
        Local {
            ring: Ring::new(options.ring, options.max_part_bytes),
            options,
            epoch: None,
            users: BTreeMap::new(),
            anonymous: [0; 2],
            graces: Graces::default(),
            changed: Vec::new(),
            flush_at: None,
            seq: 0,
            askers: Askers::default(),
        }
    }

    /// Begins an epoch, the first or the next: deltas are numbered anew, the users stay.
    pub fn begin(&mut self, epoch: Epoch) {
        self.epoch = Some(epoch);
        self.seq = 0;
        self.ring.clear();
        self.askers = Askers::default();
    }

    /// `None` until one has begun; nothing is announced before.
    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// The number of the newest delta; 0 before the first of its epoch.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Clients without a uid, by WebSocket and by polling. They have no grace: nobody could tell
    /// that one of them has come back.
    pub fn anonymous(&self) -> [u64; 2] {
        self.anonymous
    }

    /// One more client is here.
    pub fn opened(&mut self, uid: Option<&Uid>, transport: Transport, now: Millis) {
        let Some(uid) = uid else {
            let count = &mut self.anonymous[transport as usize];
            *count = count.saturating_add(1);
            return;
        };
        let own = self.own(uid);
        let count = &mut own.clients[transport as usize];
        *count = count.saturating_add(1);
        if holds(Rule::ReconnectCancels) {
            self.graces.returned(uid, transport);
        }
        self.mark(uid, now);
    }

    /// A client's connection is gone. Its user leaves when the grace is over, unless one of the
    /// user's clients is here by the same transport by then. A client that was not here changes
    /// nothing.
    pub fn closed(&mut self, uid: Option<&Uid>, transport: Transport, now: Millis) {
        if !self.leave(uid, transport) {
            return;
        }
        let Some(uid) = uid else { return };
        if !holds(Rule::GraceBeforeDelta) {
            return self.mark(uid, now);
        }
        let of = match holds(Rule::PollGraceIsLonger) {
            true => transport,
            false => Transport::Ws,
        };
        let until = now.plus(self.options.grace_ms(of));
        self.graces.left(uid, transport, until);
    }

    /// A client that is here goes on by another transport: shows at once, without a grace.
    pub fn switched(&mut self, uid: Option<&Uid>, from: Transport, to: Transport, now: Millis) {
        if !holds(Rule::SwitchShowsAtOnce) {
            self.closed(uid, from, now);
        } else if self.leave(uid, from)
            && let Some(uid) = uid
        {
            self.mark(uid, now);
        }
        self.opened(uid, to, now);
    }

    /// A client that had [closed](Self::closed) its connection by `was` is back, perhaps by another
    /// transport: then that shows at once too.
    pub fn returned(&mut self, uid: Option<&Uid>, was: Transport, by: Transport, now: Millis) {
        if let Some(uid) = uid
            && was != by
            && holds(Rule::SwitchShowsAtOnce)
        {
            self.graces.returned(uid, was);
            self.mark(uid, now);
        }
        self.opened(uid, by, now);
    }

    /// A client that has [closed](Self::closed) its connection here is now at node `to`: its user
    /// leaves here [`Options::handed_over_ms`] after `to` has announced them, which it has already
    /// if `is_there`; at the latest when the grace is over.
    pub fn handed_over(
        &mut self,
        uid: Option<&Uid>,
        transport: Transport,
        to: &NodeId,
        is_there: bool,
        now: Millis,
    ) {
        let Some(uid) = uid else { return };
        let waits = holds(Rule::MoveWaitsForOpen);
        let soon = match (is_there, waits) {
            (_, false) => Some(now),
            (true, true) => Some(now.plus(self.options.handed_over_ms)),
            (false, true) => None,
        };
        self.graces.handed_over(uid, transport, to, soon);
    }

    /// Node `from` has announced these: whom this node handed over to it may leave here soon.
    pub fn announced_by(&mut self, from: &NodeId, changes: &[(Uid, Kinds)], now: Millis) {
        let soon = now.plus(self.options.handed_over_ms);
        for (uid, kinds) in changes {
            if !kinds.is_none() && self.graces.waits_for_others() {
                self.graces.announced_by(from, uid, soon);
            }
        }
    }

    /// Lets time pass and hands out what is to be announced now, each delta within
    /// [`Options::max_part_bytes`]; they count as announced. Nothing before there is an epoch.
    pub fn tick(&mut self, now: Millis) -> Vec<Delta> {
        while let Some(uid) = self.graces.next_over(now) {
            self.mark(&uid, now);
        }
        match (self.epoch, self.flush_at) {
            (Some(epoch), Some(at)) if at <= now => self.flush(epoch),
            _ => Vec::new(),
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn next(&self) -> Millis {
        let flush = self.epoch.and(self.flush_at).unwrap_or(Millis::MAX);
        flush.min(self.graces.next())
    }

    /// What has been announced, in the order of uids, behind `after`.
    pub fn announced(&self, after: Option<&Uid>) -> impl Iterator<Item = (&Uid, Kinds)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.users.range::<Uid, _>((from, Bound::Unbounded));
        rows.map(|(uid, own)| (uid, own.shown))
            .filter(|(_, kinds)| !kinds.is_none())
    }

    fn own(&mut self, uid: &Uid) -> &mut Own {
        self.users.entry(uid.clone()).or_default()
    }

    /// Takes one client off the count. False: there was none.
    fn leave(&mut self, uid: Option<&Uid>, transport: Transport) -> bool {
        let side = transport as usize;
        match uid {
            None => take_one(&mut self.anonymous[side]),
            Some(uid) => match self.users.get_mut(uid) {
                Some(own) if own.clients[side] > 0 => {
                    own.clients[side] -= 1;
                    true
                }
                _ => false,
            },
        }
    }

    /// Puts a user in line for the next delta if something about them is to be announced.
    fn mark(&mut self, uid: &Uid, now: Millis) {
        let Some(own) = self.users.get_mut(uid) else {
            return;
        };
        let is = kinds(own, &self.graces, uid);
        if own.changed || (is == own.shown && !is.is_none() && holds(Rule::NoNoOps)) {
            return;
        }
        own.changed = true;
        self.changed.push(uid.clone());
        let wait = match holds(Rule::DeltasAreBatched) {
            true => self.options.batch_ms,
            false => 0,
        };
        self.flush_at.get_or_insert(now.plus(wait));
    }

    fn flush(&mut self, epoch: Epoch) -> Vec<Delta> {
        self.flush_at = None;
        let mut changed: VecDeque<Uid> = std::mem::take(&mut self.changed).into();
        let mut deltas = Vec::new();
        while !changed.is_empty() {
            let (mut changes, mut bytes) = (Vec::new(), 0);
            while let Some(uid) = changed.front() {
                bytes += uid.as_str().len() + CHANGE_BYTES;
                if bytes > self.options.max_part_bytes && !changes.is_empty() {
                    break;
                }
                let Some(uid) = changed.pop_front() else {
                    break;
                };
                if let Some(kinds) = self.show(&uid) {
                    changes.push((uid, kinds));
                }
            }
            if changes.is_empty() {
                break;
            }
            self.seq += 1;
            let delta = Delta {
                node: self.options.node.clone(),
                epoch,
                seq: self.seq,
                changes,
            };
            self.ring.push(&delta);
            deltas.push(delta);
        }
        deltas
    }

    /// Counts what is true of a user as announced. `None`: it was announced already.
    fn show(&mut self, uid: &Uid) -> Option<Kinds> {
        let own = self.users.get_mut(uid)?;
        let (was, is) = (own.shown, kinds(own, &self.graces, uid));
        (own.shown, own.changed) = (is, false);
        let forgotten = own.clients == [0, 0] && is.is_none();
        if forgotten {
            self.users.remove(uid);
        }
        if was == is {
            return (!holds(Rule::NoNoOps)).then_some(is);
        }
        Some(is)
    }
}

/// By what a user is here, those in their grace included.
fn kinds(own: &Own, graces: &Graces, uid: &Uid) -> Kinds {
    let mut kinds = Kinds::NONE;
    for transport in TRANSPORTS {
        if own.clients[transport as usize] > 0 || graces.holds(uid, transport) {
            kinds = kinds.with(transport);
        }
    }
    kinds
}

fn take_one(count: &mut u64) -> bool {
    let any = *count > 0;
    *count -= u64::from(any);
    any
}
