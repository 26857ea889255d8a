//! GETs of a poll: which one may be answered, where it begins, and what its answer says.

use super::{Bounds, Link, Session, Standing, Written};
use crate::codec::Codec;
use crate::codes::CloseCode;
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::rules::{Rule, holds};
use crate::transport::Transport;

/// The most that one answer carries, in bytes, unless a single item is larger.
pub const POLL_BYTES: usize = 256 << 10;

/// One GET of a session, as [`Link`] is one connection: a later GET voids it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PollTurn {
    link: Link,
    turn: u32,
    attempt: u64,
}

/// Why a GET or a POST is refused. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollRefused {
    /// A newer hello was here, on this transport or another: 409.
    LowerAttempt,
    /// A GET with a higher `n` was here before, so nobody waits for this one: 409.
    LowerTurn,
    /// No connection of this number is open here: its hello was never here or never answered, or it
    /// has been closed. 410.
    HigherAttempt,
    /// The session is at another node, or on its way between two: 410, unless it can be relayed.
    Elsewhere,
    /// The session has ended: 410.
    Over,
    /// The client names a count that cannot be. End the session; 410.
    Lost,
    /// A body over the limit that holds more than one frame: 413.
    TooLarge,
}

/// When the GET that waits should be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollDue {
    /// There is nothing to say: wait to be woken.
    Idle,
    /// There is something, but more may follow at once: look again then.
    At(Millis),
    /// Answer now: there is something to say, or the GET has been replaced.
    Now,
}

/// What a session knows of its GETs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Polling {
    /// The highest `n` of this attempt.
    n: u64,
    /// Names the newest GET.
    turn: u32,
    /// The newest GET has not been answered.
    waits: bool,
    /// When there was first something to say to it.
    ready_since: Option<Millis>,
}

impl Polling {
    /// A hello begins anew; a GET of before stays void.
    pub(super) fn restart(&mut self) {
        *self = Polling {
            turn: self.turn,
            ..Polling::default()
        };
    }
}

impl Written {
    pub(super) fn superseded() -> Written {
        Written {
            more: false,
            close: Some((CloseCode::SUPERSEDED, "superseded".to_owned())),
            acked: false,
        }
    }
}

impl<C> Session<C> {
    /// Takes a GET: acknowledges what the client has `received`, goes back to there, and voids the
    /// GET before it.
    ///
    /// A session that fell silent is attached again: to its client it is the same connection.
    ///
    /// # Errors
    /// [`PollRefused`]; nothing has changed then.
    pub fn poll(
        &mut self,
        attempt: u64,
        n: u64,
        received: u64,
        now: Millis,
    ) -> Result<PollTurn, PollRefused> {
        self.check_poll(attempt, Rule::LowerAttemptRefused)?;
        let before = self.polling();
        let equal = n == before.n;
        if (n < before.n && holds(Rule::LowerPollRefused))
            || (equal && !holds(Rule::EqualPollReplaces))
        {
            return Err(PollRefused::LowerTurn);
        }
        if received < self.out.acked() && equal {
            // A proxy's late copy of a GET that was answered long ago.
            return Err(PollRefused::LowerTurn);
        }
        if holds(Rule::PollRewinds) || received > self.out.sent() {
            self.out.rewind(received).map_err(|_| PollRefused::Lost)?;
        }
        self.out
            .ack(received, |_, _| ())
            .map_err(|_| PollRefused::Lost)?;
        self.attach_again(now);
        let turn = before.turn.wrapping_add(1);
        *self.polling_mut() = Polling {
            n,
            turn,
            waits: true,
            ready_since: None,
        };
        Ok(PollTurn {
            link: self.link,
            turn,
            attempt,
        })
    }

    /// Whether this GET is still the one to answer.
    pub fn poll_is_current(&self, turn: PollTurn) -> bool {
        let polling = self.polling();
        self.speaks(turn.link) && polling.turn == turn.turn && polling.waits
    }

    /// Whether a GET waits for something to tell.
    pub fn poll_waits(&self) -> bool {
        self.polling().waits
    }

