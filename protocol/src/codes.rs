//! The numbered errors and close codes of the protocol, and what each asks the other side to do.

use std::fmt;

/// Why an item, a handshake or a push was refused. The number is what travels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub u32);

/// Why a connection was closed: the WebSocket close code, also carried by `bye`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(pub u16);

macro_rules! table {
    ($type:ident($number:ty) { $($(#[$doc:meta])* $constant:ident = $value:literal, $name:literal;)+ }) => {
        impl $type {
            $($(#[$doc])* pub const $constant: $type = $type($value);)+

            /// Every code this version knows, in rising order.
            pub const ALL: &'static [$type] = &[$($type::$constant),+];

            /// The short name used in logs and metrics.
            pub fn name(self) -> &'static str {
                match self.0 { $($value => $name,)+ _ => self.unnamed() }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {}", self.0, self.name())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

table!(ErrorCode(u32) {
    /// Not an event or not a frame of the right shape.
    BAD_EVENT = 1, "bad-event";
    /// A name outside its grammar: event id, uid, client id, session id.
    BAD_ID = 2, "bad-id";
    /// An event id without a namespace.
    NO_NAMESPACE = 3, "no-namespace";
    /// An event id under `chsk/`, which belongs to the library.
    RESERVED = 4, "reserved";
    /// Not well-formed in its codec, or of an unknown kind.
    UNDECODABLE = 5, "undecodable";
    /// More bytes or elements than allowed.
    TOO_LARGE = 6, "too-large";
    /// Nested deeper than allowed.
    TOO_DEEP = 7, "too-deep";
    /// Too many at once; the same again later may succeed.
    RATE = 8, "rate";
    /// Nobody in the process or on the bus answers this event.
    NO_HANDLER = 9, "no-handler";
    /// The handler failed, panicked, or dropped its reply unused.
    HANDLER_FAILED = 10, "handler-failed";
    /// No answer within the deadline.
    TIMEOUT = 11, "timeout";
    /// The session or connection ended first.
    CLOSED = 12, "closed";
    /// The bus between the nodes is down; the same again later may succeed.
    BUS_DOWN = 13, "bus-down";
});

impl ErrorCode {
    /// The first number that belongs to the application.
    pub const FIRST_APPLICATION: u32 = 1000;

    /// Whether the same item, sent again later, may succeed.
    pub fn retryable(self) -> bool {
        matches!(self, ErrorCode::RATE | ErrorCode::BUS_DOWN)
    }

    /// Whether an application chose this number; the library's own are all below.
    pub fn is_application(self) -> bool {
        self.0 >= ErrorCode::FIRST_APPLICATION
    }

    fn unnamed(self) -> &'static str {
        if self.is_application() {
            "application"
        } else {
            "unknown"
        }
    }
}

table!(CloseCode(u16) {
    /// The server process is going away.
    GOING_AWAY = 1001, "going-away";
    /// The server process restarts.
    SERVICE_RESTART = 1012, "service-restart";
    /// Open the next connection elsewhere, at the time the `bye` names.
    MOVE = 4000, "move";
    /// The client did not read what waited for it; the session ended.
    SLOW = 4001, "slow";
    /// Nothing was heard in time.
    PING_TIMEOUT = 4002, "ping-timeout";
    /// The node is not open yet, or no longer.
    RESTARTING = 4003, "restarting";
    /// No hello within 5 s.
    NO_HELLO = 4408, "no-hello";
    /// The rules of the conversation were broken.
    PROTOCOL = 4500, "protocol";
    /// The client must log in first.
    UNAUTHORIZED = 4501, "unauthorized";
    /// The client may not connect.
    FORBIDDEN = 4503, "forbidden";
    /// Somebody put this user out.
    KICKED = 4504, "kicked";
    /// A newer connection of the same session took its place.
    SUPERSEDED = 4505, "superseded";
    /// Too many refused items on one connection.
    TOO_MANY_ERRORS = 4506, "too-many-errors";
    /// No version or codec in common.
    VERSION = 4507, "version";
});

impl CloseCode {
    /// Whether the client should connect again by itself.
    ///
    /// Of our own range, 4000–4499 say yes and 4500–4999 no. Of all others, only what a proxy
    /// or a lost peer would cause is worth coming back for, and that is every one of them:
    /// a code we did not choose never ends a client for good.
    pub fn comes_back(self) -> bool {
        !(4500..=4999).contains(&self.0)
    }

    fn unnamed(self) -> &'static str {
        match self.0 {
            1000 => "normal",
            1006 => "abnormal",
            4000..=4499 => "come-back",
            4500..=4999 => "stay-away",
            _ => "other",
        }
    }
}

/// A numbered error with its text for people, as it travels in a reply or an error frame.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Refusal {
    /// What the sender should do about it.
    pub code: ErrorCode,
    /// Lower case, for a log or a developer; never a payload, never a credential.
    pub message: String,
}

impl Refusal {
    /// A refusal with this text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal {
            code,
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests;
