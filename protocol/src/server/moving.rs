//! A session between nodes: arriving from one, released to another, gone; and what is kept of it for a while.

mod arrival;
mod debts;
mod following;
mod forwarded;
mod holder;
mod taken;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::Session;
use crate::codes::{CloseCode, Refusal};
use crate::data::Data;
use crate::ids::NodeId;
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::rules::{Rule, holds};
use crate::takeover::{Answer, Applied, Identity, TakeId, Way};

use debts::{Dead, Owed, owed_by_the_dead};
use taken::{Held, Taken};

/// Where a session is on its way between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Here.
    Home,
    /// Asked for, at the node that has it; what is pushed waits in a side buffer.
    Arriving,
    /// Released to another node, which has not said `done`.
    Frozen,
    /// At another node. Kept to forward what comes late, and to say yes again.
    Moved,
}

/// What a release asks of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// Send a fence through the own push subscription; when it is back, or after 500 ms, take the
    /// journal's extract, call [`Session::cut`] and answer with [`Session::part`]. Wake the
    /// connection: it has been superseded.
    Fence,
    /// It has been cut for this take: answer with [`Session::part`].
    Cut,
    /// Answer this. If the session is over now, forget it.
    Answer(Answer),
}

/// The reason of a gap that a takeover could not avoid.
const GAP: &str = "takeover";

/// How much longer than forwards come, and are held, a session remembers what it has.
const MARGIN_MS: u64 = 1_000;

/// The rare states, boxed: a session at rest pays one pointer for them.
#[derive(Debug)]
pub(super) struct Moving<C> {
    arriving: Option<Arriving<C>>,
    frozen: Option<Frozen>,
    moved: Option<Moved>,
    taken: Option<Taken>,
    /// Where the session came from lately.
    former: Vec<Former>,
    /// Refs that another node answers.
    refs: BTreeMap<u32, Owed>,
    /// Another node runs the handler that keeps the next items waiting: where, and until when.
    running: Option<(Way, Millis)>,
    /// Held forwards that go on to the next node.
    on: Vec<Held>,
    /// What a dead node owed, for the next node to hear.
    dead: Vec<Dead>,
    /// When what is over now is forgotten.
    last_call: Option<Millis>,
}

/// A node that the session came from.
#[derive(Debug)]
struct Former {
    node: NodeId,
    /// Until then something may still come from there.
    until: Millis,
    /// Until then every push that comes from there is taken. That node forwards for at least as
    /// long after its yes; later it does so for other sessions alone, and what it sends on is not
    /// all that it hears for this one.
    pushes_until: Millis,
}

#[derive(Debug)]
struct Arriving<C> {
    context: C,
    before: Applied,
    registered: Millis,
    /// What came before the session itself, in order.
    side: VecDeque<Early>,
    side_bytes: usize,
    /// The session itself is here; only the holder's yes is missing.
    installed: bool,
    /// Forwards that were to go on from here came to its queue.
    brought_held: bool,
}

/// Something for a session whose queue is not here yet.
#[derive(Debug)]
enum Early {
    Push(Identity, OutFrame),
    Gap(String),
    Forwarded(NodeId, Identity, OutFrame),
    ForwardedGap(NodeId, String),
    Reply(NodeId, u32, Result<Data, Refusal>),
    Report(NodeId, u64, Refusal),
    Returned(NodeId, u64),
}

#[derive(Debug)]
struct Frozen {
    take: TakeId,
    by: NodeId,
    /// What goes into the parts; none while the fence is under way.
    cut: Option<Bytes>,
}

#[derive(Debug)]
struct Moved {
    take: TakeId,
    to: NodeId,
    until: Millis,
    /// Pushes that come late are still forwarded.
    forwarding: bool,
}

impl<C> Moving<C> {
    fn new() -> Moving<C> {
        Moving {
            arriving: None,
            frozen: None,
            moved: None,
            taken: None,
            former: Vec::new(),
            refs: BTreeMap::new(),
            running: None,
            on: Vec::new(),
            dead: Vec::new(),
            last_call: None,
        }
    }

    fn is_at_rest(&self) -> bool {
        self.arriving.is_none()
            && self.frozen.is_none()
            && self.moved.is_none()
            && self.taken.is_none()
            && self.former.is_empty()
            && self.refs.is_empty()
            && self.running.is_none()
            && self.on.is_empty()
            && self.dead.is_empty()
    }

    fn came_from(&self, node: &NodeId) -> bool {
        self.former.iter().any(|former| former.node == *node)
    }

    fn takes_pushes_of(&self, node: &NodeId, now: Millis) -> bool {
        let mut former = self.former.iter();
        former.any(|former| former.node == *node && now <= former.pushes_until)
    }

    fn side_is_open(&self) -> bool {
        self.arriving
            .as_ref()
            .is_some_and(|arriving| !arriving.installed)
    }

