//! Tengen's conversation between a client and the cluster, without I/O, clock or spawn.

mod cbor;
pub mod client;
mod codec;
mod codes;
mod data;
mod flaw;
mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod ids;
mod json;
mod limits;
mod millis;
mod out_frame;
mod out_queue;
mod parts;
mod raw_event;
pub mod server;
pub mod subject;
#[cfg(feature = "typed")]
pub mod typed;
mod value;
mod writer;

pub use codec::Codec;
pub use codes::{CloseCode, ErrorCode, Refusal};
pub use data::Data;
pub use frame::{ClientFrame, ClientHello, ServerFrame, ServerHello, Undecodable};
pub use ids::{ClientId, EventId, NodeId, RESERVED_NAMESPACE, SessionId, Uid};
pub use limits::Limits;
pub use millis::Millis;
pub use out_frame::OutFrame;
pub use raw_event::RawEvent;
pub use value::{Time, Value};
