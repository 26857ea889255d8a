//! Pushes on the bus: what one is, how it is written, published and read again.

pub mod batch;
mod decode;
mod publisher;
mod sequences;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tengen_protocol::Codec;
use uuid::Uuid;

pub use tengen_protocol::{Filter, Target};

pub use decode::{Arrived, Origin, decode};
pub use publisher::{Publisher, PublisherOptions, TryPushError};
pub use sequences::{Observed, Sequences};

/// `Nats-Msg-Id`: the message id of a push, see [`message_id`].
pub const HEADER_MESSAGE_ID: &str = "Nats-Msg-Id";
/// `Tengen-Only`: the push is for this client of the user alone.
pub const HEADER_ONLY: &str = "Tengen-Only";
/// `Tengen-Except`: the push is not for this client.
pub const HEADER_EXCEPT: &str = "Tengen-Except";
/// `Tengen-Flush`: with the value `1` the push does not wait in any batching window.
pub const HEADER_FLUSH: &str = "Tengen-Flush";
/// `Content-Type`: `application/cbor`, else the body is JSON.
pub const HEADER_CONTENT_TYPE: &str = "Content-Type";
/// `traceparent`: the W3C trace the push belongs to.
pub const HEADER_TRACEPARENT: &str = "traceparent";

/// One event on its way to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// For whom.
    pub target: Target,
    /// Which of their clients.
    pub filter: Filter,
    /// Pushes to one uid with the same id within 10 s are one push. 0 = none.
    pub id: u128,
    /// Whether its publisher wants to know how many clients it was queued for.
    pub report: bool,
    /// Whether it leaves at once, with what stands before it, whatever a node's batching windows say.
    pub flush: bool,
    /// The event, `["ns/name", data]`, as it was written. Not checked.
    pub event: (Codec, Bytes),
}

impl Push {
    /// A push to every client of `target`, without id, report or flush.
    #[must_use]
    pub fn new(target: Target, codec: Codec, event: Bytes) -> Push {
        Push {
            target,
            filter: Filter::None,
            id: 0,
            report: false,
            flush: false,
            event: (codec, event),
        }
    }
}

/// The number of a message id: a UUID in its usual hyphenated form as it is, anything else by
/// the first 16 bytes of its SHA-256; big-endian both. The empty text is no id, 0.
#[must_use]
pub fn message_id(text: &str) -> u128 {
    if text.is_empty() {
        return 0;
    }
    // Only the hyphenated form: every language can tell it by its length.
    if text.len() == 36
        && let Ok(uuid) = Uuid::try_parse(text)
    {
        return uuid.as_u128();
    }
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(16)
        .fold(0, |id, byte| id << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests;
