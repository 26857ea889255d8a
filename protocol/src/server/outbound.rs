//! What goes to the client: pushes, gaps and replies in line; control beside it; all drained by `write`.

use super::{Bounds, Link, Session};
use crate::codes::{CloseCode, ErrorCode, Refusal};
use crate::data::Data;
use crate::frame::ServerFrame;
use crate::ids::EventId;
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::out_queue::Weight;
use crate::rules::{Rule, holds};
use crate::takeover::Identity;
use crate::transport::Transport;
use crate::value::Value;
use bytes::Bytes;

/// A frame's weight in a queue: itself and its place in line, so that tiny frames are bounded too.
impl Weight for OutFrame {
    fn weight(&self) -> usize {
        self.len() + size_of::<OutFrame>()
    }
}

/// What became of an item for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// In line. The driver wakes the writer.
    Queued,
    /// The line had grown over `max_queue_bytes`: it was dropped and the session has ended; a close
    /// with SLOW waits to be written. Said once.
    Slow,
    /// The session had ended before, or is ending.
    Over,
    /// The session has it already, by another way.
    Known,
    /// Held back for a moment: this node's own copy may come, and stand at its right place.
    Held,
    /// The session is at another node: not in line here, only forwarded, see
    /// [`Session::forwards_to`].
    Elsewhere,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replied {
    /// In line.
    Queued,
    /// As [`Pushed::Slow`].
    Slow,
    /// The session has ended.
    Over,
    /// Nobody waits for it: answered before, or never asked.
    Ignored,
    /// The session is at another node, to which it must be forwarded, see [`Session::owner`].
    Elsewhere,
}

/// What a drain left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The budget ran out before the line did: write again.
    pub more: bool,
    /// Everything that had to be said is in `out`: after it, close the connection with this.
    pub close: Option<(CloseCode, String)>,
    /// An acknowledgement was among what was written.
    pub acked: bool,
}

impl<C> Session<C> {
    /// Puts an already encoded frame in line. O(1); allocates nothing but the queue's own growth.
    ///
    /// The frame must have been encoded in the session's codec; `identity` says which push it is,
    /// so that a session that moves between nodes gets no second copy of it.
    pub fn push(&mut self, item: &OutFrame, identity: &Identity, bounds: &Bounds) -> Pushed {
        if self.moving.is_some() {
            return self.push_moving(item, identity, bounds);
        }
        self.append(item, bounds)
    }

    pub(super) fn append(&mut self, item: &OutFrame, bounds: &Bounds) -> Pushed {
        if self.over {
            return Pushed::Over;
        }
        let slow = self.out.bytes() + item.weight() > bounds.max_queue_bytes;
        if slow && holds(Rule::SlowConsumerEnds) {
            self.abort(CloseCode::SLOW, "slow consumer");
            self.end_keeping_close();
            return Pushed::Slow;
        }
        self.out.push(item.clone());
        Pushed::Queued
    }

    /// Marks a hole at this place of the line by a `chsk/gap {reason}` item, unless one that is
    /// still unsent says so already.
    pub fn gap(&mut self, reason: &str, bounds: &Bounds) -> Pushed {
        self.gap_behind(0, reason, bounds)
    }

    /// The same, unless an unsent one stands behind that position of the line already: one before it
    /// may be read, and all be fetched anew, long before what is out of its order.
    pub(super) fn gap_behind(&mut self, position: u64, reason: &str, bounds: &Bounds) -> Pushed {
        if self.over {
            return Pushed::Over;
        }
        if let Some(elsewhere) = self.gap_elsewhere(reason, bounds) {
            return elsewhere;
        }
        if !holds(Rule::HoleIsTold) {
            return Pushed::Queued;
        }
        if self.gap_at > self.out.sent().max(position) && holds(Rule::OneUnsentGap) {
            // What came after the older gap has not been seen either; fetching once, after it, suffices.
            return Pushed::Queued;
        }
        let data = Value::Map(vec![(
            Value::Text("reason".to_owned()),
            Value::Text(reason.to_owned()),
        )]);
        let pushed = self.push_library(EventId::GAP, &data, bounds);
        if pushed == Pushed::Queued {
            self.gap_at = self.out.end();
        }
        pushed
    }