    /// Whether this GET should be answered now. A window of `batch_poll_ms` lets pushes that come
    /// in a row leave in one answer; what ends or answers something does not wait.
    pub fn poll_due(&mut self, turn: PollTurn, now: Millis, bounds: &Bounds) -> PollDue {
        if !self.poll_is_current(turn) {
            return PollDue::Now;
        }
        if !self.wants_write(now, bounds) {
            return PollDue::Idle;
        }
        let since = *self.polling_mut().ready_since.get_or_insert(now);
        let at = since.plus(bounds.batch_poll_ms);
        if at <= now || !self.control.is_empty() || self.ending.is_some() || self.flush_owed {
            return PollDue::Now;
        }
        PollDue::At(at)
    }

    /// What is in line leaves with the next look at it, without waiting out a batching window.
    pub fn flush(&mut self) {
        self.flush_owed = self.attached;
    }

    /// Writes the answer of a GET: bodies, not WebSocket frames, up to `max_bytes` of items or one
    /// item. The GET is then answered, even with nothing.
    ///
    /// A GET that another one of its connection replaced gets nothing, and no close: whoever still
    /// waits for it asks again. One whose connection has been superseded is told to
    /// [close](Written::close) with [`SUPERSEDED`](crate::CloseCode::SUPERSEDED): 409. Any other close stands in the
    /// answer as `bye`.
    pub fn poll_write(
        &mut self,
        turn: PollTurn,
        out: &mut Vec<u8>,
        max_bytes: usize,
        now: Millis,
        bounds: &Bounds,
    ) -> Written {
        // A copy of its own hello, which a proxy made, supersedes nobody: here or at another node the
        // same client goes on, and asks again.
        let copied = turn.attempt == self.attempt && holds(Rule::EqualAttemptReplaces);
        if !self.speaks(turn.link) && !copied {
            return Written::superseded();
        }
        if !self.poll_is_current(turn) {
            return Written::default();
        }
        let before = out.len();
        let codec = self.codec;
        let written = self.drain(usize::MAX, max_bytes, now, bounds, |frame| {
            append(frame, codec, out);
        });
        self.polling_mut().waits = false;
        self.last_heard = now;
        self.last_written = now;
        self.be_patient((out.len() - before) as u64, now, bounds);
        written
    }

    /// Writes the server's hello, for the answer to the POST that brought the client's.
    ///
    /// Gives `false` if `link` has been superseded, or the hello was taken before.
    pub fn poll_hello(&mut self, link: Link, out: &mut Vec<u8>) -> bool {
        if !self.speaks(link) || !std::mem::take(&mut self.hello_waits) {
            return false;
        }
        if let Some(hello) = self.control.take_first() {
            append(&hello, self.codec, out);
        }
        true
    }

    /// The client of this GET is gone before it was answered.
    pub fn poll_dropped(&mut self, turn: PollTurn) {
        if self.poll_is_current(turn) {
            self.polling_mut().waits = false;
        }
    }

    fn polling(&self) -> Polling {
        self.polling.as_deref().copied().unwrap_or_default()
    }

    fn polling_mut(&mut self) -> &mut Polling {
        self.polling.get_or_insert_default()
    }

    /// What a GET or a POST must be to concern this connection.
    pub(super) fn check_poll(&self, attempt: u64, lower: Rule) -> Result<(), PollRefused> {
        let farewell = self.attached && self.ending.is_some();
        if attempt < self.attempt && holds(lower) {
            return Err(PollRefused::LowerAttempt);
        }
        if self.standing() != Standing::Home {
            return Err(PollRefused::Elsewhere);
        }
        if self.over && !farewell {
            return Err(PollRefused::Over);
        }
        if attempt > self.attempt || (!self.greeted && !farewell) {
            return Err(PollRefused::HigherAttempt);
        }
        if self.transport != Transport::Poll && holds(lower) {
            return Err(PollRefused::LowerAttempt);
        }
        Ok(())
    }
}

/// Appends one frame as a poll carries it: CBOR as it is (RFC 8742), JSON with a line break.
fn append(frame: &OutFrame, codec: Codec, out: &mut Vec<u8>) {
    out.extend_from_slice(&frame.body());
    if codec == Codec::Json {
        out.push(b'\n');
    }
}
