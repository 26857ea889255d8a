//! The seam between the conversation and what carries it; long-poll will be the second to fit in.

use std::rc::Weak;

use bytes::Bytes;
use tengen_protocol::client::TransportClose;

/// One open or opening connection. Dropping it closes it, and nothing is heard of it any more.
pub(crate) trait Connection {
    /// Sends one encoded frame. Never waits; the browser keeps what the network does not take.
    fn write(&self, frame: &[u8]);
    /// Neither reads nor writes any more, without the other end's knowledge (a test aid).
    fn mute(&self);
    /// Closes with a code and a reason; the transport says so by [`Heard::closed`] when it is done.
    fn close(&self, code: u16, reason: &str);
}

/// Who listens to a connection. `connection` is the number under which it was opened.
pub(crate) trait Heard {
    /// It is open: the hello may go out.
    fn opened(&self, connection: u64);
    /// One whole frame has arrived.
    fn frame(&self, connection: u64, frame: Bytes);
    /// It is over, or never came to be. Said once.
    fn closed(&self, connection: u64, how: &TransportClose);
}

/// The listener must not be kept alive by what it owns.
pub(crate) type Listener = Weak<dyn Heard>;
