//! Takes a session's items out of its inbox, one after another, and contains whatever their handlers do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use tengen_bus::PendingReply;
use tengen_protocol::server::{Item, ItemKind};
use tengen_protocol::{ErrorCode, EventId, Refusal};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::connected::Connected;
use super::event::{Event, Place};
use super::registry::{Registry, Route, Running};
use super::service::Services;
use super::unhandled::Unhandled;
use crate::hub::port::Port;
use crate::metrics::HandlerMetrics;

/// How many `concurrent` handlers and service requests of one session may be under way. The next
/// one is run in line instead: a client that floods them waits for itself, nobody else does.
const MAX_OVERLAP: u16 = 64;

/// Runs handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dispatcher(Arc<Inner>);

struct Inner {
    registry: Registry,
    services: Option<Services>,
    place: Arc<Place>,
    /// How long the handler of an event may take; a request's has its caller's deadline.
    handler_timeout: Duration,
    unhandled: Unhandled,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Dispatcher {
    /// `tracker` owns every task begun here; `shutdown` ends them, and tells callers `closed`.
    pub(crate) fn new(
        registry: Registry,
        services: Option<Services>,
        place: Arc<Place>,
        handler_timeout: Duration,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> Dispatcher {
        Dispatcher(Arc::new(Inner {
            registry,
            services,
            place,
            handler_timeout,
            unhandled: Unhandled::default(),
            tracker,
            shutdown,
        }))
    }

    /// Where events are handled.
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.0.place
    }

    /// Starts what waits in the session's inbox, unless its items are being worked off already.
    ///
    /// Never waits; to be called without the port's lock. At most one task per session works off
    /// items, because the inbox gives none while one runs.
    pub(crate) fn start(&self, port: &Arc<Port>) {
        if self.0.shutdown.is_cancelled() {
            return;
        }
        let Some(first) = port.with(|inner| inner.session.next_item()) else {
            return;
        };
        let drain = self.clone().drain(port.clone(), first);
        self.0.tracker.spawn(drain);
    }

    /// Works off items until none waits.
    async fn drain(self, port: Arc<Port>, first: Item<Arc<Connected>>) {
        let mut next = Some(first);
        while let Some(item) = next {
            let position = item.position;
            self.one(&port, item).await;
            let (resumed, following, owner) = port.with(|inner| {
                let bounds = self.0.place.hub.bounds();
                let resumed = inner.session.item_returned(position, bounds);
                // Under one lock with the return: in between, another task could begin.
                let following = inner.session.next_item();
                (resumed, following, inner.session.owner().cloned())
            });
            if let Some(owner) = owner {
                // The session went on while this handler ran: its next item waits there.
                self.0.place.returned(&port, &owner, position);
            }
            if resumed.read_again {
                port.wake();
            }
            next = following;
            if self.0.shutdown.is_cancelled() {
                return;
            }
            // Handlers that never wait would keep this worker for as long as the client sends.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Handles one item, as far as the next has to wait for it.
    async fn one(&self, port: &Arc<Port>, item: Item<Arc<Connected>>) {
        let (event, limit) = self.event(port, item);
        let span = tracing::debug_span!(
            "event",
            event = %event.id,
            client = %event.client(),
            r#ref = event.request,
        );
        self.metrics().items.increment();
        if limit <= Instant::now() {
            // It waited too long behind others. Its caller has given up: under overload, work
            // nobody waits for any more would only keep the next ones waiting as well.
            self.metrics().timed_out.increment();
            return event.refuse(late());
        }
        let place = match self.0.registry.find(&event.id) {
            Some(route) => Taker::Handler(route.clone()),
            None => Taker::Service,
        };
        async {
            match place {
                Taker::Handler(route) => self.hand_to(route, event, limit).await,
                Taker::Service => self.serve(event, limit).await,
            }
        }
        .instrument(span)
        .await;
    }

    fn event(&self, port: &Arc<Port>, item: Item<Arc<Connected>>) -> (Event, Instant) {
        let (id, data, request, limit) = match item.kind {
            ItemKind::Event { id, data } => (id, data, None, self.0.handler_timeout),
            ItemKind::Request {
                request,
                id,
                data,
                timeout_ms,
            } => {
                // The caller's clock runs since it asked; time spent in the inbox is gone.
                let waited = self.0.place.hub.now().0.saturating_sub(item.at.0);
                let left = Duration::from_millis(timeout_ms.saturating_sub(waited));
                (id, data, Some(request), left)
            }
        };
        let event = Event {
            id,
            data,
            position: item.position,
            request,
            port: port.clone(),
            connected: item.context,
            place: self.0.place.clone(),
        };
        (event, Instant::now() + limit)
    }

    async fn hand_to(&self, route: Arc<Route>, event: Event, limit: Instant) {
        let overlap = route
            .concurrent
            .then(|| Overlap::take(&event.port))
            .flatten();
        let Some(overlap) = overlap else {
            return self.run(&route, event, limit).await;
        };
        let this = self.clone();
        let span = tracing::Span::current();
        self.0.tracker.spawn(
            async move {
                this.run(&route, event, limit).await;
                drop(overlap);
            }
            .instrument(span),
        );
    }

    async fn run(&self, route: &Route, event: Event, limit: Instant) {
        self.run_until(route, event, limit, &self.0.shutdown).await;
    }

    /// Runs a handler to its end, to its limit, or to that of the node's part which it belongs to.
    pub(super) async fn run_until(
        &self,
        route: &Route,
        event: Event,
        limit: Instant,
        shutdown: &CancellationToken,
    ) {
        let Ok(running) = catch_unwind(AssertUnwindSafe(|| {
            route.call(event.clone(), event.reply())
        })) else {
            return self.panicked(&event);
        };
        let mut running = AssertUnwindSafe(running).catch_unwind();
        let ended = tokio::select! {
            biased;
            ended = timeout_at(limit, &mut running) => ended.ok(),
            () = shutdown.cancelled() => {
                event.refuse(Refusal::new(ErrorCode::CLOSED, "the node is stopping"));
                return contained_drop(running);
            }
        };
        match ended {
            Some(Ok(None)) => {}
            Some(Ok(Some(refusal))) => {
                self.metrics().refused.increment();
                if !event.is_from_client() {
                    // Nobody else is told.
                    tracing::warn!(event = %event.id, error = %refusal, "handler refused");
                }
            }
            Some(Err(_)) => self.panicked(&event),
            None => {
                self.metrics().timed_out.increment();
                tracing::warn!(event = %event.id, "handler over its limit");
                // Told before the handler is dropped: its Reply would say less.
                event.refuse(late());
                contained_drop(running);
            }
        }
        if route.takes_reply {
            self.watch_deferred(&event, limit);
        }
    }

    fn panicked(&self, event: &Event) {
        self.metrics().panicked.increment();
        tracing::error!(event = %event.id, "handler panicked");
        event.refuse(Refusal::new(
            ErrorCode::HANDLER_FAILED,
            "the handler failed",
        ));
    }

    /// A handler returned and kept its [`Reply`](super::reply::Reply) for later: its caller still
    /// learns at the deadline that it waits in vain.
    fn watch_deferred(&self, event: &Event, limit: Instant) {
        let Some(request) = event.request else { return };
        if !event
            .port
            .with(|inner| inner.session.is_outstanding(request))
        {
            return;
        }
        let place = self.0.place.clone();
        let shutdown = self.0.shutdown.clone();
        // A session that ends meanwhile is not kept for this.
        let port: Weak<Port> = Arc::downgrade(&event.port);
        self.0.tracker.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep_until(limit) => {}
                () = shutdown.cancelled() => return,
            }
            if let Some(port) = port.upgrade() {
                place.reply(&port, request, Err(late()));
            }
        });
    }

