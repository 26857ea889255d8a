//! One poll connection, sans-IO: written frames in, HTTP exchanges out; their answers in, frames out.

mod answer;
mod line;

use super::{Options, TransportClose};
use crate::codec::Codec;
use crate::codes::ErrorCode;
use crate::frame::{ClientFrame, ServerFrame};
use crate::ids::SessionId;
use crate::limits::Limits;
use crate::millis::Millis;
use crate::sequence;
use crate::server::patience;
use bytes::Bytes;

use line::Line;

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
///
/// What is written while a POST is under way waits for the next one, so a burst of items costs
/// two POSTs. An exchange that fails is repeated with the same numbers, a few times within a
/// second or two; then the connection is over, and the session's backoff decides.
#[derive(Debug)]
pub struct Poll {
    connection: u64,
    codec: Codec,
    limits: Limits,
    hello_timeout_ms: u64,
    grace_ms: u64,

    ids: u64,
    attempt: u64,
    /// What the server's hello said; `None` before it.
    greeted: Option<Greeted>,
    hello: Option<Bytes>,
    /// The exchange that carries the hello.
    hello_under_way: Option<u64>,

    line: Line,
    post: Option<u64>,
    post_pause: Pause,
    /// The newest count of a POST, and how many items of the server have to be here before it may
    /// be told.
    held: Option<(u64, u64)>,

    n: u64,
    /// Items of the server that have come, as far as this connection knows.
    items: u64,
    get: Option<Get>,
    get_pause: Pause,

    closing: bool,
    over: bool,
}

#[derive(Debug)]
struct Greeted {
    session: SessionId,
    ping_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Get {
    id: u64,
    received: u64,
    begun: Millis,
}

/// What is waited for before the next exchange of a kind.
#[derive(Clone, Copy, Debug, Default)]
struct Pause {
    until: Millis,
    /// Failures in a row, or answers without progress.
    failures: u32,
    idle: u32,
}

impl Pause {
    fn is_over(self, now: Millis) -> bool {
        now >= self.until
    }
}

impl Poll {
    /// A connection that has not said hello.
    pub fn new(connection: u64, options: &Options) -> Poll {
        Poll {
            connection,
            codec: options.codec,
            limits: Limits::from_server(options.max_bytes as u64),
            hello_timeout_ms: options.hello_timeout_ms,
            grace_ms: options.grace_ms,
            ids: 0,
            attempt: 0,
            greeted: None,
            hello: None,
            hello_under_way: None,
            line: Line::default(),
            post: None,
            post_pause: Pause::default(),
            held: None,
            n: 0,
            items: 0,
            get: None,
            get_pause: Pause::default(),
            closing: false,
            over: false,
        }
    }

    /// The number under which the session knows it.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// Puts a frame in line, as [`Action::Write`](super::Action::Write) gives it.
    pub fn write(&mut self, frame: Bytes, position: Option<u64>) {
        if self.closing || self.over {
            return;
        }
        let said_hello = self.hello.is_some() || self.hello_under_way.is_some();
        if self.greeted.is_none()
            && !said_hello
            && let Ok(ClientFrame::Hello(hello)) =
                ClientFrame::decode(self.codec, frame.clone(), &self.limits)
        {
            self.attempt = hello.attempt;
            self.hello = Some(frame);
            return;
        }
        self.line.put(frame, position);
    }

    /// The next exchange to begin. `received` is [`Session::received`](super::Session::received).
    pub fn next(&mut self, received: u64, now: Millis) -> Option<Exchange> {
        if self.over {
            return None;
        }
        if let Some(hello) = self.hello.take() {
            let id = self.new_id();
            self.hello_under_way = Some(id);
            return Some(self.exchange(id, true, String::new(), hello, self.hello_timeout_ms));
        }
        let silence_ms = self.greeted.as_ref()?.ping_ms + self.grace_ms;
        // The session judges silence by the same measure, and shall be first.
        let timeout_ms = silence_ms + self.grace_ms / 2;
        if self.post.is_none() && !self.line.is_empty() && self.post_pause.is_over(now) {
            let (first, body) = self.line.batch(self.codec);
            let id = self.new_id();
            self.post = Some(id);
            let timeout_ms = timeout_ms + patience(body.len() as u64);
            return Some(self.exchange(id, true, format!("first={first}"), body, timeout_ms));
        }
        if self.get.is_none() && !self.closing && self.get_pause.is_over(now) {
            let id = self.new_id();
            self.n += 1;
            self.items = received;
            self.get = Some(Get {
                id,
                received,
                begun: now,
            });
            let query = format!("received={received}&n={}", self.n);
            return Some(self.exchange(id, false, query, Bytes::new(), timeout_ms));
        }
        None
    }

    /// When [`Poll::next`] may have something, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Millis> {
        if self.over || self.greeted.is_none() {
            return None;
        }
        let post = (self.post.is_none() && !self.line.is_empty()).then_some(self.post_pause.until);
        let get = (self.get.is_none() && !self.closing).then_some(self.get_pause.until);
        post.into_iter().chain(get).min()
    }

    /// Bytes of frames that were written and not yet answered for; 0 once it is closed.
    pub fn backlog(&self) -> usize {
        match self.closing || self.over {
            true => 0,
            false => self.line.bytes(),
        }
    }

    /// The session is done with it ([`Action::Close`](super::Action::Close)): what is in line, a
    /// goodbye perhaps, goes out in a last POST, if the hello was answered, and is not repeated.
    /// A GET that is under way may be dropped. Nothing is heard of it any more.
    pub fn close(&mut self) {
        self.closing = true;
        self.get = None;
        // A POST under way is repeated with what stands behind it: positions say what is new.
        self.post = None;
        self.line.nothing_is_under_way();
        self.post_pause = Pause::default();
        self.over |= self.greeted.is_none() || self.line.is_empty();
    }

    /// Over, with nothing left to carry out: drop it.
    pub fn is_done(&self) -> bool {
        self.over
    }

    fn new_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn exchange(
        &self,
        id: u64,
        post: bool,
        query: String,
        body: Bytes,
        timeout_ms: u64,
    ) -> Exchange {
        let content_type = self.codec.poll_content_type().to_owned();
        let mut headers = vec![("Accept", content_type.clone())];
        if post {
            headers.push(("Content-Type", content_type));
        }
        if let Some(greeted) = &self.greeted {
            headers.push(("Tengen-Session", greeted.session.as_str().to_owned()));
            headers.push(("Tengen-Attempt", self.attempt.to_string()));
        }
        Exchange {
            id,
            post,
            query,
            headers,
            body,
            timeout_ms,
        }
    }

    /// The frames of an answer; `None` if it is not one of a node: a page of a proxy, perhaps.
    fn frames(&self, body: &Bytes) -> Option<Vec<Bytes>> {
        let frames: Vec<Bytes> = sequence::split(self.codec, body, &self.limits).collect();
        let ours = |frame: &Bytes| crate::frame::has_kind(self.codec, frame);
        frames.iter().all(ours).then_some(frames)
    }

    fn decode(&self, frame: &Bytes) -> Option<ServerFrame> {
        ServerFrame::decode(self.codec, frame.clone(), &self.limits).ok()
    }
}
