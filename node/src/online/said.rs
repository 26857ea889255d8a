//! What is answered about who is online, field by field as services and people see it.

use serde::Serialize;
use tengen_protocol::presence::who::Client;
use tengen_protocol::presence::{Counts, Kinds};
use tengen_protocol::{NodeId, Transport, Uid};

use super::{Place, Standing};

/// An object whose first fields say who answers, and how far to trust it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Said<T> {
    pub(crate) node: NodeName,
    #[serde(flatten)]
    pub(crate) standing: Standing,
    #[serde(flatten)]
    pub(crate) what: T,
}

/// The answer to a [`Query`](super::query::Query).
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Page(Listed),
    Count(Counted),
    One(Box<Found>),
}

/// Users in order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Listed {
    pub(crate) uids: Vec<There>,
    /// The cursor of the next page; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// One user, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct There {
    pub(crate) uid: String,
    #[serde(flatten)]
    pub(crate) by: By,
}

/// By which transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct By {
    pub(crate) ws: bool,
    pub(crate) poll: bool,
}

/// How many there are. A user with both transports counts in both, and once in `any`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Counted {
    pub(crate) ws: usize,
    pub(crate) poll: usize,
    pub(crate) any: usize,
    pub(crate) anonymous: Anonymous,
}

/// How many clients have no uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Anonymous {
    pub(crate) ws: u64,
    pub(crate) poll: u64,
}

/// One user: online or not, and where.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    #[serde(flatten)]
    pub(crate) user: There,
    pub(crate) nodes: Vec<OnNode>,
    #[serde(flatten)]
    pub(crate) sessions: Option<Sessions>,
}

/// A node, and how a user is on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct OnNode {
    pub(crate) node: NodeName,
    #[serde(flatten)]
    pub(crate) by: By,
}

/// A user's sessions.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sessions {
    pub(crate) sessions: Vec<Session>,
    /// Nodes that did not say all.
    pub(crate) missing: Vec<NodeName>,
}

/// One session.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Session {
    pub(crate) node: NodeName,
    /// A hash that names the session; not its id.
    pub(crate) session: String,
    pub(crate) uid: Option<String>,
    pub(crate) client: String,
    pub(crate) transport: &'static str,
    pub(crate) attached: bool,
    pub(crate) age_ms: u64,
    pub(crate) idle_ms: u64,
    pub(crate) queue_items: u64,
    pub(crate) queue_bytes: u64,
}

/// A node's id in an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct NodeName(String);

impl From<&NodeId> for NodeName {
    fn from(node: &NodeId) -> NodeName {
        NodeName(node.as_str().to_owned())
    }
}

impl From<Kinds> for By {
    fn from(kinds: Kinds) -> By {
        By {
            ws: kinds.has(Transport::Ws),
            poll: kinds.has(Transport::Poll),
        }
    }
}

impl There {
    pub(crate) fn new(uid: &Uid, kinds: Kinds) -> There {
        There {
            uid: uid.as_str().to_owned(),
            by: kinds.into(),
        }
    }
}

impl From<Counts> for Counted {
    fn from(counts: Counts) -> Counted {
        let [ws, poll] = counts.anonymous;
        Counted {
            ws: counts.ws,
            poll: counts.poll,
            any: counts.any,
            anonymous: Anonymous { ws, poll },
        }
    }
}

impl From<&Place> for OnNode {
    fn from(place: &Place) -> OnNode {
        OnNode {
            node: (&place.node).into(),
            by: place.kinds.into(),
        }
    }
}

impl Session {
    pub(crate) fn new(node: &NodeId, uid: Option<&Uid>, client: Client) -> Session {
        Session {
            node: node.into(),
            session: client.session,
            uid: uid.map(|uid| uid.as_str().to_owned()),
            client: client.client.as_str().to_owned(),
            transport: client.transport.name(),
            attached: client.attached,
            age_ms: client.age_ms,
            idle_ms: client.idle_ms,
            queue_items: client.queue_items,
            queue_bytes: client.queue_bytes,
        }
    }
}

#[cfg(test)]
mod tests;
