//! What can go wrong, one small enum per operation, by what the caller does next.

/// A message was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The bus is down. Nothing was sent and nothing is kept: try again when [`crate::Health`] is up.
    #[error("the bus is down")]
    BusDown,
    /// The bus client took nothing for the publish timeout. Nothing was sent.
    #[error("the bus took nothing within the publish timeout")]
    Timeout,
    /// Body and headers are more than [`crate::Bus::max_payload`]. It will never fit.
    #[error("{bytes} bytes of body and headers, {max} are allowed")]
    TooLarge {
        /// What the message has.
        bytes: usize,
        /// What it may have.
        max: usize,
    },
    /// The subject or the reply subject cannot be published to.
    #[error("bad subject: {0}")]
    BadSubject(&'static str),
    /// A header name or value holds what would break the wire.
    #[error("bad header: {0}")]
    BadHeader(&'static str),
}

/// A subscription was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The pattern or the queue group's name is not one.
    #[error("bad pattern: {0}")]
    BadPattern(&'static str),
    /// The bus did not confirm the interest in time although it is up. Try again.
    #[error("the bus did not confirm the subscription in time")]
    Timeout,
    /// The bus was drained. There is nothing to do about it.
    #[error("the bus is closed")]
    Closed,
}

/// A request got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nobody subscribes to the subject: known at once, without waiting.
    #[error("no responders")]
    NoResponders,
    /// Somebody has it, and did not answer in time. It may have been handled.
    #[error("no answer in time")]
    Timeout,
    /// The bus is down, or went down while waiting (then it may have been handled).
    #[error("the bus is down")]
    BusDown,
    /// As [`PublishError::TooLarge`].
    #[error("{bytes} bytes of body and headers, {max} are allowed")]
    TooLarge {
        /// What the message has.
        bytes: usize,
        /// What it may have.
        max: usize,
    },
    /// As [`PublishError::BadSubject`].
    #[error("bad subject: {0}")]
    BadSubject(&'static str),
    /// As [`PublishError::BadHeader`].
    #[error("bad header: {0}")]
    BadHeader(&'static str),
}

impl From<PublishError> for RequestError {
    fn from(error: PublishError) -> RequestError {
        match error {
            PublishError::BusDown => RequestError::BusDown,
            PublishError::Timeout => RequestError::Timeout,
            PublishError::TooLarge { bytes, max } => RequestError::TooLarge { bytes, max },
            PublishError::BadSubject(why) => RequestError::BadSubject(why),
            PublishError::BadHeader(why) => RequestError::BadHeader(why),
        }
    }
}

/// A round trip through the bus failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PingError {
    /// The bus is down.
    #[error("the bus is down")]
    BusDown,
    /// Nothing came back in time.
    #[error("the round trip took too long")]
    Timeout,
}

/// The NATS options are not usable. A server that cannot be reached is no error: see
/// [`crate::Bus::nats`].
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is not one.
    #[error("bad NATS url")]
    BadUrl(#[source] std::io::Error),
}
