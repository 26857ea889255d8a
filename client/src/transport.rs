//! What the driver needs of a connection, whatever carries it: frames out, events in.

mod ask;
mod poll;
mod websocket;

use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::HeaderMap;
use tengen_protocol::{ErrorCode, Millis, client::TransportClose};

pub(crate) use ask::ask;
pub(crate) use poll::Polling;
pub(crate) use websocket::{Dial, WebSocket};

/// One connection, from the attempt to open it until it is gone.
///
/// A value without a task of its own: it moves only while [`poll_event`](Transport::poll_event)
/// is called, so dropping it ends everything that belongs to it at once.
pub(crate) trait Transport: Send {
    /// Moves reading and writing on, and says what happened next.
    ///
    /// After [`TransportEvent::Closed`] there is nothing more to poll for.
    fn poll_event(&mut self, context: &mut Context<'_>, tide: Tide) -> Poll<TransportEvent>;

    /// Puts the body of one complete frame in line; `position` is its place among the items, if it
    /// is one. Never waits; the line is moved by `poll_event`, its length is told by
    /// [`backlog`](Transport::backlog).
    fn send(&mut self, frame: Bytes, position: Option<u64>);

    /// Bytes in line that the operating system has not taken yet.
    fn backlog(&self) -> usize;

    /// Says goodbye after what is in line, and waits for the other side no longer than
    /// [`GOODBYE`]. The end still arrives as [`TransportEvent::Closed`].
    fn close(&mut self, code: u16, reason: &str);
}

/// How far the session is, at the moment of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tide {
    /// Items of the server that it has counted.
    pub(crate) received: u64,
    pub(crate) now: Millis,
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
    /// A sign of life that is no frame, or not yet a whole one.
    Heard,
    /// It is over, or never began.
    Closed(TransportClose),
}

/// The number by which an answer says that it is ours and not a proxy's.
fn tengen_error(headers: &HeaderMap) -> Option<ErrorCode> {
    let value = headers.get("tengen-error")?.to_str().ok()?;
    value.trim().parse().ok().map(ErrorCode)
}

#[cfg(test)]
mod tests;
