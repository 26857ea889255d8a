//! What comes from the client: every frame counted, accepted or answered by an item.

use super::{Bounds, Item, ItemKind, Link, Pushed, Session};
use crate::codes::{CloseCode, ErrorCode, Refusal};
use crate::frame::{ClientFrame, Undecodable};
use crate::millis::Millis;
use crate::rules::{Rule, holds};
use crate::transport::Transport;
use bytes::Bytes;

/// What a frame means for the driver. In every case [`Session::wants_write`] may have become true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Nothing to start.
    Quiet,
    /// Nothing to start either: the frame was refused, and the client is told by which number.
    Refused,
    /// [`Session::next_item`] has something.
    Work,
    /// The frame was taken, but so many items wait for their handlers that the driver must not
    /// read on until a [`Resumed::read_again`](super::Resumed::read_again). There may be work.
    Full,
    /// The connection has been superseded or detached: the frame changed nothing. Close with 4505.
    Stale,
    /// The client said goodbye; `over` tells whether it gave up the session too.
    Left {
        code: CloseCode,
        reason: String,
        over: bool,
    },
    /// The connection must close: write once more, then close with this.
    Close(CloseCode, String),
}

impl<C: Clone> Session<C> {
    /// Takes one complete frame of the connection behind `link`.
    ///
    /// Frames that the driver had already read when it was told [`Received::Full`] are still taken,
    /// so the inbox is bounded by its own bounds plus the driver's read buffer.
    pub fn receive(
        &mut self,
        link: Link,
        frame: Bytes,
        context: &C,
        now: Millis,
        bounds: &Bounds,
    ) -> Received {
        if !self.speaks(link) && holds(Rule::SupersededIsDeaf) {
            return Received::Stale;
        }
        self.last_heard = now;
        let bytes = frame.len();
        let decoded = ClientFrame::decode(self.codec, frame, &bounds.limits);
        self.accept_frame(decoded, bytes, context, now, bounds)
    }

    /// Takes a frame of the present connection, whatever carried it.
    pub(super) fn accept_frame(
        &mut self,
        decoded: Result<ClientFrame, Undecodable>,
        bytes: usize,
        context: &C,
        now: Millis,
        bounds: &Bounds,
    ) -> Received {
        match decoded {
            Ok(ClientFrame::Ack { received }) => self.acked(received),
            Ok(ClientFrame::Ping { ahead }) => {
                self.announced(ahead, now, bounds);
                // The answer to a POST is the pong; one in a GET would only cost another GET.
                self.pong_owed = self.transport == Transport::Ws;
                Received::Quiet
            }
            Ok(ClientFrame::Pong | ClientFrame::Error(_)) => Received::Quiet,
            // What was in line when the end was decided still goes out, but nothing comes in any more.
            _ if self.ending.is_some() => Received::Quiet,
            Ok(ClientFrame::Bye { code, reason }) => self.left(code, reason),
            Ok(ClientFrame::Hello(_)) => self.fail(CloseCode::PROTOCOL, "a second hello"),
            Ok(ClientFrame::Event { id, data }) => {
                let position = self.count(bytes, bounds);
                if id.is_reserved() {
                    return self.refuse_item(position, None, reserved(), now, bounds);
                }
                self.accept(
                    Item {
                        position,
                        kind: ItemKind::Event { id, data },
                        context: context.clone(),
                        at: now,
                    },
                    bytes,
                    bounds,
                )
            }
            Ok(ClientFrame::Request {
                request,
                id,
                data,
                timeout_ms,
            }) => {
                let position = self.count(bytes, bounds);
                if let Some((answer, refusal)) =
                    self.unacceptable(request, id.is_reserved(), bounds)
                {
                    return self.refuse_item(position, answer, refusal, now, bounds);
                }
                self.outstanding.insert(request);
                let timeout_ms = if timeout_ms == 0 {
                    bounds.default_timeout_ms
                } else {
                    timeout_ms.min(bounds.max_timeout_ms)
                };
                let kind = ItemKind::Request {
                    request,
                    id,
                    data,
                    timeout_ms,
                };
                self.accept(
                    Item {
                        position,
                        kind,
                        context: context.clone(),
                        at: now,
                    },
                    bytes,
                    bounds,
                )
            }
            Err(undecodable) => self.refused(undecodable, bytes, now, bounds),
        }
    }

