//! What nodes say of their own users to all others: deltas, beats, byes.

use std::sync::Arc;

use bytes::Bytes;

use super::wire::{BadMessage, Reader, Writer};
use super::{Epoch, Kinds};
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;

const DELTA: u64 = 1;
const BEAT: u64 = 2;
const BYE: u64 = 3;

/// More than any name of a server; it is kept for every node.
const MAX_SERVER_ID: usize = 256;

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

impl Delta {
    /// The four fields of a delta.
    pub(super) fn write(&self, out: &mut Writer) {
        out.text(self.node.as_str());
        out.number(self.epoch.0);
        out.number(self.seq);
        out.changes(&self.changes);
    }
}

fn server_id(fields: &mut Reader<'_>) -> Result<Arc<str>, BadMessage> {
    let name = fields.text()?;
    if name.len() > MAX_SERVER_ID {
        return Err(BadMessage::Malformed("server id"));
    }
    Ok(name.into())
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
        match self {
            Message::Delta(delta) => {
                let mut out = Writer::message(DELTA, 4);
                delta.write(&mut out);
                out.done()
            }
            Message::Beat(beat) => {
                let mut out = Writer::message(BEAT, 11);
                out.text(beat.node.as_str());
                out.number(beat.epoch.0);
                out.number(beat.seq);
                out.number(beat.digest);
                out.number(beat.users);
                out.number(beat.anonymous[0]);
                out.number(beat.anonymous[1]);
                out.truth(beat.ready);
                out.text(&beat.server_id);
                out.number(beat.key_fingerprint);
                out.number(beat.at.0);
                out.done()
            }
            Message::Bye { node, epoch } => {
                let mut out = Writer::message(BYE, 2);
                out.text(node.as_str());
                out.number(epoch.0);
                out.done()
            }
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &[u8]) -> Result<Message, BadMessage> {
        let (kind, mut fields) = Reader::message(bytes)?;
        let message = match kind {
            DELTA => Message::Delta(Delta {
                node: fields.field(Reader::node)?,
                epoch: fields.field(Reader::epoch)?,
                seq: fields.field(Reader::number)?,
                changes: fields.field(Reader::changes)?,
            }),
            BEAT => Message::Beat(Beat {
                node: fields.field(Reader::node)?,
                epoch: fields.field(Reader::epoch)?,
                seq: fields.field(Reader::number)?,
                digest: fields.field(Reader::number)?,
                users: fields.field(Reader::number)?,
                anonymous: [fields.field(Reader::number)?, fields.field(Reader::number)?],
                ready: fields.field(Reader::truth)?,
                server_id: fields.field(server_id)?,
                key_fingerprint: fields.field(Reader::number)?,
                at: Millis(fields.field(Reader::number)?),
            }),
            BYE => Message::Bye {
                node: fields.field(Reader::node)?,
                epoch: fields.field(Reader::epoch)?,
            },
            other => return Err(BadMessage::Kind(other)),
        };
        fields.end()?;
        Ok(message)
    }
}
