//! What a client session asks of its driver, and how its promises end.

use super::State;
use crate::codes::{ErrorCode, Refusal};
use crate::data::Data;
use crate::ids::EventId;
use crate::transport::Transport;
use bytes::Bytes;
use std::sync::Arc;

/// One thing for the driver to do, in order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Open a connection over this transport; then [`opened`](super::Session::opened) or [`closed`](super::Session::closed).
    Open {
        connection: u64,
        transport: Transport,
        attempt: u64,
    },
    /// Send one frame (its body; the transport adds its header). `position` is its place among
    /// the items, `None` for control.
    Write {
        connection: u64,
        frame: Bytes,
        position: Option<u64>,
    },
    /// Say goodbye and close. Nothing that comes from it afterwards is heard.
    Close {
        connection: u64,
        code: u16,
        reason: String,
    },
    /// A WebSocket could not be opened and nobody said why: ask by a plain GET of the same address,
    /// with the same credentials, and tell [`asked`](super::Session::asked).
    Ask { connection: u64 },
    /// Drop the socket without a goodbye (a test aid).
    Abort { connection: u64 },
    /// Neither read nor write it any more, until it is closed or aborted (a test aid).
    Mute { connection: u64 },
    /// Give this to the application.
    Event(Event),
    /// The promise behind `token` has ended.
    Resolved { token: Token, outcome: Outcome },
    /// The state has changed.
    State { old: Arc<State>, new: Arc<State> },
}

/// One event of the client's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    pub data: Data,
    pub source: Source,
}

/// Where an event of the client's stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The cluster pushed it.
    Push,
    /// The library tells of itself: every `chsk/` event.
    Library,
    /// The application put it there.
    Injected,
}

impl Source {
    /// The word for logs and JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            Source::Push => "push",
            Source::Library => "library",
            Source::Injected => "injected",
        }
    }
}

/// Names one promise: the outcome of a `send` or `request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// How a promise ended: the reply, or null for an acknowledged event; else why not.
pub type Outcome = Result<Data, Failure>;

/// Why there is no reply, or no acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// Whether the item was ever written to a connection. `false` is safe to repeat; with `true`
    /// it may have been handled.
    pub sent: bool,
    /// What the other end said, or the rule that was broken here.
    pub refusal: Option<Refusal>,
}

/// What a caller does about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No answer within the deadline.
    Timeout,
    /// The connection or the session ended first, or there is none.
    Closed,
    /// Refused by the library at either end; the refusal says why.
    Error,
    /// Nobody answers this event.
    NoHandler,
    /// The application's own error (code ≥ 1000).
    Application,
}

impl FailureKind {
    /// The word for logs and JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Timeout => "timeout",
            FailureKind::Closed => "closed",
            FailureKind::Error => "error",
            FailureKind::NoHandler => "no-handler",
            FailureKind::Application => "application",
        }
    }
}

impl Failure {
    pub(super) fn closed(sent: bool) -> Failure {
        Failure {
            kind: FailureKind::Closed,
            sent,
            refusal: None,
        }
    }

    pub(super) fn timeout() -> Failure {
        Failure {
            kind: FailureKind::Timeout,
            sent: true,
            refusal: None,
        }
    }

    /// Refused here, before anything was written.
    pub(super) fn refused(code: ErrorCode, message: impl Into<String>) -> Failure {
        Failure {
            kind: FailureKind::Error,
            sent: false,
            refusal: Some(Refusal::new(code, message)),
        }
    }

    /// What the other end answered.
    pub(super) fn answered(refusal: Refusal) -> Failure {
        let kind = match refusal.code {
            ErrorCode::TIMEOUT => FailureKind::Timeout,
            ErrorCode::CLOSED => FailureKind::Closed,
            ErrorCode::NO_HANDLER => FailureKind::NoHandler,
            code if code.is_application() => FailureKind::Application,
            _ => FailureKind::Error,
        };
        Failure {
            kind,
            sent: true,
            refusal: Some(refusal),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.name())?;
        if !self.sent {
            f.write_str(", not sent")?;
        }
        match &self.refusal {
            Some(refusal) => write!(f, ": {refusal}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// How a connection ended, or failed to open, as its transport tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportClose {
    /// The closing handshake was complete.
    pub clean: bool,
    /// The close code, if one was received.
    pub code: Option<u16>,
    pub reason: String,
    /// The HTTP status that refused the connection, and our own error code if the refusal is ours
    /// (`Tengen-Error`); a proxy's has none.
    pub refused: Option<(u16, Option<ErrorCode>)>,
    /// How long the refusal asks to stay away (`Retry-After`).
    pub retry_after_ms: Option<u64>,
    /// What the transport says of a fault, for people.
    pub error: Option<String>,
}
