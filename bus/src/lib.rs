//! The bus: how nodes and services talk to each other, in process or over NATS, behind one handle.
//!
//! The life of a push, in reading order:
//!
//! 1. [`push::Publisher`] collects pushes and writes them as numbered batches ([`push::batch`]).
//! 2. [`Bus::publish`] checks subject, headers and size, and refuses at once while the bus is down.
//! 3. The bus is [`LocalNet`] (one process, any number of handles) or NATS ([`Bus::nats`]).
//! 4. What arrives moves at once into the subscription's own queue, bounded in bytes; what does not
//!    fit is counted there and told in place as [`Delivery::Shed`].
//! 5. [`Subscription::recv_many`] hands it out; [`push::decode`] turns it into pushes and, by
//!    [`push::Sequences`], into known losses.
//!
//! A service that wants to know who is online keeps a copy with [`presence::Follow`].
//!
//! Everything above the bus is written against [`Bus`] alone: one contract suite (`tests/contract`)
//! holds both implementations to the same promises, errors and bounds.

mod bus;
mod check;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod headers;
mod health;
mod inbox;
mod local;
mod message;
mod nats;
pub mod presence;
pub mod push;
mod queue;
mod service;
mod subscription;
#[cfg(feature = "testing")]
pub mod testing;

pub use bus::{Bus, PendingReply, Stats};
pub use check::{MAX_HEADER_BYTES, MAX_REPLY_BYTES};
pub use error::{ConnectError, PingError, PublishError, RequestError, SubscribeError};
pub use headers::Headers;
pub use health::Health;
pub use local::{Fate, Faults, HandleId, LocalNet};
pub use message::{Message, Publish, Subject, Subscribe};
pub use nats::NatsOptions;
pub use queue::{Delivery, Shed};
pub use service::{Service, ServiceError};
pub use subscription::Subscription;