    /// Bytes that this keeps beside the queue.
    fn bytes(&self) -> usize {
        let side = self.arriving.as_ref().map_or(0, |a| a.side_bytes);
        let cut = self.frozen.as_ref().and_then(|frozen| frozen.cut.as_ref());
        let held = self.taken.as_ref().map_or(0, Taken::held_bytes);
        let on: usize = self.on.iter().map(|held| held.item.len()).sum();
        side + cut.map_or(0, Bytes::len) + held + on
    }
}

impl<C> Session<C> {
    /// Where the session is.
    pub fn standing(&self) -> Standing {
        match self.moving.as_deref() {
            None => Standing::Home,
            Some(moving) if moving.arriving.is_some() => Standing::Arriving,
            Some(moving) if moving.frozen.is_some() => Standing::Frozen,
            Some(moving) if moving.moved.is_some() => Standing::Moved,
            Some(_) => Standing::Home,
        }
    }

    /// The node to which every push, and gap, that this session gets must be forwarded: while it
    /// is released behind the cut, and for 10 s after `done`. Ask after each push.
    pub fn forwards_to(&self) -> Option<&NodeId> {
        let moving = self.moving.as_deref()?;
        if let Some(frozen) = &moving.frozen {
            let cut = frozen.cut.is_some() && holds(Rule::FrozenForwards);
            return cut.then_some(&frozen.by);
        }
        let moved = moving.moved.as_ref()?;
        (moved.forwarding && holds(Rule::LateIsForwarded)).then_some(&moved.to)
    }

    /// The node that must hear of replies, reports and returns of handlers here: the one that took
    /// the session, or is about to. Ask after each of them.
    pub fn owner(&self) -> Option<&NodeId> {
        let moving = self.moving.as_deref()?;
        if !holds(Rule::RepliesAreForwarded) {
            return None;
        }
        if let Some(frozen) = &moving.frozen {
            return frozen.cut.is_some().then_some(&frozen.by);
        }
        moving.moved.as_ref().map(|moved| &moved.to)
    }

    /// The node that must hear of replies, reports and returns that were forwarded here. Ask after
    /// each of them; pushes that were forwarded go on when they are [`Pushed::Elsewhere`](super::Pushed::Elsewhere).
    pub fn passes_on(&self) -> Option<&NodeId> {
        let arriving = self.standing() == Standing::Arriving;
        self.owner()
            .filter(|_| !arriving && holds(Rule::ForwardedOn))
    }

    /// The end that was decided for the session's connection, if one was: what a hello that waited
    /// for it is to be refused with.
    pub fn ending(&self) -> Option<(CloseCode, &str)> {
        let ending = self.ending.as_ref()?;
        Some((ending.code(), ending.reason()))
    }

    /// When a session that nobody is attached to may be forgotten: `session_ttl_ms` after it was
    /// left, but one that is gone not before its last reply, and the return of its handler. `None` while it is in use.
    pub fn expires(&self, session_ttl_ms: u64) -> Option<Millis> {
        let since = self.detached_since()?;
        match self.standing() {
            Standing::Arriving => None,
            // Who comes back here must find that its handler is still at work.
            Standing::Moved if !self.outstanding.is_empty() || self.inbox.running().is_some() => {
                None
            }
            Standing::Home | Standing::Frozen | Standing::Moved => Some(since.plus(session_ttl_ms)),
        }
    }

    /// Forgets the box when nothing is in it any more.
    fn settle_moving(&mut self) {
        if self
            .moving
            .as_ref()
            .is_some_and(|moving| moving.is_at_rest())
        {
            self.moving = None;
        }
    }

    /// Bytes of forwards that wait for their own copies.
    fn moving_held_bytes(&self) -> usize {
        let taken = self.moving.as_deref().and_then(|m| m.taken.as_ref());
        taken.map_or(0, Taken::held_bytes)
    }

    pub(super) fn moving_bytes(&self) -> usize {
        self.moving.as_ref().map_or(0, |moving| moving.bytes())
    }

    /// A hello here: whoever was taking the session may not have it any more.
    pub(super) fn void_take(&mut self) {
        if let Some(moving) = self.moving.as_deref_mut()
            && holds(Rule::HelloVoidsTake)
        {
            moving.frozen = None;
        }
        self.settle_moving();
    }

    /// The session has ended.
    pub(super) fn end_moving(&mut self) {
        let moving = self.moving.take();
        let running = moving
            .as_ref()
            .is_some_and(|moving| moving.running.is_some());
        if let Some(arriving) = moving.and_then(|moving| moving.arriving) {
            if !arriving.installed {
                return;
            }
            // Whether its unstarted items are this node's or the holder's, the holder's answer says.
            let mut moving = Moving::new();
            moving.arriving = Some(arriving);
            self.moving = Some(Box::new(moving));
            return;
        }
        if running {
            // Nobody will say here when that handler returned. What has been counted is handled
            // all the same, rather than never.
            self.inbox.set_running(0);
        }
    }
}

#[cfg(test)]
mod tests;
