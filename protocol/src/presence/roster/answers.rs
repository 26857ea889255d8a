//! What a roster answers: what became of a message, who is there, how many, and why it is not ready.

use std::sync::Arc;

use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::presence::{Epoch, Kinds};

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
