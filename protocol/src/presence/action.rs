//! What a node's presence asks of its driver, and how the driver answers.

use bytes::Bytes;

use super::Epoch;
use crate::ids::{NodeId, Uid};

/// A subject of presence that all nodes hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// `<prefix>.presence`: deltas, beats, byes.
    Presence,
    /// `<prefix>.presence.changes`: the feed of the teller.
    Changes,
}

/// A question that a node answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// `<prefix>.node.<id>.sync`: this node's own users, or the deltas that the asker missed.
    Sync,
    /// `<prefix>.node.<id>.differs`: what the asker has not been told, for the teller.
    Differs,
    /// `<prefix>.presence.told`: what the feed has told; answered by the teller alone.
    Told,
}

/// Names a question until its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// Why a question got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unanswered {
    /// Nobody listens there.
    Nobody,
    /// Not in time, or with a refusal.
    Late,
    /// This node's own bus is down.
    BusDown,
}

/// What the driver is to do. In the order in which they are taken, as far as the bus keeps order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publish; if the bus is down, or does not take it at once, drop it: later beats repair that.
    Publish { channel: Channel, body: Bytes },
    /// Ask one node and hand back the answer within `limit_ms`.
    Ask {
        id: AskId,
        node: NodeId,
        door: Door,
        body: Bytes,
        limit_ms: u64,
    },
    /// Ask for what has been told, whoever tells, and hand back the answer within `limit_ms`.
    AskTold {
        id: AskId,
        body: Bytes,
        limit_ms: u64,
    },
    /// This node is the teller and has told this: run the application's handlers, then say that
    /// all up to `n` of `epoch` is handled.
    Told {
        epoch: Epoch,
        n: u64,
        opens: Vec<Uid>,
        closes: Vec<Uid>,
    },
    /// Another process has this node's id: end this one with 78, `EX_CONFIG`.
    Exit { why: &'static str },
}
