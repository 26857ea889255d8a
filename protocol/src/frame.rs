//! The frames of both directions: what each side may say, apart from how it is written.

mod client;
pub(crate) mod read;
mod server;

pub(crate) use read::{has_kind, is_item};

use crate::codes::{CloseCode, Refusal};
use crate::data::Data;
use crate::ids::{ClientId, EventId, NodeId, SessionId, Uid};

/// What a client says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientFrame {
    /// The first frame of every connection.
    Hello(ClientHello),
    /// An event that wants no reply (item).
    Event {
        /// Never reserved.
        id: EventId,
        /// What it says; null when absent.
        data: Data,
    },
    /// An event that wants a reply (item).
    Request {
        /// The *ref*: chosen by the client, free again once replied to.
        request: u32,
        /// Never reserved.
        id: EventId,
        /// What it says; null when absent.
        data: Data,
        /// How long the caller waits; 0 when it leaves that to the node.
        timeout_ms: u64,
    },
    /// Everything up to this position of the server's items has arrived.
    Ack {
        /// How many items of the server the client has counted.
        received: u64,
    },
    /// Are you there?
    Ping {
        /// So many bytes come next in one frame: be patient.
        ahead: Option<u64>,
    },
    /// I am.
    Pong,
    /// The client is about to close.
    Bye {
        /// Why.
        code: CloseCode,
        /// Why, for people.
        reason: String,
    },
    /// Something without a position could not be used.
    Error(Refusal),
}

/// What a server says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServerFrame {
    /// The answer to a hello.
    Hello(ServerHello),
    /// A push, or one of the library's own events (item).
    Event {
        /// May be reserved.
        id: EventId,
        /// What it says; null when absent.
        data: Data,
    },
    /// The answer to one request (item).
    Reply {
        /// The *ref* of the request.
        request: u32,
        /// The reply, or why there is none.
        outcome: Result<Data, Refusal>,
    },
    /// Everything up to this position of the client's items has been counted.
    Ack {
        /// How many items of the client the server has counted.
        received: u64,
        /// How many items the server has sent in this session, for the client to compare. Absent in
        /// the answer to a POST, which overtakes what the server sends.
        sent: Option<u64>,
    },
    /// Are you there?
    Ping {
        /// So many bytes come next in one frame: be patient.
        ahead: Option<u64>,
    },
    /// I am.
    Pong,
    /// The server is about to close, or asks the client to move.
    Bye {
        /// Why.
        code: CloseCode,
        /// Why, for people.
        reason: String,
        /// Come back no sooner than this.
        after_ms: u64,
        /// Spread the coming back evenly over this long after it.
        window_ms: u64,
    },
    /// Something without a position could not be used.
    Error(Refusal),
}

/// How a client introduces itself on every connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientHello {
    /// Which tab or device this is. Claimed, never a proof of anything.
    pub client: ClientId,
    /// Raised at every hello of a session; the higher connection wins.
    pub attempt: u64,
    /// The session to go on with; none begins a new one.
    pub session: Option<SessionId>,
    /// How many items of that session the client has counted.
    pub received: Option<u64>,
    /// What the application wants its handlers to know about this client.
    pub params: Option<Data>,
}

/// How a server answers a hello.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerHello {
    /// The session this connection belongs to from now on.
    pub session: SessionId,
    /// Whether it is the one the client named, with its queue.
    pub resumed: bool,
    /// Whether something may be missing: refetch.
    pub gap: bool,
    /// How many items of the client the server has counted; send again from there.
    pub received: u64,
    /// Who the server takes the client for.
    pub uid: Option<Uid>,
    /// What the application's handshake hook says.
    pub data: Data,
    /// The server is never silent for longer.
    pub ping_ms: u64,
    /// Largest frame the server takes.
    pub max_bytes: u64,
    /// Who answered.
    pub node: NodeId,
}

/// Why a complete frame was refused, and what the counting rule needs to know of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct Undecodable {
    /// What to answer.
    pub refusal: Refusal,
    /// Whether the frame counts as one item: every frame does that is not known to be control.
    pub item: bool,
    /// The *ref* to answer, when the frame was a request and said so before it broke.
    pub request: Option<u32>,
}

impl ClientFrame {
    /// Whether the frame has a position.
    pub fn is_item(&self) -> bool {
        matches!(
            self,
            ClientFrame::Event { .. } | ClientFrame::Request { .. }
        )
    }
}

impl ServerFrame {
    /// Whether the frame has a position.
    pub fn is_item(&self) -> bool {
        matches!(self, ServerFrame::Event { .. } | ServerFrame::Reply { .. })
    }
}
