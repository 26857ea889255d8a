//! One poll connection, sans-IO: written frames in, HTTP exchanges out; their answers in, frames out.

use super::{Options, TransportClose};
use crate::codes::ErrorCode;
use crate::millis::Millis;
use bytes::Bytes;

/// One HTTP exchange that the driver carries out at the client's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Names it in [`Poll::answered`].
    pub id: u64,
    /// POST; else GET.
    pub post: bool,
    /// `received=…&n=…`, `first=…`, or nothing for a hello.
    pub query: String,
    /// `Tengen-Session`, `Tengen-Attempt`, `Content-Type`, `Accept`, as far as they apply.
    pub headers: Vec<(&'static str, String)>,
    /// Empty for a GET.
    pub body: Bytes,
    /// After so many milliseconds without a single byte of the answer the driver gives up. What
    /// arrives before the answer is complete is told by
    /// [`Session::heard`](super::Session::heard), so that a slow download is no silence.
    pub timeout_ms: u64,
}

/// How an exchange was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    /// The header `Tengen-Error`.
    pub tengen_error: Option<ErrorCode>,
    /// The header `Retry-After`, of which only the form in seconds counts.
    pub retry_after_ms: Option<u64>,
    pub body: Bytes,
}

/// What an answer means for the session, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollEvent {
    /// [`Session::frame`](super::Session::frame).
    Frame(Bytes),
    /// A sign of life without a frame: [`Session::heard`](super::Session::heard).
    Heard,
    /// The connection is over: [`Session::closed`](super::Session::closed). The last event.
    Closed(TransportClose),
}

/// One poll connection, from its hello to its end.
///
/// The driver makes one at [`Action::Open`](super::Action::Open) with the transport `Poll`, says
/// [`opened`](super::Session::opened) at once (there is nothing to open), passes written frames
/// to [`Poll::write`], and after every change carries out what [`Poll::next`] gives until it gives
/// nothing: at most one GET and one POST at a time.
#[derive(Debug)]
pub struct Poll {
    connection: u64,
}

impl Poll {
    /// A connection that has not said hello.
    pub fn new(connection: u64, options: &Options) -> Poll {
        let _ = options;
        Poll { connection }
    }

    /// The number under which the session knows it.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// Puts a frame in line, as [`Action::Write`](super::Action::Write) gives it.
    pub fn write(&mut self, frame: Bytes, position: Option<u64>) {
        todo!("{frame:?} {position:?}")
    }

    /// The next exchange to begin. `received` is [`Session::received`](super::Session::received).
    pub fn next(&mut self, received: u64, now: Millis) -> Option<Exchange> {
        todo!("{received} {now:?}")
    }

    /// An exchange was answered, or failed with a text for people. Of an exchange that is not
    /// under way any more nothing is heard.
    pub fn answered(
        &mut self,
        exchange: u64,
        answer: Result<HttpAnswer, String>,
        now: Millis,
    ) -> Vec<PollEvent> {
        todo!("{exchange} {answer:?} {now:?}")
    }

    /// When [`Poll::next`] may have something, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Millis> {
        todo!()
    }

    /// The session is done with it ([`Action::Close`](super::Action::Close)): what is in line goes
    /// out in one last POST, if the hello was answered; the GET that waits may be dropped.
    /// Nothing is heard of it any more.
    pub fn close(&mut self) {
        todo!()
    }

    /// Closed or over, with nothing left to carry out: drop it.
    pub fn is_done(&self) -> bool {
        todo!()
    }
}
