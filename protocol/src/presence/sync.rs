//! How a node catches up with another one's users: by the deltas it missed, or by a snapshot in parts.

use bytes::Bytes;

use super::users::Users;
use super::wire::{BadMessage, Reader, Writer};
use super::{Delta, Epoch};
use crate::ids::{NodeId, Uid};

const REQUEST: u64 = 4;
const DELTAS: u64 = 8;
const PART: u64 = 9;
const BUSY: u64 = 10;
const OTHER: u64 = 11;

/// Parts of one snapshot at most: 16 GiB of users.
const MAX_PARTS: u32 = 1 << 16;

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
        let mut out = Writer::message(REQUEST, 5);
        out.text(self.by.as_str());
        out.number(self.epoch.0);
        match self.have_seq {
            Some(seq) => out.number(seq),
            None => out.null(),
        }
        out.number(u64::from(self.part));
        match &self.after {
            Some(uid) => out.text(uid.as_str()),
            None => out.null(),
        }
        out.done()
    }

    /// Reads a question.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &[u8]) -> Result<SyncReq, BadMessage> {
        let (kind, mut fields) = Reader::message(bytes)?;
        if kind != REQUEST {
            return Err(BadMessage::Kind(kind));
        }
        let request = SyncReq {
            by: fields.field(Reader::node)?,
            epoch: fields.field(Reader::epoch)?,
            have_seq: fields.field(|field| field.maybe(Reader::number))?,
            part: fields.field(Reader::small)?,
            after: fields.field(|field| field.maybe(Reader::uid))?,
        };
        fields.end()?;
        Ok(request)
    }
}

impl SyncAnswer {
    /// The answer's bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            SyncAnswer::Deltas(deltas) => {
                let mut out = Writer::message(DELTAS, 1);
                out.list(deltas.len() as u64);
                for delta in deltas {
                    out.list(4);
                    delta.write(&mut out);
                }
                out.done()
            }
            SyncAnswer::Part(snapshot) => snapshot.encode(),
            SyncAnswer::Busy => Writer::message(BUSY, 0).done(),
            SyncAnswer::Other { epoch } => {
                let mut out = Writer::message(OTHER, 1);
                out.number(epoch.0);
                out.done()
            }
        }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &[u8]) -> Result<SyncAnswer, BadMessage> {
        let (kind, mut fields) = Reader::message(bytes)?;
        let answer = match kind {
            DELTAS => SyncAnswer::Deltas(fields.field(deltas)?),
            PART => SyncAnswer::Part(Snapshot::read(&mut fields)?),
            BUSY => SyncAnswer::Busy,
            OTHER => SyncAnswer::Other {
                epoch: fields.field(Reader::epoch)?,
            },
            other => return Err(BadMessage::Kind(other)),
        };
        fields.end()?;
        Ok(answer)
    }
}

impl Snapshot {
    /// Whether no part follows.
    pub fn is_last(&self) -> bool {
        self.part + 1 >= self.of
    }

    fn encode(&self) -> Bytes {
        let mut out = Writer::message(PART, 7);
        out.text(self.node.as_str());
        out.number(self.epoch.0);
        out.number(self.seq);
        out.number(u64::from(self.part));
        out.number(u64::from(self.of));
        self.users.write(&mut out);
        out.list(self.bans.len() as u64 * 2);
        for (uid, until_ms) in &self.bans {
            out.text(uid.as_str());
            out.number(*until_ms);
        }
        out.done()
    }

    fn read(fields: &mut Reader<'_>) -> Result<Snapshot, BadMessage> {
        let snapshot = Snapshot {
            node: fields.field(Reader::node)?,
            epoch: fields.field(Reader::epoch)?,
            seq: fields.field(Reader::number)?,
            part: fields.field(Reader::small)?,
            of: fields.field(Reader::small)?,
            users: fields.field(Users::read)?,
            bans: fields.field(bans)?,
        };
        // So that a part says whether it is the last one, and none can be without end.
        if snapshot.part >= snapshot.of || snapshot.of > MAX_PARTS {
            return Err(BadMessage::Malformed("a part of what cannot be"));
        }
        // Else an asker would ask for the same part again and again.
        if snapshot.users.is_empty() && !snapshot.is_last() {
            return Err(BadMessage::Malformed("an empty part before the last"));
        }
        Ok(snapshot)
    }
}

fn deltas(fields: &mut Reader<'_>) -> Result<Vec<Delta>, BadMessage> {
    let deltas = fields.list()?;
    let delta = |fields: &mut Reader<'_>| match fields.list()? {
        4 => Ok(Delta {
            node: fields.node()?,
            epoch: fields.epoch()?,
            seq: fields.number()?,
            changes: fields.changes()?,
        }),
        _ => Err(BadMessage::Malformed("a delta of another length")),
    };
    (0..deltas).map(|_| delta(fields)).collect()
}

fn bans(fields: &mut Reader<'_>) -> Result<Vec<(Uid, u64)>, BadMessage> {
    let pairs = fields.pairs()?;
    (0..pairs)
        .map(|_| Ok((fields.uid()?, fields.number()?)))
        .collect()
}
