//! The seam between the conversation and what carries it: a WebSocket, or long-polling.

use std::rc::Weak;

use bytes::Bytes;
use tengen_protocol::client::TransportClose;

/// One open or opening connection. Dropping it closes it, and nothing is heard of it any more.
pub(crate) trait Connection {
    /// Sends one encoded frame; `position` is its place among the items. Never waits; what the
    /// network does not take yet is kept, by the browser or in line for the next POST.
    fn write(&self, frame: &Bytes, position: Option<u64>);
    /// Everything that was decided together has been written.
    fn flush(&self);
    /// Neither reads nor writes any more, without the other end's knowledge (a test aid).
    fn mute(&self);
    /// Closes with a code and a reason. What was written before still goes out, also when the page goes.
    fn close(&self, code: u16, reason: &str);
}

/// Who listens to a connection. `connection` is the number under which it was opened.
pub(crate) trait Heard {
    /// It is open: the hello may go out.
    fn opened(&self, connection: u64);
    /// One whole frame has arrived.
    fn frame(&self, connection: u64, frame: Bytes);
    /// Something has arrived, if only a part of a frame.
    fn alive(&self, connection: u64);
    /// It is over, or never came to be. Said once.
    fn closed(&self, connection: u64, how: &TransportClose);
    /// How many items of the server have been counted; what a poll asks from.
    fn received(&self) -> u64;
}

/// The listener must not be kept alive by what it owns.
pub(crate) type Listener = Weak<dyn Heard>;
