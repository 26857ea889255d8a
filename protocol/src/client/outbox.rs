//! What the application sends: in line, written within a window, retained until acknowledged, resolved exactly once.

use super::connection::Phase;
use super::{Action, Failure, MAX_TIMEOUT_MS, Outcome, SendOptions, Session, Token};
use crate::codes::{ErrorCode, Refusal};
use crate::data::Data;
use crate::frame::ClientFrame;
use crate::ids::EventId;
use crate::millis::Millis;
use crate::out_queue::Weight;
use crate::rules::{Rule, holds};
use bytes::Bytes;

/// One item in line.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// An event's promise, until it has its outcome.
    pub(super) token: Option<Token>,
    /// A request's ref; its promise is in `pending`.
    pub(super) request: Option<u32>,
    pub(super) deadline: Option<Millis>,
    frame: Bytes,
    /// What it counts for in the bounds, whatever becomes of its frame.
    weight: usize,
    /// A request that had to wait is encoded again when it is written, with the time that is left.
    again: Option<Again>,
}

#[derive(Debug)]
struct Again {
    id: EventId,
    data: Data,
    /// When the frame in line was encoded.
    at: Millis,
}

impl Weight for Outgoing {
    fn weight(&self) -> usize {
        self.weight
    }
}

/// A request without an outcome.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) token: Token,
    pub(super) deadline: Millis,
    pub(super) written: bool,
}

impl Session {
    /// Sends an event. Its promise resolves with null once the server has counted it.
    pub fn send(&mut self, id: EventId, data: Data, options: SendOptions, now: Millis) -> Token {
        let token = self.new_token();
        let timeout = options.timeout_ms.filter(|timeout| *timeout > 0);
        let deadline = timeout.map(|timeout| now.plus(timeout.min(MAX_TIMEOUT_MS)));
        let reserved = id.is_reserved();
        let frame = ClientFrame::Event { id, data };
        match self.admit(reserved, &frame, options) {
            Ok(frame) => {
                if let Some(deadline) = deadline {
                    self.deadlines.insert((deadline, token), None);
                }
                self.out.push(Outgoing {
                    token: Some(token),
                    request: None,
                    deadline,
                    weight: frame.len(),
                    frame,
                    again: None,
                });
                self.flush(now);
            }
            Err(failure) => self.resolve(token, Err(failure)),
        }
        token
    }

    /// Sends a request. Its promise resolves with the reply, or with the reason why there is none.
    pub fn request(&mut self, id: EventId, data: Data, options: SendOptions, now: Millis) -> Token {
        let token = self.new_token();
        let timeout = options.timeout_ms.filter(|timeout| *timeout > 0);
        let timeout_ms = timeout
            .unwrap_or(self.options.request_timeout_ms)
            .min(MAX_TIMEOUT_MS);
        let deadline = now.plus(timeout_ms);
        let request = self.free_ref();
        let frame = ClientFrame::Request {
            request,
            id: id.clone(),
            data: data.clone(),
            timeout_ms,
        };
        match self.admit(id.is_reserved(), &frame, options) {
            Ok(frame) => {
                self.deadlines.insert((deadline, token), Some(request));
                self.pending.insert(
                    request,
                    Pending {
                        token,
                        deadline,
                        written: false,
                    },
                );
                self.out.push(Outgoing {
                    token: None,
                    request: Some(request),
                    deadline: Some(deadline),
                    weight: frame.len(),
                    frame,
                    again: Some(Again { id, data, at: now }),
                });
                self.flush(now);
            }
            Err(failure) => self.resolve(token, Err(failure)),
        }
        token
    }

    /// Decides whether an item may stand in line, and encodes it.
    fn admit(
        &self,
        reserved: bool,
        frame: &ClientFrame,
        options: SendOptions,
    ) -> Result<Bytes, Failure> {
        if reserved {
            return Err(Failure::refused(
                ErrorCode::RESERVED,
                "ids that begin with chsk/ are reserved",
            ));
        }
        let given_up = self.ended || (self.started && !self.wanted);
        if given_up || (!options.buffered && !self.current_is_open()) {
            return Err(Failure::closed(false));
        }
        let frame = frame.encode(self.options.codec);
        self.fits(&frame)?;
        let waiting = self.out.end() - self.out.written();
        let waiting_bytes = self.out.bytes() - self.inflight_bytes;
        let full = waiting >= self.options.queue_items
            || waiting_bytes + frame.len() > self.options.queue_bytes;
        if full || (!options.buffered && waiting > 0) {
            return Err(Failure::refused(
                ErrorCode::RATE,
                "too many items wait to be sent",
            ));
        }
        Ok(frame)
    }

