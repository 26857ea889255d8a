//! Reads and writes the CBOR arrays `[version, kind, …]` of presence without building values.

/// A message of presence that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Of a later version: a node that is newer than this one. Ignore it, and count it.
    #[error("version {0} of the presence messages is not known")]
    Version(u64),
    /// Another kind of message.
    #[error("kind {0} is no presence message")]
    Kind(u64),
    /// Larger than any node writes.
    #[error("the presence message is larger than 1 MiB")]
    TooLarge,
    /// Truncated, or with a field that is not what it should be.
    #[error("the presence message is malformed: {0}")]
    Malformed(&'static str),
}
