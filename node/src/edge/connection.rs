//! One WebSocket connection as one task: polls its socket, its session and nothing else.

mod closing;
mod greeting;
mod reading;
#[cfg(test)]
mod tests;
mod writing;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tengen_protocol::{CloseCode, Codec, Millis};
use tokio::io::{AsyncRead, AsyncWrite};

use self::closing::Closing;
use self::greeting::Greeting;
use super::Edge;
use super::decoder::Decoder;
use super::waiting::Ticket;
use super::writer::Writer;
use crate::handlers::connected::Connected;
use crate::hub::Attachment;

pub(crate) use self::greeting::Guest;

/// Reads and writes in turn before the task lets others run.
const TURNS: usize = 16;

/// A WebSocket connection after its handshake; the future ends when the connection has.
///
/// It owns no timer, no channel and, while idle, no buffer: the sweep wakes it when something is
/// due, a push when there is something to write, the socket when there is something to read. While
/// its socket is blocked pushes do not wake it, so they gather and leave together.
///
/// Dropping it detaches the session, which waits for the client's next connection.
pub(crate) struct Connection<S> {
    edge: Arc<Edge>,
    socket: S,
    codec: Codec,
    decoder: Decoder,
    writer: Writer,
    /// Bytes read but not decoded: they came with the handshake, or reading stopped before them.
    unread: Vec<u8>,
    reading: Reading,
    /// The newest answer to a probe or a WebSocket ping; RFC 6455 section 5.5.3 allows to skip
    /// older ones.
    answer: Option<Bytes>,
    /// A time at which something must have happened; what, depends on the phase.
    deadline: Option<Ticket>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    On,
    /// The session has enough to do; it wakes the task when it takes more.
    Paused,
    /// Nothing that comes can be understood or used any more.
    Over,
}

enum Phase {
    /// Until the hello; boxed because it holds the request and soon goes.
    Greeting(Box<Greeting>),
    Open(Open),
    Closing(Closing),
}

struct Open {
    attachment: Attachment,
    /// What the request said; travels with each inbound item.
    context: Arc<Connected>,
}

/// Why a connection ended. Nobody acts on it; it is for the log.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("closed by both sides")]
    Closed,
    #[error("peer closed the socket")]
    Eof,
    #[error("peer did not finish closing in time")]
    Abandoned,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<S> Connection<S> {
    /// A connection whose client still has to say hello. `unread` is what came behind the
    /// handshake.
    pub(crate) fn new(
        edge: Arc<Edge>,
        socket: S,
        codec: Codec,
        guest: Box<Guest>,
        unread: Vec<u8>,
    ) -> Connection<S> {
        edge.metrics.edge.opened.increment();
        let greeting = Greeting::new(guest, edge.hub.now() + edge.settings.hello_timeout);
        Connection {
            codec,
            decoder: Decoder::new(edge.hub.bounds().limits.max_bytes),
            writer: Writer::default(),
            unread,
            reading: Reading::On,
            answer: None,
            deadline: None,
            phase: Phase::Greeting(Box::new(greeting)),
            socket,
            edge,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let now = self.edge.hub.now();
        self.on_time(cx, now)?;
        for _ in 0..TURNS {
            self.write(cx, now)?;
            match self.poll_read(cx, now)? {
                Poll::Ready(()) => {}
                Poll::Pending => {
                    self.keep_deadline(cx, now);
                    return Poll::Pending;
                }
            }
        }
        // The peer never pauses: others first, then on.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What the passing of time asks for in each phase.
    fn on_time(&mut self, cx: &mut Context<'_>, now: Millis) -> Result<(), End> {
        match &mut self.phase {
            Phase::Greeting(_) => self.greeting_on_time(now),
            Phase::Open(_) | Phase::Closing(_) => {
                if self
                    .deadline
                    .as_ref()
                    .is_some_and(|deadline| deadline.is_due(now))
                {
                    return Err(End::Abandoned);
                }
            }
        }
        if let Some(deadline) = &self.deadline {
            deadline.refresh(cx.waker());
        }
        Ok(())
    }

    /// Sees to it that the sweep wakes the task when its phase has a deadline.
    fn keep_deadline(&mut self, cx: &mut Context<'_>, now: Millis) {
        if self.deadline.is_some() {
            return;
        }
        let due = match &self.phase {
            Phase::Greeting(greeting) => greeting.due(),
            Phase::Closing(_) => now + self.edge.settings.close_timeout,
            // The session's own deadlines are the hub's to sweep.
            Phase::Open(_) => return,
        };
        self.deadline = Some(self.edge.waiting.track(due, cx.waker()));
    }

    /// Ends the connection for a fault or a refusal that no session says: bye, then Close.
    fn refuse(&mut self, code: CloseCode, reason: &str) {
        self.edge.metrics.edge.hellos_refused.increment();
        let goodbye = super::control::goodbye(self.codec, code, reason);
        self.close(Closing::saying(goodbye.into()), code.0);
    }

    /// Enters the last phase; the session, if there is one, is detached by it.
    fn close(&mut self, closing: Closing, code: u16) {
        tracing::debug!(code, "closing connection");
        self.edge.metrics.edge.closed.increment();
        self.deadline = None;
        self.phase = Phase::Closing(closing);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Connection<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let connection = self.get_mut();
        match connection.drive(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(ended) => {
                if let Err(end) = ended {
                    tracing::debug!(%end, "connection ended");
                }
                Poll::Ready(())
            }
        }
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.edge.metrics.edge.ended.increment();
    }
}
