//! Tengen's conversation between a client and the cluster, without I/O, clock or spawn.
//!
//! The life of a connection, and where each step is:
//!
//! 1. [`Codec`] is negotiated as the WebSocket's subprotocol, and kept for the session.
//! 2. [`client::Session`] writes a hello, a [`ClientFrame`] that names a [`ClientId`] and an attempt.
//! 3. [`server::Session::attach`] takes it: the newest connection wins, positions are compared.
//! 4. [`server::Session::receive`] reads each frame within [`Limits`]; what it cannot read is
//!    [`Undecodable`] and still counts.
//! 5. A handler or a service gets an [`EventId`] and [`Data`]: one encoded value, opaque until asked.
//! 6. Its reply, and every push, becomes an [`OutFrame`]: encoded once, shared by all it goes to.
//! 7. A push comes from the bus under a name of [`subject::Subjects`], as a [`RawEvent`]: checked,
//!    not built.
//! 8. [`server::Session::write`] drains the queue; an ack lets go of what has arrived.
//! 9. The connection breaks; the session stays, and the next hello goes on at the same position.
//! 10. A [`Refusal`] says by number what was wrong, a [`CloseCode`] whether to come back.
//!
//! The specification, for those who write a client of their own, is `protocol/README.md`.

// Names and numbers.
mod codec;
mod codes;
mod ids;
mod limits;
mod millis;
pub mod subject;
mod target;
mod transport;

// Values: what applications say.
mod data;
#[cfg(feature = "typed")]
pub mod typed;
mod value;

// Frames: what is said about it.
mod frame;
mod out_frame;
mod raw_event;
pub mod sequence;

// The conversation: both ends.
pub mod client;
mod out_queue;
pub mod presence;
pub mod relay;
pub mod report;
pub mod rules;
pub mod server;
pub mod takeover;

// How it is all written.
mod cbor;
mod flaw;
mod json;
mod parts;
mod writer;

#[cfg(feature = "fuzzing")]
pub mod fuzzing;

pub use codec::Codec;
pub use codes::{CloseCode, ErrorCode, Refusal};
pub use data::Data;
pub use frame::{ClientFrame, ClientHello, ServerFrame, ServerHello, Undecodable};
pub use ids::{ClientId, EventId, NodeId, RESERVED_NAMESPACE, SessionId, Uid};
pub use limits::Limits;
pub use millis::Millis;
pub use out_frame::OutFrame;
pub use raw_event::RawEvent;
pub use target::{Filter, Target};
pub use transport::Transport;
pub use value::{Time, Value};
