//! The raw stream of events, beside the handlers.

use tengen_protocol::{
    Data, EventId,
    client::{self, Source},
};
use tokio::sync::broadcast;

/// Items that wait for a reader of the stream.
pub(crate) const STREAM_ITEMS: usize = 1024;

/// One item of the raw stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streamed {
    /// `namespace/name`; `chsk/…` are the library's own.
    pub id: EventId,
    /// The value, still encoded.
    pub data: Data,
    /// Whether the cluster pushed it, the library made it, or the application injected it.
    pub source: Source,
}

impl From<&client::Event> for Streamed {
    fn from(event: &client::Event) -> Streamed {
        Streamed {
            id: event.id.clone(),
            data: event.data.clone(),
            source: event.source,
        }
    }
}

/// Everything that handlers see, in order; made by [`Client::events`](crate::Client::events).
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Streamed>,
}

/// Why there is no next item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The reader was more than 1,024 items late; so many are missing here. The next call goes on
    /// with the oldest that is left.
    #[error("{0} events were not read in time")]
    Missed(u64),
    /// The client has ended.
    #[error("the client has ended")]
    Ended,
}

impl Events {
    pub(crate) fn new(receiver: broadcast::Receiver<Streamed>) -> Events {
        Events { receiver }
    }

    /// The next item.
    ///
    /// # Errors
    /// [`StreamError::Missed`] in the place of what was lost, [`StreamError::Ended`] at the end.
    ///
    /// # Cancel safety
    /// Dropped while it waits, no item is lost.
    pub async fn recv(&mut self) -> Result<Streamed, StreamError> {
        self.receiver.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(missed) => StreamError::Missed(missed),
            broadcast::error::RecvError::Closed => StreamError::Ended,
        })
    }
}