    fn fits(&self, frame: &Bytes) -> Result<(), Failure> {
        let max_bytes = match self.current.as_ref().map(|current| current.phase) {
            Some(Phase::Open { max_bytes, .. }) => max_bytes,
            _ => self.options.max_bytes,
        };
        if frame.len() <= max_bytes {
            return Ok(());
        }
        Err(Failure::refused(
            ErrorCode::TOO_LARGE,
            format!("{} bytes, at most {max_bytes} are allowed", frame.len()),
        ))
    }

    /// Writes what is in line, as far as the window reaches.
    pub(super) fn flush(&mut self, now: Millis) {
        let mut wrote = 0;
        while self
            .current
            .as_ref()
            .is_some_and(|it| it.is_open() && !it.muted)
        {
            if self.out.sent() == self.out.written() && !self.prepare(now) {
                break;
            }
            if self.out.waiting() == 0 {
                break;
            }
            // Once for all that is written together: were each item to break the connection, a
            // long line would never get through.
            if wrote == 0 && self.random.chance(self.bad_connection_rate) {
                return self.break_connection(true, now);
            }
            wrote += self.write_item(now);
        }
        if wrote > 0 && self.received > self.told {
            self.write_ack();
        }
        if wrote > self.options.announce_bytes as u64 && self.polls() {
            // It all goes up in one POST, and the answers come down the same slow link. Not for
            // less: what is sent to a dead server must not hide its death.
            self.be_patient(wrote, now);
        }
    }

    /// Makes the next item ready for its first write; `false` if the window is full.
    fn prepare(&mut self, now: Millis) -> bool {
        while let Some(item) = self.out.next() {
            let full = self.inflight_bytes + item.weight > self.options.window_bytes;
            let unacked = self.out.unacked();
            if unacked >= self.options.window_items || (full && unacked > 0) {
                return false;
            }
            // What fitted when it was sent may be too large for the server that answered.
            let Some(frame) = self.out.next().map(|item| item.frame.clone()) else {
                return true;
            };
            let Err(failure) = self.fits(&frame) else {
                self.renew(now);
                return true;
            };
            if let Some(mut item) = self.out.withdraw(|_| true) {
                self.fail_item(&mut item, &failure);
            }
        }
        true
    }

    /// Encodes a request that had to wait again, with the time that its caller has left.
    fn renew(&mut self, now: Millis) {
        let codec = self.options.codec;
        let Some(item) = self.out.next() else { return };
        let (Some(Again { id, data, at }), Some(request), Some(deadline)) =
            (item.again.take(), item.request, item.deadline)
        else {
            return;
        };
        if at == now {
            return;
        }
        // 0 would mean the server's default.
        let timeout_ms = deadline.0.saturating_sub(now.0).max(1);
        item.frame = ClientFrame::Request {
            request,
            id,
            data,
            timeout_ms,
        }
        .encode(codec);
    }

    /// Writes the next item and says how large it is.
    fn write_item(&mut self, now: Millis) -> u64 {
        let first = self.out.sent() == self.out.written();
        let Some(item) = self.out.next() else {
            return 0;
        };
        let (frame, request, weight) = (item.frame.clone(), item.request, item.weight);
        let bytes = frame.len() as u64;
        if frame.len() > self.options.announce_bytes && !self.polls() {
            let ahead = bytes;
            self.say(&ClientFrame::Ping { ahead: Some(ahead) });
            self.be_patient(ahead, now);
        }
        let position = self.out.advance();
        if first {
            self.inflight_bytes += weight;
        }
        if let Some(pending) = request.and_then(|request| self.pending.get_mut(&request)) {
            pending.written = true;
        }
        self.write(frame, Some(position));
        bytes
    }

