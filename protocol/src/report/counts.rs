//! The messages with which a node tells the collecting one how many clients it queued pushes for, and that one and the second in line talk.

use bytes::Bytes;

use super::ReportId;
use crate::cbor;
use crate::codec::Codec;
use crate::data::Data;
use crate::ids::NodeId;
use crate::limits::Limits;
use crate::value::Value;

/// The version that every message begins with. A node ignores, and counts, any other.
const VERSION: u64 = 1;
const COUNTS: u64 = 48;
const ANSWERED: u64 = 49;
const RECOUNT: u64 = 50;

/// Counts in one message at most: what one drain of a busy node brings together.
pub const MAX_COUNTS: usize = 256;

/// What one message may be: [`MAX_COUNTS`] of 27 bytes, and what a later version may add.
const LIMITS: Limits = Limits {
    max_bytes: 64 << 10,
    max_depth: 4,
    max_elements: 4 * MAX_COUNTS + 16,
};

/// A message that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCounts {
    /// Of a later version: a node that is newer than this one. Ignore it, and count it.
    #[error("version {0} of the counts is not known")]
    Version(u64),
    /// Another kind of message, perhaps for another part of the node.
    #[error("kind {0} is no counts")]
    Kind(u64),
    /// Truncated, too large, or with a field that is not what it should be.
    #[error("the counts are malformed: {0}")]
    Malformed(&'static str),
}

/// Told to `<prefix>.node.<id>.counted`: `[1, 48, node, [report, clients, report, clients, …]]`,
/// a report's name as 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Who counted.
    pub node: NodeId,
    /// For each report the clients that its push was queued for. At most [`MAX_COUNTS`].
    pub counts: Vec<(ReportId, u64)>,
}

impl Counts {
    /// The message's bytes.
    pub fn encode(&self) -> Bytes {
        let flat = self.counts.iter();
        let flat = flat.flat_map(|(report, clients)| [name(*report), whole(*clients)]);
        write(COUNTS, &self.node, flat.collect())
    }

    /// Reads a message; fields behind those known are of a later time and ignored.
    ///
    /// # Errors
    /// [`BadCounts`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Result<Counts, BadCounts> {
        let malformed = BadCounts::Malformed;
        let (kind, node, flat) = read(bytes)?;
        if kind != COUNTS {
            return Err(BadCounts::Kind(kind));
        }
        if flat.len() > 2 * MAX_COUNTS {
            return Err(malformed("more counts than one message may hold"));
        }
        let mut counts = Vec::with_capacity(flat.len() / 2);
        let mut flat = flat.into_iter();
        while let Some(report) = flat.next() {
            let report = named(&report)?;
            let clients = number(flat.next().as_ref()).ok_or(malformed("a count is missing"))?;
            counts.push((report, clients));
        }
        Ok(Counts { node, counts })
    }
}

/// What the first and the second in line say about reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// The first one to the second: these are answered, each as often as it is named, or refused
    /// because too many are under way.
    Answered,
    /// The second one to who has counted: say it to me, the first one is silent.
    Recount,
}

/// Told to `<prefix>.node.<id>.report`: `[1, kind, node, [report, …]]`; kind 49: answered, 50: recount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Who says it.
    pub node: NodeId,
    /// What.
    pub word: Word,
    /// Of which reports. At most [`MAX_COUNTS`].
    pub reports: Vec<ReportId>,
}

impl About {
    /// The message's bytes.
    pub fn encode(&self) -> Bytes {
        let kind = match self.word {
            Word::Answered => ANSWERED,
            Word::Recount => RECOUNT,
        };
        write(
            kind,
            &self.node,
            self.reports.iter().copied().map(name).collect(),
        )
    }

    /// Reads a message; fields behind those known are of a later time and ignored.
    ///
    /// # Errors
    /// [`BadCounts`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Result<About, BadCounts> {
        let (kind, node, names) = read(bytes)?;
        let word = match kind {
            ANSWERED => Word::Answered,
            RECOUNT => Word::Recount,
            other => return Err(BadCounts::Kind(other)),
        };
        if names.len() > MAX_COUNTS {
            return Err(BadCounts::Malformed(
                "more reports than one message may name",
            ));
        }
        let reports = names.iter().map(named).collect::<Result<_, _>>()?;
        Ok(About {
            node,
            word,
            reports,
        })
    }
}

fn write(kind: u64, node: &NodeId, list: Vec<Value>) -> Bytes {
    let message = Value::Array(vec![
        whole(VERSION),
        whole(kind),
        Value::Text(node.as_str().to_owned()),
        Value::Array(list),
    ]);
    let mut out = Vec::new();
    // Two levels of values: too deep is the only thing that writing refuses.
    cbor::write(&message, &mut out).expect("a flat message");
    out.into()
}

/// Kind, sender and list of a message.
fn read(bytes: &Bytes) -> Result<(u64, NodeId, Vec<Value>), BadCounts> {
    let malformed = BadCounts::Malformed;
    // Checked first, because a value takes fifty times the bytes of its encoding.
    let checked = Data::checked(Codec::Cbor, bytes.clone(), &LIMITS)
        .map_err(|_| malformed("not cbor, or too much of it"))?;
    let Ok(Value::Array(fields)) = checked.value() else {
        return Err(malformed("not an array"));
    };
    let mut fields = fields.into_iter();
    match number(fields.next().as_ref()).ok_or(malformed("a version is missing"))? {
        VERSION => {}
        other => return Err(BadCounts::Version(other)),
    }
    let kind = number(fields.next().as_ref()).ok_or(malformed("a kind is missing"))?;
    if !(COUNTS..=RECOUNT).contains(&kind) {
        return Err(BadCounts::Kind(kind));
    }
    let Some(Value::Text(node)) = fields.next() else {
        return Err(malformed("a node is missing"));
    };
    let node = NodeId::parse(&node).map_err(|_| malformed("node id"))?;
    let Some(Value::Array(list)) = fields.next() else {
        return Err(malformed("the list is missing"));
    };
    Ok((kind, node, list))
}

fn whole(number: u64) -> Value {
    Value::Int(i128::from(number))
}

fn name(report: ReportId) -> Value {
    Value::Bytes(Bytes::copy_from_slice(&report.to_be_bytes()))
}

fn named(value: &Value) -> Result<ReportId, BadCounts> {
    let bytes = match value {
        Value::Bytes(bytes) => <[u8; 16]>::try_from(&bytes[..]).ok(),
        _ => None,
    };
    let bytes = bytes.ok_or(BadCounts::Malformed("a report's name has not 16 bytes"))?;
    Ok(u128::from_be_bytes(bytes))
}

fn number(value: Option<&Value>) -> Option<u64> {
    match value {
        Some(Value::Int(number)) => u64::try_from(*number).ok(),
        _ => None,
    }
}
