//! What nodes say of their own users to all others: deltas, beats, byes.

use std::sync::Arc;

use bytes::Bytes;

use super::wire::BadMessage;
use super::{Epoch, Kinds};
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;

/// Changes among a node's own users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Whose users.
    pub node: NodeId,
    /// Which life of the node.
    pub epoch: Epoch,
    /// Its number: one more than that of the delta before; the first is 1.
    pub seq: u64,
    /// How each of these is there now; [`Kinds::NONE`] for who has gone.
    pub changes: Vec<(Uid, Kinds)>,
}

/// A node is there, and this is how many users it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Which node.
    pub node: NodeId,
    /// Which life of the node: grows with every start, about the wall clock's milliseconds.
    pub epoch: Epoch,
    /// The number of its last delta; 0 before the first.
    pub seq: u64,
    /// All of its users at `seq`: the xor of [`super::digest_of`] of each.
    pub digest: u64,
    /// How many users that is.
    pub users: u64,
    /// Clients without a uid, by WebSocket and by polling.
    pub anonymous: [u64; 2],
    /// Whether the node would tell, and answer for the cluster.
    pub ready: bool,
    /// The server of the bus that the node is connected to.
    pub server_id: Arc<str>,
    /// Tells nodes whose cookies each other cannot read.
    pub key_fingerprint: u64,
    /// When it was said, by the sender's own clock: nobody else can read it. The sender tells by
    /// it how long its beat took to come back.
    pub at: Millis,
}

/// A message on `<prefix>.presence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Some users came or went.
    Delta(Delta),
    /// The node is there.
    Beat(Beat),
    /// The node leaves.
    Bye {
        /// Which node.
        node: NodeId,
        /// Which life of it.
        epoch: Epoch,
    },
}

impl Message {
    /// Of which node it speaks.
    pub fn node(&self) -> &NodeId {
        match self {
            Message::Delta(Delta { node, .. })
            | Message::Beat(Beat { node, .. })
            | Message::Bye { node, .. } => node,
        }
    }

    /// Of which life of the node.
    pub fn epoch(&self) -> Epoch {
        match self {
            Message::Delta(Delta { epoch, .. })
            | Message::Beat(Beat { epoch, .. })
            | Message::Bye { epoch, .. } => *epoch,
        }
    }

    /// The message's bytes.
    pub fn encode(&self) -> Bytes {
        panic!("{self:?}")
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Result<Message, BadMessage> {
        panic!("{bytes:?}")
    }
}