    /// Answers a request, once; a second answer is ignored.
    ///
    /// A value that cannot be said in the session's codec, or is too large, becomes an error.
    pub fn reply(
        &mut self,
        request: u32,
        outcome: Result<Data, Refusal>,
        bounds: &Bounds,
    ) -> Replied {
        if self.over {
            return Replied::Over;
        }
        if !self.outstanding.remove(request) && holds(Rule::OneAnswer) {
            return Replied::Ignored;
        }
        if self.is_elsewhere() {
            return Replied::Elsewhere;
        }
        match self.answer(request, outcome, bounds) {
            Pushed::Queued => Replied::Queued,
            Pushed::Slow => Replied::Slow,
            Pushed::Over => Replied::Over,
            // Only what is pushed can be one of these.
            Pushed::Known | Pushed::Held | Pushed::Elsewhere => Replied::Ignored,
        }
    }

    pub(super) fn answer(
        &mut self,
        request: u32,
        outcome: Result<Data, Refusal>,
        bounds: &Bounds,
    ) -> Pushed {
        let outcome = outcome.and_then(|data| data.transcode(self.codec));
        let frame = OutFrame::from(&ServerFrame::Reply { request, outcome }, self.codec);
        if frame.body().len() <= bounds.limits.max_bytes {
            return self.append(&frame, bounds);
        }
        let message = format!("the reply is larger than {} bytes", bounds.limits.max_bytes);
        let outcome = Err(Refusal {
            code: ErrorCode::TOO_LARGE,
            message,
        });
        let frame = OutFrame::from(&ServerFrame::Reply { request, outcome }, self.codec);
        self.append(&frame, bounds)
    }

    /// Tells the client of a fault in its item at `position` by a `chsk/error`, now or after its
    /// handler failed.
    pub fn report(&mut self, position: u64, refusal: &Refusal, bounds: &Bounds) -> Pushed {
        if self.is_elsewhere() {
            return Pushed::Elsewhere;
        }
        let data = Value::Map(vec![
            (
                Value::Text("code".to_owned()),
                Value::Int(i128::from(refusal.code.0)),
            ),
            (
                Value::Text("message".to_owned()),
                Value::Text(refusal.message.clone()),
            ),
            (
                Value::Text("position".to_owned()),
                Value::Int(i128::from(position)),
            ),
        ]);
        self.push_library(EventId::ERROR, &data, bounds)
    }

    fn push_library(&mut self, id: &'static str, data: &Value, bounds: &Bounds) -> Pushed {
        let id = EventId::parse(id).expect("an id of our own");
        let data = Data::from_value(self.codec, data).expect("one flat map");
        let frame = ServerFrame::Event { id, data };
        self.append(&OutFrame::from(&frame, self.codec), bounds)
    }

    /// Says `[8, code, message]`: an error that belongs to no item.
    pub(super) fn say_error(&mut self, refusal: &Refusal) {
        self.control.push(OutFrame::from(
            &ServerFrame::Error(refusal.clone()),
            self.codec,
        ));
    }

    /// Whether [`Session::write`] would give anything.
    pub fn wants_write(&self, now: Millis, bounds: &Bounds) -> bool {
        if !self.attached || (!self.greeted && self.ending.is_none()) {
            return false;
        }
        let limit = self.item_limit();
        !self.control.is_empty()
            || self.ping_owed
            || self.pong_owed
            || (self.greeted && self.out.sent() < limit)
            || self.ending.as_ref().is_some_and(|ending| !ending.said)
            || (self.ack_is_due(now, bounds) && self.out.sent() >= self.answer_at)
    }

