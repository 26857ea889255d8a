//! How a node catches up with another one's users: by the deltas it missed, or by a snapshot in parts.

use bytes::Bytes;

use super::users::Users;
use super::wire::BadMessage;
use super::{Delta, Epoch};
use crate::ids::{NodeId, Uid};

/// A question at `<prefix>.node.<id>.sync`: once for the missing deltas, or once per part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncReq {
    /// Who asks.
    pub by: NodeId,
    /// About which life of the node that is asked.
    pub epoch: Epoch,
    /// Up to which delta the asker has everything, if it trusts what it has: the missing deltas
    /// alone are enough then. In a question for a further part the number that the first part
    /// carried.
    pub have_seq: Option<u64>,
    /// Which part, from 0.
    pub part: u32,
    /// The last uid of the part before.
    pub after: Option<Uid>,
}

/// A part of a node's users, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose users.
    pub node: NodeId,
    /// Which life of the node.
    pub epoch: Epoch,
    /// The last delta before the *first* part was cut; what came later goes over all parts.
    pub seq: u64,
    /// Which part, from 0.
    pub part: u32,
    /// How many parts there are at least; `part + 1` says that this is the last one.
    pub of: u32,
    /// From behind the `after` of the question.
    pub users: Users,
    /// Who may not come in, and until when by the wall clock, in milliseconds since 1970; part 0
    /// alone has them.
    pub bans: Vec<(Uid, u64)>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncAnswer {
    /// Deltas from `have_seq + 1` on, in order; if they are too many for one answer the first of
    /// them, and the asker comes again.
    Deltas(Vec<Delta>),
    /// A part of everything.
    Part(Snapshot),
    /// Too many ask already: come again later.
    Busy,
    /// The node lives under another epoch.
    Other {
        /// Which.
        epoch: Epoch,
    },
}

impl SyncReq {
    /// The question's bytes.
    pub fn encode(&self) -> Bytes {
        panic!("{self:?}")
    }

    /// Reads a question.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Result<SyncReq, BadMessage> {
        panic!("{bytes:?}")
    }
}

impl SyncAnswer {
    /// The answer's bytes.
    pub fn encode(&self) -> Bytes {
        panic!("{self:?}")
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Result<SyncAnswer, BadMessage> {
        panic!("{bytes:?}")
    }
}
