//! What the driver needs of a connection, whatever carries it: frames out, events in.

mod websocket;

use std::task::{Context, Poll};

use bytes::Bytes;
use tengen_protocol::client::TransportClose;

pub(crate) use websocket::{Dial, WebSocket};

/// One connection, from the attempt to open it until it is gone.
///
/// A value without a task of its own: it moves only while [`poll_event`](Transport::poll_event)
/// is called, so dropping it ends everything that belongs to it at once.
pub(crate) trait Transport: Send {
    /// Moves reading and writing on, and says what happened next.
    ///
    /// After [`TransportEvent::Closed`] there is nothing more to poll for.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<TransportEvent>;

    /// Puts the body of one complete frame in line. Never waits; the line is moved by
    /// `poll_event`, its length is told by [`backlog`](Transport::backlog).
    fn send(&mut self, frame: Bytes);

    /// Bytes in line that the operating system has not taken yet.
    fn backlog(&self) -> usize;

    /// Says goodbye after what is in line, and waits for the other side no longer than
    /// [`GOODBYE`]. The end still arrives as [`TransportEvent::Closed`].
    fn close(&mut self, code: u16, reason: &str);
}

/// How long a closing connection may wait for the other side's half of the goodbye.
pub(crate) const GOODBYE: std::time::Duration = std::time::Duration::from_secs(2);

/// What a connection has to tell.
#[derive(Debug)]
pub(crate) enum TransportEvent {
    /// Frames may be sent.
    Opened,
    /// The body of one complete frame.
    Frame(Bytes),
    /// It is over, or never began.
    Closed(TransportClose),
}

#[cfg(test)]
mod tests;