    /// Hands what no handler took to services. Returns once the bus accepted it.
    async fn serve(&self, event: Event, limit: Instant) {
        if event.request.is_none() {
            self.metrics().unhandled_events.increment();
            self.0.unhandled.note(&event.id);
        }
        let Some(services) = &self.0.services else {
            if event.request.is_some() {
                self.metrics().no_handler.increment();
                event.refuse(no_handler(&event.id));
            }
            return;
        };
        if event.request.is_none() {
            if let Err(refusal) = services.tell(&event).await {
                event.refuse(refusal);
            }
            return;
        }
        match timeout_at(limit, services.ask(&event)).await {
            Ok(Ok(pending)) => self.await_answer(event, pending, limit).await,
            Ok(Err(refusal)) => event.refuse(refusal),
            Err(_) => event.refuse(late()),
        }
    }

    /// Brings a service's answer to the caller, without holding back the session's next item.
    async fn await_answer(&self, event: Event, pending: PendingReply, limit: Instant) {
        let overlap = Overlap::take(&event.port);
        let in_line = overlap.is_none();
        let this = self.clone();
        let answering = async move {
            let Some(services) = &this.0.services else {
                return;
            };
            let outcome = tokio::select! {
                biased;
                answer = pending.answer(limit.saturating_duration_since(Instant::now())) => {
                    services.outcome(answer, &event)
                }
                () = this.0.shutdown.cancelled() => {
                    Err(Refusal::new(ErrorCode::CLOSED, "the node is stopping"))
                }
            };
            if let Some(request) = event.request {
                this.0.place.reply(&event.port, request, outcome);
            }
            drop(overlap);
        };
        if in_line {
            answering.await;
        } else {
            let span = tracing::Span::current();
            self.0.tracker.spawn(answering.instrument(span));
        }
    }

    fn metrics(&self) -> &HandlerMetrics {
        &self.0.place.hub.metrics().handlers
    }
}

/// Who takes an item.
enum Taker {
    Handler(Arc<Route>),
    Service,
}

/// One of the session's places for work that overlaps; given back on drop.
struct Overlap(Arc<Port>);

impl Overlap {
    fn take(port: &Arc<Port>) -> Option<Overlap> {
        port.concurrent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |running| {
                (running < MAX_OVERLAP).then(|| running + 1)
            })
            .ok()?;
        Some(Overlap(port.clone()))
    }
}

impl Drop for Overlap {
    fn drop(&mut self) {
        self.0.concurrent.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Drops a handler midway; what its values do in their `Drop` is contained like the rest of it.
fn contained_drop(running: futures_util::future::CatchUnwind<AssertUnwindSafe<Running>>) {
    let _ = catch_unwind(AssertUnwindSafe(move || drop(running)));
}

fn late() -> Refusal {
    Refusal::new(ErrorCode::TIMEOUT, "no answer within the deadline")
}

pub(super) fn no_handler(id: &EventId) -> Refusal {
    Refusal::new(ErrorCode::NO_HANDLER, format!("nobody answers {id}"))
}
