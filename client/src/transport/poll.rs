//! Long-polling as a `Transport`: carries out the HTTP exchanges that `protocol::client::poll` asks for.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Request,
    header::{HeaderValue, RETRY_AFTER},
};
use tengen_protocol::Millis;
use tengen_protocol::client::{
    TransportClose,
    poll::{Exchange, HttpAnswer, Poll as Machine, PollEvent},
};
use tokio::time::Sleep;

use super::{GOODBYE, Tide, Transport, TransportEvent, tengen_error};
use crate::{
    exchange::{Answer, Kept, exchange},
    shared::Shared,
};

type Running = Pin<Box<dyn Future<Output = Result<(Answer, Option<Kept>), String>> + Send>>;

/// One poll connection: a GET that waits and a POST at a time, each over a connection of its own
/// that is kept between them.
pub(crate) struct Polling {
    shared: Arc<Shared>,
    machine: Machine,
    told_opened: bool,
    events: VecDeque<TransportEvent>,
    get: Lane,
    post: Lane,
    timer: Option<(Millis, Pin<Box<Sleep>>)>,
    /// Set once the session is done with it: what is in line has this long to leave.
    patience: Option<Pin<Box<Sleep>>>,
}

/// One request at a time.
#[derive(Default)]
struct Lane {
    kept: Option<Kept>,
    running: Option<(u64, Running)>,
    /// Something of the answer has come; shared with the exchange that runs.
    heard: Arc<AtomicBool>,
}

impl Polling {
    /// Nothing is sent before the hello is.
    pub(crate) fn new(machine: Machine, shared: Arc<Shared>) -> Polling {
        Polling {
            shared,
            machine,
            told_opened: false,
            events: VecDeque::new(),
            get: Lane::default(),
            post: Lane::default(),
            timer: None,
            patience: None,
        }
    }

    fn begin(&mut self, exchange: Exchange) {
        let shared = Arc::clone(&self.shared);
        let lane = if exchange.post {
            &mut self.post
        } else {
            &mut self.get
        };
        let (kept, heard) = (lane.kept.take(), Arc::clone(&lane.heard));
        let id = exchange.id;
        lane.running = Some((id, Box::pin(carry_out(shared, kept, exchange, heard))));
    }

    /// Moves both lanes; true if an exchange ended.
    fn poll_lanes(&mut self, context: &mut Context<'_>, now: Millis) -> bool {
        let mut any = false;
        for lane in [&mut self.get, &mut self.post] {
            let Poll::Ready((id, answer)) = lane.poll(context) else {
                continue;
            };
            any = true;
            let answer = answer.map(|answer| {
                self.shared.learn(&answer.headers);
                told(answer)
            });
            let events = self.machine.answered(id, answer, now).into_iter();
            self.events.extend(events.map(|event| match event {
                PollEvent::Frame(frame) => TransportEvent::Frame(frame),
                PollEvent::Heard => TransportEvent::Heard,
                PollEvent::Closed(close) => TransportEvent::Closed(close),
            }));
        }
        any
    }

    /// Whether the machine's own time has come.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.machine.next_timeout() else {
            self.timer = None;
            return Poll::Pending;
        };
        let at = self.shared.instant(due);
        let (set, sleep) = self
            .timer
            .get_or_insert_with(|| (due, Box::pin(tokio::time::sleep_until(at))));
        if *set != due {
            *set = due;
            sleep.as_mut().reset(at);
        }
        ready!(sleep.as_mut().poll(context));
        self.timer = None;
        Poll::Ready(())
    }
}

impl Lane {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(u64, Result<Answer, String>)> {
        let Some((id, running)) = &mut self.running else {
            if let Some(kept) = &mut self.kept
                && kept.poll_closed(context).is_ready()
            {
                self.kept = None;
            }
            return Poll::Pending;
        };
        let (id, ended) = (*id, ready!(running.as_mut().poll(context)));
        self.running = None;
        Poll::Ready((
            id,
            ended.map(|(answer, kept)| {
                self.kept = kept;
                answer
            }),
        ))
    }

    fn has_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }
}

impl Transport for Polling {
    fn poll_event(&mut self, context: &mut Context<'_>, tide: Tide) -> Poll<TransportEvent> {
        // There is nothing to open: the hello goes out as soon as it is written.
        if !std::mem::replace(&mut self.told_opened, true) {
            return Poll::Ready(TransportEvent::Opened);
        }
        if let Some(patience) = &mut self.patience
            && (self.machine.is_done() || patience.as_mut().poll(context).is_ready())
        {
            return Poll::Ready(TransportEvent::Closed(TransportClose::default()));
        }
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            while let Some(exchange) = self.machine.next(tide.received, tide.now) {
                self.begin(exchange);
            }
            if self.poll_lanes(context, tide.now) {
                if self.patience.is_some() && self.machine.is_done() {
                    return Poll::Ready(TransportEvent::Closed(TransportClose::default()));
                }
                continue;
            }
            if self.get.has_heard() | self.post.has_heard() {
                return Poll::Ready(TransportEvent::Heard);
            }
            ready!(self.poll_timer(context));
        }
    }

    fn send(&mut self, frame: Bytes, position: Option<u64>) {
        self.machine.write(frame, position);
    }

    fn backlog(&self) -> usize {
        self.machine.backlog()
    }

    fn close(&mut self, _: u16, _: &str) {
        if self.patience.is_none() {
            // The goodbye itself is a frame, and in line already.
            self.machine.close();
            self.get = Lane::default();
            self.patience = Some(Box::pin(tokio::time::sleep(GOODBYE)));
        }
    }
}

async fn carry_out(
    shared: Arc<Shared>,
    kept: Option<Kept>,
    asked: Exchange,
    heard: Arc<AtomicBool>,
) -> Result<(Answer, Option<Kept>), String> {
    let mut target = shared.route.target().to_owned();
    if !asked.query.is_empty() {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(&asked.query);
    }
    let method = if asked.post { "POST" } else { "GET" };
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .body(Full::new(asked.body))
        .map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    // Of now, not of the hello: as in a browser a new cookie goes with the next request.
    headers.extend(shared.request_headers());
    for (name, value) in asked.headers {
        let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
        headers.insert(name, value);
    }
    let silence = Duration::from_millis(asked.timeout_ms);
    exchange(&shared.route, kept, request, silence, &heard).await
}

fn told(answer: Answer) -> HttpAnswer {
    HttpAnswer {
        status: answer.status.as_u16(),
        tengen_error: tengen_error(&answer.headers),
        retry_after_ms: retry_after(&answer.headers),
        body: answer.body,
    }
}

/// In seconds; a date is left to the client's own backoff.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    seconds.checked_mul(1000)
}
