//! The delivery report: whom a push reached, who puts that together, and the messages it takes.
//!
//! Every node that has clients of a user, or should have some, sends a count to the user's first
//! ready node in [`rendezvous`] order. That one knows from the roster whom to expect, and answers
//! the publisher once: a [`Collector`]. The second one in that order answers when the first does not
//! say that it has: a [`Standby`].

mod collector;
mod counts;
mod standby;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::codec::Codec;
use crate::data::Data;
use crate::ids::NodeId;
use crate::limits::Limits;
use crate::value::Value;

pub use collector::{Collector, Full};
pub use counts::{About, BadCounts, Counts, MAX_COUNTS, Word};
pub use standby::{Counted, Orphan, STANDBY_MS, Standby};

/// A report is answered after this, whoever is missing, in milliseconds.
pub const WAIT_MS: u64 = 250;

/// For a user who is connected nowhere as far as the roster knows: so long the answer waits for a
/// node to which the user came in the last moment, in milliseconds. A change takes up to 50 ms to
/// be told to all; a count takes one or two.
pub const SETTLE_MS: u64 = 50;

/// Whom a push reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Clients it was queued for, connected ones and those whose connection has just gone.
    pub clients: u64,
    /// Nodes that counted.
    pub nodes: u32,
    /// Nodes that should have counted, and did not in time. Above 0 `clients` is a lower bound.
    pub missing: u32,
}

impl Report {
    /// `{"clients": …, "nodes": …, "missing": …}`: the answer to a request.
    pub fn to_json(self) -> Bytes {
        json(&Value::Map(
            [
                ("clients", self.clients),
                ("nodes", u64::from(self.nodes)),
                ("missing", u64::from(self.missing)),
            ]
            .into_iter()
            .map(|(name, value)| (Value::from(name), number(value)))
            .collect(),
        ))
    }

    /// `[seq, index, clients, nodes, missing]`: what the publisher of a batch is told.
    pub fn to_batch_json(self, seq: u64, index: u16) -> Bytes {
        json(&Value::Array(vec![
            number(seq),
            number(u64::from(index)),
            number(self.clients),
            number(u64::from(self.nodes)),
            number(u64::from(self.missing)),
        ]))
    }

    /// Reads what [`Report::to_batch_json`] has written: batch, place in it, and the report.
    /// Further elements are ignored; `None` for anything else.
    pub fn from_batch_json(bytes: &Bytes) -> Option<(u64, u16, Report)> {
        let limits = Limits {
            max_bytes: 1024,
            ..Limits::default()
        };
        let data = Data::checked(Codec::Json, bytes.clone(), &limits).ok()?;
        let Ok(Value::Array(fields)) = data.value() else {
            return None;
        };
        let mut numbers = fields.into_iter().map(|field| match field {
            Value::Int(number) => u64::try_from(number).ok(),
            _ => None,
        });
        let mut next = || numbers.next().flatten();
        let (seq, index) = (next()?, u16::try_from(next()?).ok()?);
        let report = Report {
            clients: next()?,
            nodes: u32::try_from(next()?).ok()?,
            missing: u32::try_from(next()?).ok()?,
        };
        Some((seq, index, report))
    }
}

fn number(number: u64) -> Value {
    Value::Int(i128::from(number))
}

fn json(value: &Value) -> Bytes {
    // Two levels of numbers: neither depth nor anything else can be refused.
    let data = Data::from_value(Codec::Json, value).expect("numbers are writable");
    data.bytes().clone()
}

/// What names one report on its way between nodes: the same on all of them.
pub type ReportId = u128;

/// The name of the report of a push with a reply subject. `content` is the hash of what is pushed
/// to whom, `message` its message id or 0. Two equal pushes with the same reply subject have the
/// same name, and share what is counted.
pub fn id_of_request(reply: &str, content: u128, message: u128) -> ReportId {
    let mut hash = Xxh3::new();
    hash.update(&[0]);
    hash.update(&content.to_be_bytes());
    hash.update(&message.to_be_bytes());
    hash.update(reply.as_bytes());
    hash.digest128()
}

/// The name of the report of one push of a batch.
pub fn id_in_batch(publisher: u128, seq: u64, index: u16) -> ReportId {
    let mut hash = Xxh3::new();
    hash.update(&[1]);
    hash.update(&publisher.to_be_bytes());
    hash.update(&seq.to_be_bytes());
    hash.update(&index.to_be_bytes());
    hash.digest128()
}

/// The first of `nodes` in the rendezvous order of `key` (Thaler and Ravishankar, 1998): the one
/// with the highest `xxh3_64(key ‖ 0 ‖ node)`. Whoever knows the same nodes finds the same one, and
/// of all keys each node gets its share.
///
/// Costs one hash of key and id per node, about 10 ns.
pub fn rendezvous<'n>(
    key: &[u8],
    nodes: impl IntoIterator<Item = &'n NodeId>,
) -> Option<&'n NodeId> {
    rendezvous_two(key, nodes).map(|(first, _)| first)
}

/// The first and the second of `nodes` in the [`rendezvous`] order of `key`.
pub fn rendezvous_two<'n>(
    key: &[u8],
    nodes: impl IntoIterator<Item = &'n NodeId>,
) -> Option<(&'n NodeId, Option<&'n NodeId>)> {
    // A node id has at most 40 bytes.
    let mut bytes = Vec::with_capacity(key.len() + 1 + 40);
    bytes.extend_from_slice(key);
    bytes.push(0);
    let from = bytes.len();
    let (mut first, mut second) = (None, None);
    for node in nodes {
        bytes.truncate(from);
        bytes.extend_from_slice(node.as_str().as_bytes());
        let this = Some((xxh3_64(&bytes), node));
        if this > first {
            (first, second) = (this, first);
        } else {
            second = second.max(this);
        }
    }
    first.map(|(_, first)| (first, second.map(|(_, second)| second)))
}
