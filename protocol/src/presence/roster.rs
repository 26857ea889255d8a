//! What this node knows of all nodes and their users: the merged view, without I/O or clock.

use std::sync::Arc;

use super::{Beat, Epoch, Kinds, Message, Options, SyncAnswer, SyncReq, Unanswered};
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::transport::Transport;

/// The merged view.
///
/// A lookup of one uid is a search in order, O(log n): about 0.3 µs among a million users. Counts
/// are kept, O(1). A message costs by the users it names, not by how many there are.
#[derive(Debug)]
pub struct Roster {
    me: NodeId,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It changed, or confirmed, what is known.
    Applied,
    /// It was known already, or speaks of an earlier life of its node.
    Old,
    /// Something before it is missing: its node is asked.
    Gap,
    /// At the same number its node has other users than this view: its node is asked.
    Differs,
    /// This node's own message came back.
    OwnEcho,
    /// Another process claims this node's id. Go on under this epoch, and announce everything anew.
    Usurped {
        /// One above the claim.
        epoch: Epoch,
    },
    /// Again within a minute: two processes have this node's id. This one has to end.
    Duplicate,
    /// Its epoch cannot be true; ignored.
    Wild,
    /// More nodes than any cluster has; ignored.
    TooMany,
}

/// Why a node is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The bus is down.
    #[error("the bus is down")]
    BusDown,
    /// Its own beat does not come back, or it was late itself.
    #[error("the node does not hear itself")]
    Deaf,
    /// It has heard too little yet.
    #[error("the node has just begun to listen")]
    Young,
    /// Not all live peers' users are known.
    #[error("the users of {0} nodes are not known yet")]
    Syncing(usize),
    /// Too few of the nodes that were there 10 s ago are still heard.
    #[error("the node hears {heard} of {members} nodes")]
    Minority {
        /// Of those.
        heard: usize,
        /// How many there were, this one included.
        members: usize,
    },
}

/// How many users there are, each counted once however many nodes or clients it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By WebSocket, also those who poll too.
    pub ws: usize,
    /// By polling, also those with a WebSocket too.
    pub poll: usize,
    /// By any.
    pub any: usize,
    /// Clients without a uid, by WebSocket and by polling.
    pub anonymous: [u64; 2],
}

/// A user of the view that changed since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// Who.
    pub uid: Uid,
    /// How it was there.
    pub before: Kinds,
    /// How it is there now. The same as before: only the nodes may be others.
    pub now: Kinds,
}

/// A node as this one knows it.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'r> {
    /// Its name.
    pub id: &'r NodeId,
    /// Whether it is this one.
    pub me: bool,
    /// Its life.
    pub epoch: Epoch,
    /// Whether it says that it is ready; of this node, whether it is.
    pub ready: bool,
    /// How many users it has in the view.
    pub users: u64,
    /// Its clients without a uid, by WebSocket and by polling.
    pub anonymous: [u64; 2],
    /// The server of the bus that it is connected to.
    pub server_id: &'r Arc<str>,
    /// Tells nodes whose cookies each other cannot read.
    pub key_fingerprint: u64,
    /// When it was last heard.
    pub heard_at: Millis,
    /// Whether all of its users are known.
    pub synced: bool,
}

/// Some users in order, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// At most as many as asked for; fewer, or none, do not mean the end.
    pub users: Vec<T>,
    /// After whom to go on; none at the end.
    pub next: Option<Uid>,
}

impl Roster {
    /// A view of nothing yet. `seed` only spreads retries.
    pub fn new(me: NodeId, options: &Options, seed: u64, now: Millis) -> Roster {
        panic!("{me} {options:?} {seed} {now:?}")
    }

    /// This node begins, or goes on, under `epoch`; its users stay.
    pub fn begin(&mut self, epoch: Epoch, now: Millis) {
        panic!("{epoch:?} {now:?}")
    }

    /// Changes among this node's own users, as delta `seq` says them, and how many clients have no
    /// uid. They do not come by echo: the view is right at once, bus or not.
    pub fn own(
        &mut self,
        epoch: Epoch,
        seq: u64,
        changes: &[(Uid, Kinds)],
        anonymous: [u64; 2],
        now: Millis,
    ) {
        panic!("{epoch:?} {seq} {changes:?} {anonymous:?} {now:?}")
    }

