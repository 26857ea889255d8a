//! What the handles and the driver of one client share: the table of handlers, the stream, the state.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tengen_protocol::{
    Codec, Millis,
    client::{Event as Routable, Pattern, RouteId, Routed, Router, State},
};
use tokio::{
    sync::{broadcast, mpsc, watch},
    time::Instant,
};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    command::Command,
    cookies::Headers,
    handler::{Handler, Registration},
    route::Route,
    stream::{Events, STREAM_ITEMS, Streamed},
};

#[cfg(test)]
mod tests;

pub(crate) struct Shared {
    pub(crate) codec: Codec,
    began: Instant,
    routes: Mutex<Routes>,
    /// Made when the first reader asks: a ring of 1,024 places is too much to give to everybody.
    stream: Mutex<Stream>,
    pub(crate) state: watch::Sender<Arc<State>>,
    /// Nothing is connected or wanted: the application asked for that, or the cluster refused.
    pub(crate) idle: watch::Sender<bool>,
    pub(crate) route: Route,
    /// Sent with every request.
    headers: Mutex<Headers>,
    /// Cancelled when the client is to end; the driver ends last.
    pub(crate) closing: CancellationToken,
    /// The driver and the tasks of asynchronous handlers.
    pub(crate) tasks: TaskTracker,
}

enum Stream {
    Unread,
    Read(broadcast::Sender<Streamed>),
    Ended,
}

struct Routes {
    router: Router<Handler>,
    /// Early events that have found a handler: the driver delivers them before anything newer.
    found: VecDeque<Routable>,
}

impl Shared {
    pub(crate) fn new(
        codec: Codec,
        route: Route,
        headers: Headers,
        state: Arc<State>,
    ) -> Arc<Shared> {
        Arc::new(Shared {
            codec,
            began: Instant::now(),
            routes: Mutex::new(Routes {
                router: Router::new(),
                found: VecDeque::new(),
            }),
            stream: Mutex::new(Stream::Unread),
            state: watch::Sender::new(state),
            idle: watch::Sender::new(false),
            route,
            headers: Mutex::new(headers),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// The client's clock: milliseconds since it was made.
    pub(crate) fn now(&self) -> Millis {
        Millis(0) + self.began.elapsed()
    }

    /// When the client's clock shows `at`.
    pub(crate) fn instant(&self, at: Millis) -> Instant {
        self.began + (at - Millis(0))
    }

    /// What a request to the channel socket carries.
    pub(crate) fn request_headers(&self) -> HeaderMap {
        self.headers_of(self.route.url().path())
    }

    /// What a request to `path` on the same server carries.
    pub(crate) fn headers_of(&self, path: &str) -> HeaderMap {
        self.headers.lock().of(path, self.route.is_secure())
    }

    pub(crate) fn set_header(&self, name: HeaderName, value: HeaderValue) {
        self.headers.lock().set(name, value);
    }

    /// Takes the cookies of the channel socket's answer.
    pub(crate) fn learn(&self, answer: &HeaderMap) {
        self.learn_of(self.route.url().path(), answer);
    }

    /// Takes the cookies of an answer to a request of `path`.
    pub(crate) fn learn_of(&self, path: &str, answer: &HeaderMap) {
        self.headers
            .lock()
            .learn(answer, path, self.route.is_secure());
    }

    pub(crate) fn attach(
        self: &Arc<Self>,
        pattern: Pattern,
        handler: Handler,
        driver: &mpsc::Sender<Command>,
    ) -> Registration {
        let ended = handler.ended();
        let route = {
            let mut routes = self.routes.lock();
            let (route, found) = routes.router.on(pattern, handler, self.now());
            routes.found.extend(found);
            route
        };
        // A full line wakes the driver as well, and an ended one has nothing to deliver.
        let _ = driver.try_send(Command::Attached);
        Registration::new(Arc::downgrade(self), route, ended)
    }

    pub(crate) fn detach(&self, route: RouteId) {
        self.routes.lock().router.off(route);
    }

    /// The next early event that has found its handlers.
    pub(crate) fn next_found(&self) -> Option<(Routable, Vec<Handler>)> {
        let mut routes = self.routes.lock();
        while let Some(event) = routes.found.pop_front() {
            if let Routed::To(handlers) = routes.router.route(&event, self.now()) {
                return Some((event, handlers));
            }
        }
        None
    }

    /// Who gets this event now. While early events wait to be delivered it is kept behind them, or
    /// it would overtake them: another thread may attach a handler at any moment.
    pub(crate) fn route(&self, event: &Routable) -> Routed<Handler> {
        let mut routes = self.routes.lock();
        if !routes.found.is_empty() {
            routes.found.push_back(event.clone());
            return Routed::Kept;
        }
        routes.router.route(event, self.now())
    }

    pub(crate) fn events(&self) -> Events {
        let mut stream = self.stream.lock();
        let receiver = match &*stream {
            Stream::Read(sender) => sender.subscribe(),
            Stream::Unread => {
                let (sender, receiver) = broadcast::channel(STREAM_ITEMS);
                *stream = Stream::Read(sender);
                receiver
            }
            // Its sender is gone at once: the reader sees the end.
            Stream::Ended => broadcast::channel(1).1,
        };
        Events::new(receiver)
    }

    pub(crate) fn stream(&self, event: &Routable) {
        if let Stream::Read(sender) = &*self.stream.lock() {
            // Nobody reading at the moment is no error.
            let _ = sender.send(Streamed::from(event));
        }
    }

    /// Ends the stream: readers see its end after what is left.
    pub(crate) fn end_stream(&self) {
        *self.stream.lock() = Stream::Ended;
    }
}
