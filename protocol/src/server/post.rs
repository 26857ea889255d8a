//! POSTs of a poll: items by their positions, as many as there is room for, and the count that answers them.

use super::poll::{POLL_BYTES, PollRefused};
use super::{Bounds, Received, Session};
use crate::codec::Codec;
use crate::codes::CloseCode;
use crate::frame::{ClientFrame, ServerFrame, is_item};
use crate::millis::Millis;
use crate::rules::{Rule, holds};
use crate::sequence;
use bytes::Bytes;

/// What became of the body of a POST.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// Items of the client counted so far; the next POST begins after it.
    pub received: u64,
    /// Among the items up to `received` are refused ones, whose answers stand among the first so
    /// many items of the server and may not have arrived yet.
    pub answers: Option<u64>,
    /// [`Session::next_item`] has something.
    pub work: bool,
    /// The client said goodbye: code, reason, and whether it gave up the session too.
    pub left: Option<(CloseCode, String, bool)>,
    /// Frames among them that were refused by a number.
    pub refused: u32,
    /// The connection must end: the next GET, or the one that waits, says so.
    pub close: Option<(CloseCode, String)>,
}

impl Posted {
    /// The body of the answer: `[4, received]`, and as a third element `answers` if there are any.
    pub fn answer(&self, codec: Codec) -> Bytes {
        let ack = ServerFrame::Ack {
            received: self.received,
            sent: self.answers,
        };
        let mut body = ack.encode(codec).to_vec();
        if codec == Codec::Json {
            body.push(b'\n');
        }
        body.into()
    }
}

impl<C: Clone> Session<C> {
    /// Takes the body of a POST, whose first item stands at position `first` (from 1).
    ///
    /// Counted items are dropped; a body that begins behind a hole takes nothing. It takes fewer
    /// than all when so many wait for their handlers that there is no room, and nothing after the
    /// first item that cannot be decoded, which still counts.
    ///
    /// # Errors
    /// [`PollRefused`]; nothing has changed then.
    pub fn post(
        &mut self,
        attempt: u64,
        first: u64,
        body: &Bytes,
        context: &C,
        now: Millis,
        bounds: &Bounds,
    ) -> Result<Posted, PollRefused> {
        self.check_poll(attempt, Rule::PostNamesAttempt)?;
        let frames = || sequence::split(self.codec(), body, &bounds.limits);
        if body.len() > POLL_BYTES && frames().nth(1).is_some() {
            return Err(PollRefused::TooLarge);
        }
        let frames = frames();
        self.attach_again(now);
        let mut posted = Posted::default();
        if first <= self.received + 1 || !holds(Rule::HoleTakesNothing) {
            self.take(frames, first, context, now, bounds, &mut posted);
        }
        self.told = self.received;
        self.untold_bytes = 0;
        self.ack_owed = false;
        self.last_ack = now;
        posted.received = self.received;
        posted.answers = if self.over && posted.left.is_none() {
            // Answers to refused items may be gone with the queue: no promise may end well by this
            // count, and the end of the session resolves them all.
            Some(self.out.end() + 1)
        } else {
            (self.answer_at > self.out.acked()).then_some(self.answer_at)
        };
        Ok(posted)
    }

    fn take(
        &mut self,
        frames: sequence::Split,
        first: u64,
        context: &C,
        now: Millis,
        bounds: &Bounds,
        posted: &mut Posted,
    ) {
        let mut position = first;
        for frame in frames {
            if self.ending.is_some() {
                return;
            }
            let item = is_item(self.codec, &frame);
            if item {
                position += 1;
                if position <= self.received + 1 && holds(Rule::CountedIsDropped) {
                    continue;
                }
                if !self.may_read() {
                    return;
                }
            }
            let decoded = ClientFrame::decode(self.codec, frame.clone(), &bounds.limits);
            let unusable = item && decoded.is_err();
            match self.accept_frame(decoded, frame.len(), context, now, bounds) {
                Received::Quiet | Received::Stale => {}
                Received::Refused => posted.refused += 1,
                Received::Work => posted.work = true,
                Received::Full => posted.work = self.inbox.has_work(),
                Received::Left { code, reason, over } => {
                    posted.left = Some((code, reason, over));
                    return;
                }
                Received::Close(code, reason) => {
                    posted.close = Some((code, reason));
                    return;
                }
            }
            if unusable {
                return;
            }
        }
    }
}
