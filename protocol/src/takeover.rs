//! How a session goes from one node to another without losing, repeating or reordering anything: the messages, who a push is, and the new node's procedure.
//!
//! The holder's half and the taker's queue are methods of [`crate::server::Session`]; the walk is
//! in ARCHITECTURE.md. Everything here is a value: a driver sends the messages, tells the time and
//! feeds the [`Journal`].

mod applied;
mod equals;
mod fields;
mod forward;
mod identity;
mod journal;
mod message;
mod snapshot;
mod taker;
mod way;

pub use applied::Applied;
pub(crate) use applied::HeardContent;
pub(crate) use applied::Upto;
pub(crate) use equals::{Base, Copies, Equal, FIRST, holder_is_ahead_by};
pub use fields::BadMessage;
pub use forward::Forward;
pub use identity::{Identity, Place};
pub use journal::Journal;
pub use message::{Answer, Release, ToNode};
pub(crate) use snapshot::{CarriedItem, Snapshot};
pub use taker::{Finish, Heard, Step, Taker};
pub(crate) use way::Way;

/// One attempt to take a session over: random, so that two nodes never mean the same by it.
pub type TakeId = u128;

/// The version that every message begins with. A node ignores, and counts, any other.
pub const VERSION: u64 = 1;

/// Bytes of a session's state that go into one answer.
pub const PART_BYTES: usize = 256 << 10;

/// Parts of one session at most: 16 MiB, eight times the largest queue there is by default.
pub const MAX_PARTS: u16 = 64;

/// An answer to a release is late after this.
pub const RELEASE_TIMEOUT_MS: u64 = 1_000;

/// An answer to a done is late after this; it is asked for twice, so it is settled within 1 s.
pub const DONE_TIMEOUT_MS: u64 = 500;

/// For so long after `done` the former holder forwards pushes that reach it late.
pub const FORWARD_MS: u64 = 10_000;

/// For so long a forwarded push waits for the node's own copy, which stands at its right place.
pub const HOLD_MS: u64 = 1_000;
