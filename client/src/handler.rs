//! Handlers: calling them safely, giving slow ones a task of their own, ending them by drop.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::FutureExt as _;
use tengen_protocol::{
    Data, EventId,
    client::{RouteId, Source},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{event::Event, shared::Shared};

/// Events that wait for an asynchronous handler.
const LINE: usize = 1024;

/// A handler as the router keeps it.
#[derive(Clone)]
pub(crate) struct Handler {
    call: Arc<dyn Fn(Event) + Send + Sync>,
    /// Cancelled when its registration ends: what was chosen for it but not called yet is not
    /// called any more, and its task ends.
    ended: CancellationToken,
}

impl Handler {
    pub(crate) fn new(handler: impl Fn(Event) + Send + Sync + 'static) -> Handler {
        Handler {
            call: Arc::new(handler),
            ended: CancellationToken::new(),
        }
    }

    /// A handler with a line and a task of its own.
    pub(crate) fn spawn<F>(
        handler: impl Fn(Event) -> F + Send + Sync + 'static,
        shared: &Shared,
    ) -> Handler
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (line, mut waiting) = mpsc::channel::<Event>(LINE);
        let ended = shared.closing.child_token();
        let end = ended.clone();
        shared.tasks.spawn(async move {
            let work = async {
                while let Some(event) = waiting.recv().await {
                    let id = event.id().clone();
                    // The call itself may panic before there is a future to await.
                    let handled = AssertUnwindSafe(async { handler(event).await });
                    if handled.catch_unwind().await.is_err() {
                        tracing::error!(event = %id, "client handler panicked");
                    }
                }
            };
            end.run_until_cancelled(work).await;
        });
        // Set while events are being dropped: one gap tells of all of them.
        let overflowing = AtomicBool::new(false);
        let call = move |event: Event| {
            if overflowing.load(Ordering::Relaxed) {
                match line.try_reserve() {
                    Ok(permit) => permit.send(gap(&event)),
                    Err(_) => return,
                }
                overflowing.store(false, Ordering::Relaxed);
            }
            if let Err(mpsc::error::TrySendError::Full(event)) = line.try_send(event) {
                tracing::warn!(event = %event.id(), "client handler too slow, events dropped");
                overflowing.store(true, Ordering::Relaxed);
            }
        };
        Handler {
            call: Arc::new(call),
            ended,
        }
    }

    /// Calls the handler, unless its registration has ended. A panic ends here.
    pub(crate) fn call(&self, event: Event) {
        if self.ended.is_cancelled() {
            return;
        }
        let id = event.id().clone();
        if catch_unwind(AssertUnwindSafe(|| (self.call)(event))).is_err() {
            tracing::error!(event = %id, "client handler panicked");
        }
    }

    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

/// Stands in a handler's line where events are missing.
fn gap(event: &Event) -> Event {
    let codec = event.data().codec();
    let reason = [("reason", "handler-too-slow")];
    let data = Data::from(codec, &std::collections::BTreeMap::from(reason));
    Event {
        // Both are constants that always parse and encode; the event itself is the last resort.
        id: EventId::parse(EventId::GAP).unwrap_or_else(|_| event.id().clone()),
        data: data.unwrap_or_else(|_| Data::null(codec)),
        source: Source::Library,
        client: event.client().clone(),
        state: event.state.clone(),
    }
}

/// A handler that is attached. Dropping it ends the handler: no call begins afterwards.
#[must_use = "dropping the registration ends the handler"]
pub struct Registration {
    shared: Weak<Shared>,
    route: RouteId,
    ended: CancellationToken,
}

impl Registration {
    pub(crate) fn new(
        shared: Weak<Shared>,
        route: RouteId,
        ended: CancellationToken,
    ) -> Registration {
        Registration {
            shared,
            route,
            ended,
        }
    }

    /// Keeps the handler attached for as long as the client lives.
    pub fn keep(mut self) {
        self.shared = Weak::new();
        // The clone that the router holds goes on; this token must not be cancelled by drop.
        self.ended = CancellationToken::new();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.ended.cancel();
        if let Some(shared) = self.shared.upgrade() {
            shared.detach(self.route);
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}
