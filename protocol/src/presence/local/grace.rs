//! The time between a client's leaving and its user's: who is in it, by what, and when it is over.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::super::rules::{Rule, holds};
use super::TRANSPORTS;
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::transport::Transport;

/// Users whose clients have left a moment ago. As many entries as clients left within one grace.
#[derive(Debug, Default)]
pub(super) struct Graces {
    users: BTreeMap<Uid, [Vec<Leave>; 2]>,
    /// Every end of a grace, and those that were put off or cancelled too.
    ends: BinaryHeap<Reverse<(Millis, Uid)>>,
    /// Leaves that wait for another node's announcement.
    waiting: usize,
}

/// One client that left.
#[derive(Debug)]
struct Leave {
    until: Millis,
    /// The node that has it now, until that has announced the user.
    to: Option<NodeId>,
}

impl Graces {
    pub(super) fn left(&mut self, uid: &Uid, transport: Transport, until: Millis) {
        let leaves = self.users.entry(uid.clone()).or_default();
        leaves[transport as usize].push(Leave { until, to: None });
        self.ends.push(Reverse((until, uid.clone())));
    }

    /// One that left by `transport` is back. Of several it is the one that was handed to nobody;
    /// which of those is no matter, because while it stays the others are not missed.
    pub(super) fn returned(&mut self, uid: &Uid, transport: Transport) {
        let Some(sides) = self.users.get_mut(uid) else {
            return;
        };
        let leaves = &mut sides[transport as usize];
        let own = leaves.iter().position(|leave| leave.to.is_none());
        if let Some(at) = own.or_else(|| (!leaves.is_empty()).then_some(0)) {
            let leave = leaves.swap_remove(at);
            self.waiting -= usize::from(leave.to.is_some());
        }
        if sides.iter().all(Vec::is_empty) {
            self.users.remove(uid);
        }
    }

    /// One that left by `transport` is at node `to`. With `soon` its grace ends then, else it waits
    /// for `to`'s announcement.
    pub(super) fn handed_over(
        &mut self,
        uid: &Uid,
        transport: Transport,
        to: &NodeId,
        soon: Option<Millis>,
    ) {
        let Some(sides) = self.users.get_mut(uid) else {
            return;
        };
        let leaves = &mut sides[transport as usize];
        // The last to leave: whoever is handed over was detached for it a moment ago.
        let Some(leave) = leaves.iter_mut().rev().find(|leave| leave.to.is_none()) else {
            return;
        };
        match soon {
            Some(soon) => {
                leave.until = leave.until.min(soon);
                self.ends.push(Reverse((leave.until, uid.clone())));
            }
            None => {
                leave.to = Some(to.clone());
                self.waiting += 1;
                if !holds(Rule::MoveIsBounded) {
                    leave.until = Millis::MAX;
                }
            }
        }
    }

    /// Whether anybody waits for another node's announcement.
    pub(super) fn waits_for_others(&self) -> bool {
        self.waiting > 0
    }

    /// Node `from` has announced `uid`: who was handed over to it may go at `soon`.
    pub(super) fn announced_by(&mut self, from: &NodeId, uid: &Uid, soon: Millis) {
        let Some(sides) = self.users.get_mut(uid) else {
            return;
        };
        for leave in sides.iter_mut().flatten() {
            if leave.to.as_ref() == Some(from) {
                leave.to = None;
                self.waiting -= 1;
                leave.until = leave.until.min(soon);
                self.ends.push(Reverse((leave.until, uid.clone())));
            }
        }
    }

    pub(super) fn holds(&self, uid: &Uid, transport: Transport) -> bool {
        self.users
            .get(uid)
            .is_some_and(|sides| !sides[transport as usize].is_empty())
    }

    /// A user of whom a grace is over by `now`; to be called until there is none.
    pub(super) fn next_over(&mut self, now: Millis) -> Option<Uid> {
        while let Some(Reverse((at, _))) = self.ends.peek()
            && *at <= now
        {
            let Reverse((_, uid)) = self.ends.pop()?;
            if self.end(&uid, now) {
                return Some(uid);
            }
        }
        None
    }

    /// Forgets whose grace is over. True: by some transport nobody is left.
    fn end(&mut self, uid: &Uid, now: Millis) -> bool {
        let Some(sides) = self.users.get_mut(uid) else {
            return false;
        };
        let mut ended = false;
        for transport in TRANSPORTS {
            let leaves = &mut sides[transport as usize];
            let before = leaves.len();
            let over = |leave: &mut Leave| leave.until <= now;
            let gone = leaves.extract_if(.., over);
            self.waiting -= gone.filter(|leave| leave.to.is_some()).count();
            ended |= before > 0 && leaves.is_empty();
        }
        if sides.iter().all(Vec::is_empty) {
            self.users.remove(uid);
        }
        ended
    }

    pub(super) fn next(&self) -> Millis {
        self.ends.peek().map_or(Millis::MAX, |Reverse((at, _))| *at)
    }
}
