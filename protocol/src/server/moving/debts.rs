//! What other nodes owe to a session that came from them: answers, the return of a handler, pushes; and what becomes of it.

use super::taken::Taken;
use super::{GAP, Moving};
use crate::codes::{ErrorCode, Refusal};
use crate::ids::NodeId;
use crate::millis::Millis;
use crate::rules::{Rule, holds};
use crate::server::{Bounds, Session};
use crate::takeover::Way;

/// An answer that another node owes.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) way: Way,
    /// It was given here and comes around, by the nodes that have had the session since; it is lost
    /// if it has not by then.
    pub(super) until: Option<Millis>,
}

impl Owed {
    pub(super) fn by(&self, node: &NodeId) -> bool {
        self.way.last() == Some(node)
    }
}

/// Something that will not come, at a session that has gone on.
#[derive(Debug)]
pub(super) enum Dead {
    Reply(u32),
    Returned(u64),
    Gap,
}

/// What is told of a request whose node has died.
pub(super) fn owed_by_the_dead() -> Refusal {
    let why = "the node that had the request is gone; it may have been handled";
    Refusal::new(ErrorCode::CLOSED, why)
}

impl<C> Moving<C> {
    /// Whether this node tells when the handler returns that keeps the next items waiting.
    pub(super) fn waits_for(&self, node: &NodeId) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|(way, _)| way.last() == Some(node))
    }
}

impl<C> Session<C> {
    /// A node that still owes this session something: replies, the return of a handler, or
    /// pushes that this node had heard before the session was registered. Ask it by
    /// [`ToNode::Owed`](crate::takeover::ToNode::Owed) every 2 s; when there is no such node any
    /// more twice in a row, or it knows nothing of it, say [`Session::debtor_died`].
    pub fn debtor(&self) -> Option<&NodeId> {
        let moving = self.moving.as_deref()?;
        let taken = moving.taken.as_ref().filter(|taken| taken.is_missing());
        let reply = moving.refs.values().find_map(|owed| owed.way.last());
        let running = moving.running.as_ref().and_then(|(way, _)| way.last());
        reply
            .or(running)
            .or(taken.map(|taken| &taken.holder))
            .filter(|_| moving.arriving.is_none())
    }

    /// What `node` owes will not come: requests resolve as `closed`, waiting items start, and if
    /// pushes are missing a gap says so. Starts nothing and wakes nobody: that is the driver's.
    pub fn debtor_died(&mut self, node: &NodeId, bounds: &Bounds) {
        self.debtor_gone(node, true, bounds);
    }

    /// The session is home at `node` again, or has gone from there to another node than this one:
    /// `node` owes nothing any more to where it was in between. Whoever waits behind this node is
    /// told that nothing comes from here.
    pub fn debtor_is_home(&mut self, node: &NodeId, bounds: &Bounds) {
        self.debtor_gone(node, false, bounds);
    }

    fn debtor_gone(&mut self, node: &NodeId, died: bool, bounds: &Bounds) {
        let Some(moving) = self.moving.as_deref_mut() else {
            return;
        };
        let refs = moving.refs.extract_if(.., |_, owed| owed.by(node));
        let refs: Vec<u32> = refs.map(|(request, _)| request).collect();
        if moving.waits_for(node) {
            if let Some((position, _)) = self.inbox.running() {
                moving.dead.push(Dead::Returned(position));
            }
            moving.running = None;
            self.inbox.set_running(0);
        }
        let taken = moving.taken.as_mut();
        let missing = taken
            .filter(|taken| taken.holder == *node)
            .is_some_and(Taken::give_up_missing)
            && died;
        if missing {
            moving.dead.push(Dead::Gap);
            moving.taken.iter_mut().for_each(Taken::told_all);
        }
        self.close_refs(refs, bounds);
        if missing {
            let _ = self.gap(GAP, bounds);
        }
        self.settle_dead();
    }

    /// Nobody is at work on an item of this session.
    pub(in crate::server) fn waits_for_nobody(&mut self) {
        self.inbox.set_running(0);
        if let Some(moving) = self.moving.as_deref_mut() {
            moving.running = None;
        }
        self.settle_moving();
    }

    /// These answers will not come; whoever waits behind this node is to be told.
    pub(super) fn close_refs(&mut self, refs: Vec<u32>, bounds: &Bounds) {
        for request in refs {
            if holds(Rule::DeadOwerCloses) {
                let _ = self.reply(request, Err(owed_by_the_dead()), bounds);
                if let Some(moving) = self.moving.as_deref_mut() {
                    moving.dead.push(Dead::Reply(request));
                }
            }
        }
    }

    /// Forgets what nobody has to be told.
    pub(super) fn settle_dead(&mut self) {
        if self.owner().is_none()
            && let Some(moving) = self.moving.as_deref_mut()
        {
            moving.dead.clear();
        }
        self.settle_moving();
    }
}