    /// This node's next beat, to be published at once: what is not published was not said.
    pub fn beat(&mut self, server_id: &Arc<str>, now: Millis) -> Beat {
        panic!("{server_id} {now:?}")
    }

    /// The highest epoch that was heard for this node's own id before [`Roster::begin`].
    pub fn highest_own(&self) -> Option<Epoch> {
        panic!("{}", self.me)
    }

    /// A message came.
    pub fn hear(&mut self, message: Message, now: Millis) -> Heard {
        panic!("{message:?} {now:?}")
    }

    /// Time passes. To be called at [`Roster::next`] or earlier; later by more than a second is
    /// what a paused process looks like, and nobody is judged then.
    pub fn tick(&mut self, now: Millis) {
        panic!("{now:?}")
    }

    /// When to call [`Roster::tick`] next.
    pub fn next(&self) -> Millis {
        Millis::MAX
    }

    /// Whom to ask for what, now. Each is answered by one [`Roster::answered`].
    pub fn take_asks(&mut self, now: Millis) -> Vec<(NodeId, SyncReq)> {
        panic!("{now:?}")
    }

    /// The answer to what was asked of `node`.
    pub fn answered(&mut self, node: &NodeId, answer: Result<SyncAnswer, Unanswered>, now: Millis) {
        panic!("{node} {answer:?} {now:?}")
    }

    /// The bus is connected, or is not.
    pub fn bus(&mut self, up: bool, now: Millis) {
        panic!("{up} {now:?}")
    }

    /// Whether this node may speak for the cluster.
    ///
    /// # Errors
    /// [`NotReady`] says why not.
    pub fn ready(&self) -> Result<(), NotReady> {
        Err(NotReady::Young)
    }

    /// The ready node of the lowest epoch, of equals the one of the lowest id, as far as heard.
    pub fn teller(&self) -> Option<&NodeId> {
        Some(&self.me)
    }

    /// All live nodes in the order of their ids, this one included once it has begun.
    pub fn nodes(&self) -> impl Iterator<Item = NodeView<'_>> {
        std::iter::empty()
    }

    /// On which nodes a user is, and how. O(log n).
    pub fn uid(&self, uid: &Uid) -> impl Iterator<Item = (&NodeId, Kinds)> {
        let _ = uid;
        std::iter::empty()
    }

    /// How a user is there, on all nodes together. O(log n).
    pub fn kinds(&self, uid: &Uid) -> Kinds {
        panic!("{uid}")
    }

    /// How many there are. O(1).
    pub fn counts(&self) -> Counts {
        Counts::default()
    }

    /// The users after `after`, in order, those by `only` alone if it is given.
    pub fn page(
        &self,
        after: Option<&Uid>,
        limit: usize,
        only: Option<Transport>,
    ) -> Page<(Uid, Kinds)> {
        panic!("{after:?} {limit} {only:?}")
    }

    /// Who changed since the last call, each once.
    pub fn take_diffs(&mut self) -> Vec<Diff> {
        Vec::new()
    }

    /// Bans that snapshots brought since the last call: who, and until when by the wall clock.
    pub fn take_bans(&mut self) -> Vec<(Uid, u64)> {
        Vec::new()
    }

    /// The feed has said that this user is online, or offline.
    pub fn set_told(&mut self, uid: &Uid, told: bool, now: Millis) {
        panic!("{uid} {told} {now:?}")
    }

    /// Whether the feed has said last that this user is online.
    pub fn is_told(&self, uid: &Uid) -> bool {
        panic!("{uid}")
    }

    /// Who is online by the feed, in order.
    pub fn told_page(&self, after: Option<&Uid>, limit: usize) -> Page<Uid> {
        panic!("{after:?} {limit}")
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
        panic!("{after:?} {until:?} {told:?} {now:?}")
    }

    /// Who is in the view and not told, or told and not in the view: since when, and whether in
    /// the view. In order.
    pub fn differing(&self) -> impl Iterator<Item = (&Uid, Millis, bool)> {
        std::iter::empty()
    }
}
