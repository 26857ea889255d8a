//! A session between nodes: arriving from one, released to another, gone; and what is kept of it for a while.

use super::{Bounds, Pushed, Replied, Resumed, Session};
use crate::codec::Codec;
use crate::codes::Refusal;
use crate::data::Data;
use crate::ids::{ClientId, NodeId, SessionId, Uid};
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::takeover::{Answer, Applied, Forward, Identity, Release, Snapshot, TakeId};

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
    /// Answer this. If the session is over now, forget it.
    Answer(Answer),
}

/// The rare states, boxed: a session at rest pays one pointer for them.
#[derive(Debug)]
pub(super) struct Moving<C> {
    context: Option<C>,
}

impl<C> Session<C> {
    /// Where the session is.
    pub fn standing(&self) -> Standing {
        Standing::Home
    }

    /// The node to which every push, and gap, that this session gets must be forwarded: while it
    /// is released behind the cut, and for 10 s after `done`. Ask after each push.
    pub fn forwards_to(&self) -> Option<&NodeId> {
        None
    }

    /// The node that must hear of replies, reports and returns of handlers here, and of those that
    /// are forwarded here: the one that took the session, or is about to.
    pub fn owner(&self) -> Option<&NodeId> {
        None
    }

    /// The node that still owes this session something: replies, the return of a handler, or
    /// pushes that this node had heard before the session was registered. Ask it by
    /// [`ToNode::Owed`](crate::takeover::ToNode::Owed) every 2 s; when there is no such node any
    /// more twice in a row, or it knows nothing of it, say [`Session::debtor_died`].
    pub fn debtor(&self) -> Option<&NodeId> {
        None
    }

    /// What [`Session::debtor`] owes will not come: requests resolve as `closed`, waiting items
    /// start, and if pushes are missing a gap says so. The driver forwards what is in
    /// [`Session::take_forwards`], starts items and wakes the connection.
    pub fn debtor_died(&mut self, bounds: &Bounds) {
        let _ = bounds;
    }

    /// Messages for [`Session::owner`] that came up by themselves: to be told to it, in order,
    /// after each call of this face that may make some (`forwarded`, `done`, `tick`, `debtor_died`).
    pub fn take_forwards(&mut self, from: &NodeId) -> Vec<Forward> {
        let _ = from;
        Vec::new()
    }

    /// When this session may be forgotten, if nothing happens before.
    pub fn expires(&self, session_ttl_ms: u64) -> Option<Millis> {
        let _ = session_ttl_ms;
        None
    }
}

impl<C: Clone> Session<C> {
    /// A session that another node has: registered before that one is asked, so that pushes and
    /// gaps go into its side buffer from now on. `before` is the extract of this node's journal,
    /// taken after the registration; `context` goes with the items that arrive unstarted.
    pub fn arriving(
        id: SessionId,
        client: ClientId,
        uid: Option<Uid>,
        codec: Codec,
        context: C,
    ) -> Self {
        let mut session = Session::new(id, client, uid, codec);
        session.moving = Some(Box::new(Moving {
            context: Some(context),
        }));
        session
    }

    /// The same for a session that went from here to another node and is wanted back. False if it
    /// is not gone.
    pub fn arrive_again(&mut self, context: C) -> bool {
        let _ = context;
        false
    }

    /// Tells an arriving session what its node's journal said just after it was registered.
    pub fn heard_before(&mut self, before: Applied, now: Millis) {
        let _ = (before, now);
    }

    /// Takes a push that the former holder `from` forwarded, of [`Forward::Push`] or
    /// [`Forward::Item`]. A session that did not come from there does not want it.
    pub fn forwarded(
        &mut self,
        from: &NodeId,
        identity: &Identity,
        item: &OutFrame,
        now: Millis,
        bounds: &Bounds,
    ) -> Pushed {
        let _ = (from, identity, item, now, bounds);
        Pushed::Known
    }

    /// Takes a gap that the former holder forwarded.
    pub fn forwarded_gap(&mut self, from: &NodeId, reason: &str, bounds: &Bounds) -> Pushed {
        let _ = (from, reason, bounds);
        Pushed::Known
    }

    /// Takes a reply that a former holder owed.
    pub fn forwarded_reply(
        &mut self,
        from: &NodeId,
        request: u32,
        outcome: Result<Data, Refusal>,
        bounds: &Bounds,
    ) -> Replied {
        let _ = (from, request, outcome, bounds);
        Replied::Ignored
    }

    /// Takes what a handler at a former holder had to say of an event.
    pub fn forwarded_report(
        &mut self,
        from: &NodeId,
        position: u64,
        refusal: &Refusal,
        bounds: &Bounds,
    ) -> Pushed {
        let _ = (from, position, refusal, bounds);
        Pushed::Known
    }

    /// The handler that ran at a former holder returned.
    pub fn forwarded_return(&mut self, from: &NodeId, position: u64, bounds: &Bounds) -> Resumed {
        let _ = (from, position, bounds);
        Resumed::default()
    }

    /// Another node asks for the session.
    pub fn release(&mut self, release: &Release, now: Millis) -> Released {
        let _ = (release, now);
        Released::Answer(Answer::NotMine)
    }

    /// The fence is back, or did not come back in time (`fenced` false: a gap says so). `applied`
    /// was extracted after it. Does nothing if the take has been voided or cut already.
    pub fn cut(
        &mut self,
        take: TakeId,
        fenced: bool,
        applied: Applied,
        now: Millis,
        bounds: &Bounds,
    ) {
        let _ = (take, fenced, applied, now, bounds);
    }

    /// A part of what was cut: the same bytes each time.
    pub fn part(&self, holder: &NodeId, take: TakeId, part: u16) -> Answer {
        let _ = (holder, take, part);
        Answer::NotMine
    }

    /// The taker has it all. [`Answer::Granted`]: the session is there from now on.
    pub fn done(&mut self, take: TakeId, now: Millis) -> Answer {
        let _ = (take, now);
        Answer::NotMine
    }

    pub(crate) fn install(
        &mut self,
        snapshot: Snapshot,
        holder: NodeId,
        release: &Release,
        now: Millis,
        bounds: &Bounds,
    ) -> bool {
        let _ = (snapshot, holder, release, now, bounds);
        false
    }

    pub(crate) fn granted(&mut self, now: Millis, bounds: &Bounds) {
        let _ = (now, bounds);
    }

    pub(crate) fn give_up_arrival(&mut self) {
        self.end();
    }
}
