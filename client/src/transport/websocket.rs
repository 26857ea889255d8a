//! A WebSocket as a `Transport`: dialling, the upgrade with its refusals, frames and closing.

mod dial;

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use tengen_protocol::{Codec, client::TransportClose};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{GOODBYE, Tide, Transport, TransportEvent};
use crate::socket::Socket as Stream;
pub(crate) use dial::Dial;

type Socket = WebSocketStream<Stream>;
type Dialling = Pin<Box<dyn Future<Output = Result<Socket, TransportClose>> + Send>>;

/// One WebSocket connection of one codec.
pub(crate) struct WebSocket {
    codec: Codec,
    phase: Phase,
    /// Frames not yet given to the socket; empty between two polls unless the socket is full.
    line: VecDeque<Bytes>,
    line_bytes: usize,
    /// Something was given to the socket since its last flush.
    unflushed: bool,
    /// Our half of the goodbye, due once the line is empty.
    goodbye: Option<CloseFrame>,
    /// How the other side said goodbye.
    heard: Option<CloseFrame>,
    /// Set once either side said goodbye: the other half is waited for this long.
    patience: Option<Pin<Box<Sleep>>>,
}

enum Phase {
    Dialling(Dialling),
    Open(Box<Socket>),
    Done,
}

impl WebSocket {
    /// Begins to connect; nothing happens before the first poll.
    pub(crate) fn dial(dial: Dial) -> WebSocket {
        WebSocket {
            codec: dial.codec,
            phase: Phase::Dialling(Box::pin(dial.run())),
            line: VecDeque::new(),
            line_bytes: 0,
            unflushed: false,
            goodbye: None,
            heard: None,
            patience: None,
        }
    }

    /// Gives the line to the socket as far as it takes it, then flushes once: a hundred small
    /// frames handed over together leave in one write.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Phase::Open(socket) = &mut self.phase else {
            return Poll::Pending;
        };
        let mut socket = Pin::new(&mut **socket);
        while let Some(frame) = self.line.front() {
            ready!(socket.as_mut().poll_ready(context))?;
            let bytes = frame.len();
            if let Some(frame) = self.line.pop_front() {
                socket.as_mut().start_send(message(self.codec, frame)?)?;
            }
            self.line_bytes -= bytes;
            self.unflushed = true;
        }
        if self.heard.is_none()
            && let Some(goodbye) = self.goodbye.take()
        {
            if socket.as_mut().poll_ready(context)?.is_pending() {
                self.goodbye = Some(goodbye);
                return Poll::Pending;
            }
            socket.as_mut().start_send(Message::Close(Some(goodbye)))?;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(socket.as_mut().poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The next frame body, `None` at the end of the stream.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            let Phase::Open(socket) = &mut self.phase else {
                return Poll::Pending;
            };
            let Some(message) = ready!(Pin::new(&mut **socket).poll_next(context)?) else {
                return Poll::Ready(Ok(None));
            };
            match (message, self.codec) {
                (Message::Binary(body), Codec::Cbor) => return Poll::Ready(Ok(Some(body))),
                (Message::Text(body), Codec::Json) => return Poll::Ready(Ok(Some(body.into()))),
                (Message::Binary(_) | Message::Text(_), _) => {
                    // The subprotocol fixed the kind of frame; the other kind is no frame of ours.
                    self.say_goodbye(CloseFrame {
                        code: CloseCode::Unsupported,
                        reason: Utf8Bytes::from_static("wrong kind of frame for this codec"),
                    });
                    if let Poll::Ready(Err(error)) = self.poll_write(context) {
                        return Poll::Ready(Err(error));
                    }
                }
                (Message::Close(frame), _) => {
                    self.heard = Some(frame.unwrap_or(CloseFrame {
                        code: CloseCode::Status,
                        reason: Utf8Bytes::from_static(""),
                    }));
                    self.start_patience();
                    // The library has queued the answering close frame: it leaves by a flush.
                    self.unflushed = true;
                    self.line.clear();
                    self.line_bytes = 0;
                    if let Poll::Ready(Err(error)) = self.poll_write(context) {
                        return Poll::Ready(Err(error));
                    }
                }
                // Pings are answered by the library at its next write.
                (Message::Ping(_), _) => {
                    self.unflushed = true;
                    if let Poll::Ready(Err(error)) = self.poll_write(context) {
                        return Poll::Ready(Err(error));
                    }
                }
                (Message::Pong(_) | Message::Frame(_), _) => {}
            }
        }
    }

    fn say_goodbye(&mut self, frame: CloseFrame) {
        if self.patience.is_none() {
            self.goodbye = Some(frame);
            self.start_patience();
        }
    }

    fn start_patience(&mut self) {
        if self.patience.is_none() {
            self.patience = Some(Box::pin(tokio::time::sleep_until(Instant::now() + GOODBYE)));
        }
    }

    fn end(&mut self, close: TransportClose) -> Poll<TransportEvent> {
        self.phase = Phase::Done;
        self.patience = None;
        self.line = VecDeque::new();
        self.line_bytes = 0;
        Poll::Ready(TransportEvent::Closed(close))
    }

    /// How the connection ended, from what the other side said and what the socket says.
    fn ended(&mut self, error: Option<&Error>) -> TransportClose {
        let heard = self.heard.take();
        let error = match error {
            None | Some(Error::ConnectionClosed | Error::AlreadyClosed) => None,
            // A reset after the goodbye is how many servers hang up.
            Some(_) if heard.is_some() => None,
            Some(error) => Some(error.to_string()),
        };
        TransportClose {
            clean: heard.is_some(),
            code: heard
                .as_ref()
                .map(|frame| u16::from(frame.code))
                .filter(|code| *code != u16::from(CloseCode::Status)),
            reason: heard
                .map(|frame| frame.reason.to_string())
                .unwrap_or_default(),
            error,
            ..TransportClose::default()
        }
    }
}

