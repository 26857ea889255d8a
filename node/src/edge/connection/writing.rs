//! The outbound half of a connection: session to writer to socket.

use std::task::{Context, Poll};

use bytes::Bytes;
use tengen_protocol::{CloseCode, Millis};
use tokio::io::{AsyncRead, AsyncWrite};

use super::closing::Closing;
use super::{Connection, End, Open, Phase};
use crate::edge::writer::FRAMES_PER_WRITE;
use crate::edge::{Edge, control, scratch};

/// How many bytes are taken out of a session at once. More would only wait in the writer.
const BYTES_PER_WRITE: usize = 256 * 1_024;

/// What a look at the session found.
enum Found {
    /// Nothing, or frames that are in the list now.
    Frames,
    /// As before; after them this Close.
    Ending(CloseCode, String),
    /// The session has a newer connection.
    Superseded,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Writes until there is nothing left or the socket blocks; either way the task is then woken
    /// by whatever changes that.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, now: Millis) -> Result<(), End> {
        scratch::with_frames(|frames| {
            loop {
                if self.writer.is_empty() {
                    self.collect(frames, cx, now);
                    if frames.is_empty() {
                        return self.written(cx);
                    }
                }
                self.edge.metrics.edge.writes.increment();
                match self.writer.poll_write(&mut self.socket, cx, frames) {
                    Poll::Ready(result) => result?,
                    Poll::Pending => {
                        self.blocked(cx, now);
                        return Ok(());
                    }
                }
            }
        })
    }

    /// Puts what is to be said next into `frames`. If that is nothing, the session now knows whom
    /// to wake.
    fn collect(&mut self, frames: &mut Vec<Bytes>, cx: &mut Context<'_>, now: Millis) {
        frames.extend(self.answer.take());
        let found = match &mut self.phase {
            Phase::Greeting(_) => return,
            Phase::Closing(closing) => return frames.append(&mut closing.say),
            Phase::Open(open) => open.look(&self.edge, frames, cx, now),
        };
        match found {
            Found::Frames => {}
            Found::Ending(code, reason) => {
                // The session has said bye in `frames`.
                frames.push(control::close(Some(code.0), &reason));
                self.close(Closing::saying(Vec::new()), code.0);
            }
            Found::Superseded => {
                let code = CloseCode::SUPERSEDED;
                frames.extend(control::goodbye(
                    self.codec,
                    code,
                    "a newer connection took over",
                ));
                self.close(Closing::saying(Vec::new()), code.0);
            }
        }
    }

    /// The socket takes no more for now.
    fn blocked(&mut self, cx: &mut Context<'_>, now: Millis) {
        let Phase::Open(open) = &self.phase else {
            return;
        };
        if open.park_blocked(cx) || self.deadline.is_some() {
            return;
        }
        // It has to end, but cannot be told so; the peer gets as long as for a Close.
        let due = now + self.edge.settings.close_timeout;
        self.deadline = Some(self.edge.waiting.track(due, cx.waker()));
    }

    /// All is written.
    fn written(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        match &mut self.phase {
            Phase::Closing(closing) => closing.finish(&mut self.socket, self.reading, cx),
            Phase::Greeting(_) | Phase::Open(_) => Ok(()),
        }
    }
}

impl Open {
    fn look(
        &self,
        edge: &Edge,
        frames: &mut Vec<Bytes>,
        cx: &mut Context<'_>,
        now: Millis,
    ) -> Found {
        let (bounds, link) = (edge.hub.bounds(), self.attachment.link);
        self.attachment.port.with(|inner| {
            if inner.session.link() != Some(link) {
                return Found::Superseded;
            }
            let session = &mut inner.session;
            let written =
                session.write(link, frames, FRAMES_PER_WRITE, BYTES_PER_WRITE, now, bounds);
            if written.acked {
                edge.hub.metrics().hub.acks.increment();
            }
            if let Some((code, reason)) = written.close {
                return Found::Ending(code, reason);
            }
            if frames.is_empty() && !inner.park(link, cx.waker(), true) {
                return Found::Superseded;
            }
            Found::Frames
        })
    }

    /// Asks to be woken by everything but pushes. False = the connection must end.
    fn park_blocked(&self, cx: &mut Context<'_>) -> bool {
        let link = self.attachment.link;
        self.attachment
            .port
            .with(|inner| inner.park(link, cx.waker(), false) && !inner.session.is_ending())
    }
}
