//! How a user is there: by WebSocket, by polling, by both, or not at all.

use std::fmt;

use crate::transport::Transport;

/// A set of transports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

impl Kinds {
    /// Not there.
    pub const NONE: Kinds = Kinds(0);
    /// By WebSocket.
    pub const WS: Kinds = Kinds(1);
    /// By polling.
    pub const POLL: Kinds = Kinds(2);
    /// By both.
    pub const BOTH: Kinds = Kinds(3);

    /// Only this one.
    pub const fn of(transport: Transport) -> Kinds {
        match transport {
            Transport::Ws => Kinds::WS,
            Transport::Poll => Kinds::POLL,
        }
    }

    /// These, and `transport`.
    pub const fn with(self, transport: Transport) -> Kinds {
        self.union(Kinds::of(transport))
    }

    /// These, but not `transport`.
    pub const fn without(self, transport: Transport) -> Kinds {
        Kinds(self.0 & !Kinds::of(transport).0)
    }

    /// Both together.
    pub const fn union(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// Whether `transport` is one of these.
    pub const fn has(self, transport: Transport) -> bool {
        self.0 & Kinds::of(transport).0 != 0
    }

    /// Whether there is none.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The number on the wire: 0 gone, 1 ws, 2 poll, 3 both.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// What a number on the wire means.
    pub const fn from_code(code: u64) -> Option<Kinds> {
        match code {
            0..=3 => Some(Kinds(code as u8)),
            _ => None,
        }
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Kinds::NONE => "gone",
            Kinds::WS => "ws",
            Kinds::POLL => "poll",
            _ => "ws and poll",
        })
    }
}
