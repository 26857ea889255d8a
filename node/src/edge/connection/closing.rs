//! The end of a connection: one Close from each side, then the socket, within a bounded time.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::{End, Reading};

/// The last phase. Our one Close is said on the way in, so there cannot be a second.
pub(super) struct Closing {
    /// What is still to be said, the Close last.
    pub(super) say: Vec<Bytes>,
    peer_closed: bool,
    shut: bool,
}

impl Closing {
    pub(super) fn saying(say: Vec<Bytes>) -> Closing {
        Closing {
            say,
            peer_closed: false,
            shut: false,
        }
    }

    /// The peer's Close has come, before or after ours.
    pub(super) fn peer_closed(&mut self) {
        self.peer_closed = true;
    }

    /// Everything is written. The server closes the socket first (RFC 6455 section 7.1.1), but
    /// drops it only when the peer cannot lose our Close by it: unread bytes turn a close into a
    /// reset, which discards what the peer has not read yet.
    pub(super) fn finish<S: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut S,
        reading: Reading,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        let no_close_will_come = reading == Reading::Over;
        if !self.shut && (self.peer_closed || no_close_will_come) {
            match Pin::new(socket).poll_shutdown(cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => return Ok(()),
            }
            self.shut = true;
        }
        if self.shut && self.peer_closed {
            return Err(End::Closed);
        }
        Ok(())
    }
}