impl Transport for WebSocket {
    fn poll_event(&mut self, context: &mut Context<'_>, _: Tide) -> Poll<TransportEvent> {
        if let Some(patience) = &mut self.patience
            && patience.as_mut().poll(context).is_ready()
        {
            let close = self.ended(None);
            return self.end(close);
        }
        if let Phase::Dialling(dialling) = &mut self.phase {
            return match ready!(dialling.as_mut().poll(context)) {
                Ok(socket) => {
                    self.phase = Phase::Open(Box::new(socket));
                    Poll::Ready(TransportEvent::Opened)
                }
                Err(close) => self.end(close),
            };
        }
        // Writing first: what is read next may be the other side's reason to hang up.
        let wrote = match self.poll_write(context) {
            Poll::Ready(Err(error)) => Some(error),
            _ => None,
        };
        match self.poll_read(context) {
            Poll::Ready(Ok(Some(frame))) => Poll::Ready(TransportEvent::Frame(frame)),
            Poll::Ready(Ok(None)) => {
                let close = self.ended(wrote.as_ref());
                self.end(close)
            }
            Poll::Ready(Err(error)) => {
                let close = self.ended(Some(&error));
                self.end(close)
            }
            // A failed write is the end, unless the reading side still has the reason to tell.
            Poll::Pending => match wrote {
                Some(error) if self.heard.is_none() => {
                    let close = self.ended(Some(&error));
                    self.end(close)
                }
                _ => Poll::Pending,
            },
        }
    }

    fn send(&mut self, frame: Bytes, _: Option<u64>) {
        if !matches!(self.phase, Phase::Done) && self.patience.is_none() {
            self.line_bytes += frame.len();
            self.line.push_back(frame);
        }
    }

    fn backlog(&self) -> usize {
        self.line_bytes
    }

    fn close(&mut self, code: u16, reason: &str) {
        match self.phase {
            // Not open yet: nobody to say goodbye to. The next poll tells the end.
            Phase::Dialling(_) => {
                let close = std::future::ready(Err(TransportClose::default()));
                self.phase = Phase::Dialling(Box::pin(close));
            }
            Phase::Open(_) => self.say_goodbye(CloseFrame {
                code: CloseCode::from(code),
                reason: short(reason),
            }),
            Phase::Done => {}
        }
    }
}

fn message(codec: Codec, frame: Bytes) -> Result<Message, Error> {
    Ok(match codec {
        Codec::Cbor => Message::Binary(frame),
        Codec::Json => Message::Text(
            Utf8Bytes::try_from(frame).map_err(|error| Error::Utf8(error.to_string()))?,
        ),
    })
}

/// A close reason fits into 123 bytes (RFC 6455 §5.5); a longer one is cut at a character.
pub(super) fn short(reason: &str) -> Utf8Bytes {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    Utf8Bytes::from(&reason[..end])
}