    /// Hands WebSocket frames to the writer of the connection behind `link`, control first, until
    /// the line is empty or `max_frames` items or `max_bytes` are reached (one item always fits).
    ///
    /// What was handed out counts as sent; it is retained until the client acknowledges it.
    pub fn write(
        &mut self,
        link: Link,
        out: &mut Vec<Bytes>,
        max_frames: usize,
        max_bytes: usize,
        now: Millis,
        bounds: &Bounds,
    ) -> Written {
        if !self.speaks(link) && holds(Rule::SupersededIsMute) {
            return Written::superseded();
        }
        self.drain(max_frames, max_bytes, now, bounds, |frame| {
            out.push(frame.ws().clone())
        })
    }

    pub(super) fn drain(
        &mut self,
        max_frames: usize,
        max_bytes: usize,
        now: Millis,
        bounds: &Bounds,
        mut emit: impl FnMut(&OutFrame),
    ) -> Written {
        if !self.greeted && self.ending.is_none() {
            return Written::default();
        }
        let polled = self.transport == Transport::Poll;
        self.hello_waits = false;
        self.flush_owed = false;
        let mut wrote = !self.control.is_empty();
        for frame in self.control.take_all() {
            emit(&frame);
        }
        if std::mem::take(&mut self.pong_owed) {
            emit(&OutFrame::from(&ServerFrame::Pong, self.codec));
            wrote = true;
        }
        let (more, items) = self.drain_items(max_frames, max_bytes, now, bounds, &mut emit);
        wrote |= items;
        // Along with anything else an ack costs no write of its own. On a poll, where the POST has
        // been told already, it lets the client compare what was sent.
        let ack = self.ack_is_due(now, bounds) || (wrote && (polled || self.received > self.told));
        let acked = ack && self.greeted && self.out.sent() >= self.answer_at;
        if acked {
            emit(&self.ack(now));
            wrote = true;
        }
        // Anything else that was written has kept the connection alive already.
        if std::mem::take(&mut self.ping_owed) && !wrote {
            emit(&OutFrame::from(
                &ServerFrame::Ping { ahead: None },
                self.codec,
            ));
            wrote = true;
        }
        let close = self.say_ending(more, &mut emit);
        if wrote || close.is_some() {
            self.last_written = now;
        }
        Written { more, close, acked }
    }

    fn drain_items(
        &mut self,
        max_frames: usize,
        max_bytes: usize,
        now: Millis,
        bounds: &Bounds,
        emit: &mut impl FnMut(&OutFrame),
    ) -> (bool, bool) {
        let limit = if self.greeted { self.item_limit() } else { 0 };
        let (mut frames, mut bytes) = (0, 0);
        while self.out.sent() < limit {
            let Some(frame) = self.out.next() else { break };
            let frame = frame.clone();
            if frames > 0 && (frames >= max_frames || bytes + frame.len() > max_bytes) {
                return (true, true);
            }
            if frame.len() > bounds.announce_bytes && self.transport == Transport::Ws {
                let ahead = frame.len() as u64;
                emit(&OutFrame::from(
                    &ServerFrame::Ping { ahead: Some(ahead) },
                    self.codec,
                ));
                self.be_patient(ahead, now, bounds);
            }
            emit(&frame);
            self.out.advance();
            if !holds(Rule::RetainUntilAcked) {
                let _ = self.out.ack(self.out.sent(), |_, _| ());
            }
            frames += 1;
            bytes += frame.len();
        }
        (false, frames > 0)
    }

    fn ack(&mut self, now: Millis) -> OutFrame {
        self.told = self.received;
        self.untold_bytes = 0;
        self.ack_owed = false;
        self.last_ack = now;
        OutFrame::from(
            &ServerFrame::Ack {
                received: self.received,
                sent: Some(self.out.sent()),
            },
            self.codec,
        )
    }
}