    /// Takes a complete frame that the driver itself had to refuse, a too large one for instance.
    pub fn refuse(
        &mut self,
        link: Link,
        undecodable: Undecodable,
        bytes: usize,
        now: Millis,
        bounds: &Bounds,
    ) -> Received {
        if !self.speaks(link) {
            return Received::Stale;
        }
        self.last_heard = now;
        if self.ending.is_some() {
            return Received::Quiet;
        }
        self.refused(undecodable, bytes, now, bounds)
    }

    fn refused(
        &mut self,
        undecodable: Undecodable,
        bytes: usize,
        now: Millis,
        bounds: &Bounds,
    ) -> Received {
        let Undecodable {
            refusal,
            item,
            request,
        } = undecodable;
        if item && holds(Rule::RefusedCounts) {
            let position = self.count(bytes, bounds);
            // A ref that is in use belongs to the other request: its caller must not get this answer.
            let request = request.filter(|request| !self.outstanding.contains(*request));
            return self.refuse_item(position, request, refusal, now, bounds);
        }
        self.say_error(&refusal);
        self.note_error(now, bounds)
    }

    fn accept(&mut self, item: Item<C>, bytes: usize, bounds: &Bounds) -> Received {
        self.inbox.put(item, bytes);
        if self.inbox.is_full(bounds) {
            Received::Full
        } else if self.inbox.has_work() {
            Received::Work
        } else {
            Received::Quiet
        }
    }
}

impl<C> Session<C> {
    fn count(&mut self, bytes: usize, bounds: &Bounds) -> u64 {
        self.received += 1;
        self.untold_bytes += bytes;
        if self.received - self.told >= bounds.ack_items || self.untold_bytes >= bounds.ack_bytes {
            self.ack_owed = true;
        }
        self.received
    }

    /// Whom to answer, and with what, if a well-formed request cannot be taken.
    fn unacceptable(
        &self,
        request: u32,
        reserved_id: bool,
        bounds: &Bounds,
    ) -> Option<(Option<u32>, Refusal)> {
        if self.outstanding.contains(request) {
            let message = "the ref belongs to a request that is still unanswered".to_owned();
            return Some((
                None,
                Refusal {
                    code: ErrorCode::BAD_EVENT,
                    message,
                },
            ));
        }
        if reserved_id {
            return Some((Some(request), reserved()));
        }
        if self.outstanding.len() >= bounds.max_outstanding {
            let message = format!("{} requests are unanswered", bounds.max_outstanding);
            return Some((
                Some(request),
                Refusal {
                    code: ErrorCode::RATE,
                    message,
                },
            ));
        }
        None
    }

    /// Answers a counted item by an item, which the ack that covers it will follow.
    fn refuse_item(
        &mut self,
        position: u64,
        request: Option<u32>,
        refusal: Refusal,
        now: Millis,
        bounds: &Bounds,
    ) -> Received {
        let answered = match request {
            Some(request) => self.answer(request, Err(refusal), bounds),
            None => self.report(position, &refusal, bounds),
        };
        if holds(Rule::AnswerBeforeAck) {
            self.answer_at = self.out.end();
        }
        match answered {
            Pushed::Slow | Pushed::Over => Received::Close(CloseCode::SLOW, self.ending_reason()),
            _ => self.note_error(now, bounds),
        }
    }

    /// Counts a fault of the client; too many within the window end the session.
    fn note_error(&mut self, now: Millis, bounds: &Bounds) -> Received {
        if now.0.saturating_sub(self.errors_since.0) >= bounds.error_window_ms {
            self.errors = 0;
            self.errors_since = now;
        }
        self.errors = self.errors.saturating_add(1);
        if self.errors > bounds.max_errors {
            return self.fail(CloseCode::TOO_MANY_ERRORS, "too many errors");
        }
        Received::Refused
    }

    fn acked(&mut self, received: u64) -> Received {
        match self.out.ack(received, |_, _| ()) {
            Ok(()) => Received::Quiet,
            Err(_) if self.over => Received::Quiet,
            Err(_) => self.fail(CloseCode::PROTOCOL, "an ack beyond what was sent"),
        }
    }

    fn left(&mut self, code: CloseCode, reason: String) -> Received {
        // A page that closes (1001) or an app that disconnects (1000) will never name this session again.
        let over = !code.comes_back() || matches!(code.0, 1000 | 1001);
        if over {
            self.end();
        }
        Received::Left { code, reason, over }
    }

    fn fail(&mut self, code: CloseCode, reason: &str) -> Received {
        self.abort(code, reason);
        Received::Close(code, reason.to_owned())
    }
}

fn reserved() -> Refusal {
    Refusal {
        code: ErrorCode::RESERVED,
        message: "ids that begin with chsk/ are reserved".to_owned(),
    }
}
