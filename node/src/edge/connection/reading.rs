//! The inbound half of a connection: socket to decoder to session.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tengen_protocol::server::Received;
use tengen_protocol::{CloseCode, Codec, Millis, Undecodable};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::closing::Closing;
use super::{Connection, End, Open, Phase, Reading};
use crate::edge::decoder::{Message, Violation};
use crate::edge::{control, scratch};

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Reads once and takes in what came. Ready means that there may be more.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, now: Millis) -> Poll<Result<(), End>> {
        if self.reading == Reading::Paused {
            if matches!(self.phase, Phase::Greeting(_)) {
                return self.poll_arrival(cx).map(Ok);
            }
            if !self.resume_reading(now) {
                return Poll::Pending;
            }
        }
        if !self.unread.is_empty() {
            let mut unread = std::mem::take(&mut self.unread);
            self.take_in(&mut unread, now);
            return Poll::Ready(Ok(()));
        }
        scratch::with_read(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            let received = buffer.filled_mut();
            if received.is_empty() {
                return Poll::Ready(Err(End::Eof));
            }
            self.edge
                .metrics
                .edge
                .received_bytes
                .add(received.len() as u64);
            self.take_in(received, now);
            Poll::Ready(Ok(()))
        })
    }

    /// Whether a paused connection reads again now.
    fn resume_reading(&mut self, now: Millis) -> bool {
        let may_read = match &self.phase {
            Phase::Greeting(_) => false,
            Phase::Open(open) => open.attachment.port.with(|inner| {
                // We do not listen, so silence is no sign of death.
                inner.session.heard(open.attachment.link, now);
                inner.session.may_read()
            }),
            Phase::Closing(_) => true,
        };
        if may_read {
            self.reading = Reading::On;
        }
        may_read
    }

    fn take_in(&mut self, bytes: &mut [u8], now: Millis) {
        let mut taken = 0;
        let (mut told, mut work) = (false, false);
        while taken < bytes.len() && self.reading != Reading::Over {
            if self.reading == Reading::Paused {
                self.unread = bytes[taken..].to_vec();
                break;
            }
            match self.decoder.decode(&mut bytes[taken..]) {
                Ok((here, message)) => {
                    taken += here;
                    if let Some(message) = message {
                        told = true;
                        work |= self.take_message(message, now);
                    }
                }
                Err(violation) => self.violated(violation),
            }
        }
        if let Phase::Open(open) = &self.phase {
            if !told {
                // Part of a frame is a sign of life too.
                open.attachment
                    .port
                    .with(|inner| inner.session.heard(open.attachment.link, now));
            }
            if work {
                (self.edge.start)(&open.attachment.port);
            }
        }
    }

    /// Takes one message; true = the session has something to start.
    fn take_message(&mut self, message: Message, now: Millis) -> bool {
        match message {
            Message::Text(frame) if self.codec == Codec::Json => self.take_frame(frame, now),
            Message::Binary(frame) if self.codec == Codec::Cbor => self.take_frame(frame, now),
            Message::Text(_) | Message::Binary(_) => {
                self.fail(CloseCode::VERSION, "a frame of the other codec");
                false
            }
            Message::TooLarge { beginning, bytes } => self.take_too_large(&beginning, bytes, now),
            Message::Ping(payload) => {
                self.answer = Some(control::pong(&payload));
                self.heard(now);
                false
            }
            Message::Pong => {
                self.heard(now);
                false
            }
            Message::Close(code) => {
                self.peer_closes(code);
                false
            }
        }
    }

    fn take_frame(&mut self, frame: Bytes, now: Millis) -> bool {
        let received = match &self.phase {
            Phase::Greeting(_) => {
                self.greet(frame);
                return false;
            }
            Phase::Closing(_) => return false,
            Phase::Open(Open {
                attachment,
                context,
            }) => {
                let bounds = self.edge.hub.bounds();
                let link = attachment.link;
                attachment
                    .port
                    .with(|inner| inner.session.receive(link, frame, context, now, bounds))
            }
        };
        self.received(&received)
    }

    fn take_too_large(&mut self, beginning: &[u8], bytes: usize, now: Millis) -> bool {
        let undecodable = Undecodable::too_large(self.codec, beginning);
        let received = match &self.phase {
            Phase::Greeting(_) => {
                self.refuse(CloseCode::PROTOCOL, "the hello is too large");
                return false;
            }
            Phase::Closing(_) => return false,
            Phase::Open(open) => {
                let bounds = self.edge.hub.bounds();
                let link = open.attachment.link;
                open.attachment
                    .port
                    .with(|inner| inner.session.refuse(link, undecodable, bytes, now, bounds))
            }
        };
        self.received(&received)
    }

    fn received(&mut self, received: &Received) -> bool {
        match received {
            Received::Quiet => false,
            Received::Refused => {
                self.edge.metrics.edge.faults.increment();
                false
            }
            Received::Work => true,
            Received::Full => {
                self.reading = Reading::Paused;
                true
            }
            Received::Left { code, .. } => {
                tracing::debug!(%code, "client said goodbye");
                self.close(Closing::saying(vec![control::close(Some(1000), "")]), 1000);
                false
            }
            // The next write learns why, says it, and closes.
            Received::Stale | Received::Close(..) => {
                if matches!(received, Received::Close(code, _) if *code != CloseCode::SLOW) {
                    self.edge.metrics.edge.faults.increment();
                }
                self.reading = Reading::Over;
                false
            }
        }
    }

    fn heard(&self, now: Millis) {
        if let Phase::Open(open) = &self.phase {
            open.attachment
                .port
                .with(|inner| inner.session.heard(open.attachment.link, now));
        }
    }

    /// The peer broke RFC 6455: nothing behind it can be understood.
    fn violated(&mut self, violation: Violation) {
        self.edge.metrics.edge.violations.increment();
        tracing::debug!(%violation, "peer broke the WebSocket protocol");
        if matches!(self.phase, Phase::Closing(_)) {
            // Our Close is on its way; a second one would be wrong.
            self.reading = Reading::Over;
            return;
        }
        let reason = violation.to_string();
        if let Violation::TooLarge { .. } = violation {
            // Ours to limit: the client's session is told, so that it does not come back with it.
            self.fail(CloseCode::PROTOCOL, &reason);
        } else {
            // Below our protocol: the code is the RFC's, and no frame of ours comes before it.
            let code = u16::from(violation.close_code());
            let close = control::close(Some(code), &reason);
            self.close(Closing::saying(vec![close]), code);
        }
        self.reading = Reading::Over;
    }

    /// Ends the session or, before hello, the connection for breaking the rules.
    fn fail(&mut self, code: CloseCode, reason: &str) {
        match &self.phase {
            Phase::Greeting(_) => self.refuse(code, reason),
            Phase::Open(open) => {
                open.attachment
                    .port
                    .with(|inner| inner.session.abort(code, reason));
                self.edge.metrics.edge.faults.increment();
                self.reading = Reading::Over;
            }
            Phase::Closing(_) => {}
        }
    }

    fn peer_closes(&mut self, code: Option<u16>) {
        if let Phase::Closing(closing) = &mut self.phase {
            closing.peer_closed();
        } else {
            let mut closing = Closing::saying(vec![control::close(code, "")]);
            closing.peer_closed();
            self.close(closing, code.unwrap_or(1005));
        }
        self.reading = Reading::Over;
    }
}