    /// The server has counted everything up to `received`.
    pub(super) fn acknowledged(&mut self, received: u64) -> bool {
        let mut events = Vec::new();
        let inflight = &mut self.inflight_bytes;
        let known = self.out.ack(received, |_, item| {
            *inflight -= item.weight;
            events.extend(item.token.map(|token| (token, item.deadline)));
        });
        for (token, deadline) in events {
            self.forget_deadline(token, deadline);
            self.resolve(token, Ok(Data::null(self.options.codec)));
        }
        known.is_ok()
    }

    /// The item at `position` was refused.
    pub(super) fn refused(&mut self, position: u64, refusal: Refusal) {
        let failure = Failure::answered(refusal);
        let Some(item) = self.out.at(position) else {
            return;
        };
        let (token, deadline, request) = (item.token.take(), item.deadline, item.request);
        if let Some(token) = token {
            self.forget_deadline(token, deadline);
            self.resolve(token, Err(failure));
        } else if let Some(request) = request {
            self.answer(request, Err(failure));
        }
    }

    /// Resolves a request, if it still waits.
    pub(super) fn answer(&mut self, request: u32, outcome: Outcome) {
        if let Some(pending) = self.pending.remove(&request) {
            self.forget_deadline(pending.token, Some(pending.deadline));
            self.resolve(pending.token, outcome);
        }
    }

    fn fail_item(&mut self, item: &mut Outgoing, failure: &Failure) {
        if let Some(token) = item.token.take() {
            self.forget_deadline(token, item.deadline);
            self.resolve(token, Err(failure.clone()));
        }
        if let Some(request) = item.request {
            self.answer(request, Err(failure.clone()));
        }
    }

    /// Counts anew, for a new session: what was written resolves as `closed {sent}`, what was not stays in line.
    pub(super) fn restart_counts(&mut self) {
        for mut item in self.out.restart() {
            if holds(Rule::LostItemsResolve) {
                self.fail_item(&mut item, &Failure::closed(true));
            }
        }
        if !holds(Rule::UnwrittenGoOn) {
            self.fail_everything();
        }
        let written = self.pending.iter().filter(|(_, pending)| pending.written);
        let written: Vec<u32> = written.map(|(request, _)| *request).collect();
        for request in written {
            self.answer(request, Err(Failure::closed(true)));
        }
        self.inflight_bytes = 0;
        (self.received, self.told, self.untold_bytes) = (0, 0, 0);
    }

    /// Resolves everything that is left, none of it ever written, as `closed`.
    pub(super) fn fail_everything(&mut self) {
        while let Some(mut item) = self.out.withdraw(|_| true) {
            self.fail_item(&mut item, &Failure::closed(false));
        }
    }

    /// Ends the promises whose deadline has come. An item that was never written goes with its promise.
    pub(super) fn expire(&mut self, now: Millis) {
        while let Some((&(deadline, token), &request)) = self.deadlines.first_key_value() {
            if deadline > now {
                return;
            }
            self.deadlines.remove(&(deadline, token));
            let withdrawn = self.out.withdraw(|item| match request {
                Some(_) => item.request == request,
                None => item.token == Some(token),
            });
            let failure = match withdrawn {
                Some(_) => Failure::closed(false),
                None => Failure::timeout(),
            };
            match request {
                Some(request) => {
                    self.pending.remove(&request);
                }
                None => {
                    let mut items = self.out.iter_mut();
                    if let Some(item) = items.find(|item| item.token == Some(token)) {
                        item.token = None;
                    }
                }
            }
            self.resolve(token, Err(failure));
        }
    }

    fn forget_deadline(&mut self, token: Token, deadline: Option<Millis>) {
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, token));
        }
    }

    fn resolve(&mut self, token: Token, outcome: Outcome) {
        self.actions.push_back(Action::Resolved { token, outcome });
    }

    fn new_token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    /// A ref that no request of ours is waiting under.
    fn free_ref(&mut self) -> u32 {
        loop {
            self.refs = self.refs.wrapping_add(1);
            if !self.pending.contains_key(&self.refs) {
                return self.refs;
            }
        }
    }
}
