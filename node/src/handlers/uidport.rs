//! Runs the application's handlers for users that come and go: on the node that tells, in order per user.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tengen_protocol::{ClientId, Codec, Data, EventId, SessionId, Uid, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connected::Connected;
use super::dispatch::Dispatcher;
use super::event::{Event, Place};
use super::registry::{Registry, Route};
use crate::hub::port::Session;

/// Handlers that run at once: one slow user does not hold up the others.
const MAX_RUNNING: usize = 64;

/// Comings and goings that wait for their handlers, about 15 MiB. Beyond it the newest are dropped
/// and counted: handlers so slow that as much piles up would never catch up.
const MAX_WAITING: usize = 1 << 16;

/// Runs the handlers of `chsk/uidport-open` and `chsk/uidport-close`. Cheap to clone.
///
/// Never waits for a handler: telling goes on.
#[derive(Clone)]
pub(crate) struct Uidports(Arc<Inner>);

struct Inner {
    routes: Routes,
    dispatcher: Dispatcher,
    place: Arc<Place>,
    handler_timeout: Duration,
    work: Mutex<Work>,
    /// The last that waited has run.
    idle: Notify,
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// The two handlers, where there are any.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    open: Option<Arc<Route>>,
    close: Option<Arc<Route>>,
}

#[derive(Default)]
struct Work {
    /// What waits for each user, the running one in front.
    users: HashMap<Uid, VecDeque<Change>>,
    /// Users whose first change may run.
    ready: VecDeque<Uid>,
    waiting: usize,
    running: usize,
    /// What was told and not finished, in order; the number of the first.
    told: VecDeque<Told>,
    first: u64,
}

struct Change {
    opens: bool,
    /// Which of what was told it belongs to.
    told: u64,
}

/// Users that were told together, and what to do when all their handlers have run.
struct Told {
    left: usize,
    done: Box<dyn FnOnce() + Send>,
}

impl Routes {
    pub(crate) fn of(registry: &Registry) -> Routes {
        Routes {
            open: registry.exact(EventId::UIDPORT_OPEN),
            close: registry.exact(EventId::UIDPORT_CLOSE),
        }
    }

    /// Whether the application has neither.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_none() && self.close.is_none()
    }
}

impl Uidports {
    /// `tracker` owns every task begun here, `stop` ends them.
    pub(crate) fn new(
        routes: Routes,
        dispatcher: Dispatcher,
        handler_timeout: Duration,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> Uidports {
        Uidports(Arc::new(Inner {
            routes,
            place: Arc::clone(dispatcher.place()),
            dispatcher,
            handler_timeout,
            work: Mutex::default(),
            idle: Notify::new(),
            tracker,
            stop,
        }))
    }

    /// These users came, those went. `done` is called when their handlers have run, and those of
    /// everything told before.
    pub(crate) fn told(
        &self,
        opens: Vec<Uid>,
        closes: Vec<Uid>,
        done: impl FnOnce() + Send + 'static,
    ) {
        let opens = opens.into_iter().map(|uid| (uid, true));
        let closes = closes.into_iter().map(|uid| (uid, false));
        let shed = {
            let mut work = self.0.work.lock();
            let told = work.first + work.told.len() as u64;
            let (mut left, mut shed) = (0, 0_u64);
            for (uid, opens) in opens.chain(closes) {
                if self.route(opens).is_none() {
                    continue;
                }
                if work.waiting >= MAX_WAITING {
                    shed += 1;
                    continue;
                }
                left += 1;
                work.add(uid, Change { opens, told });
            }
            let done = Box::new(done);
            work.told.push_back(Told { left, done });
            shed
        };
        if shed > 0 {
            self.0.place.hub.metrics().handlers.uidports_shed.add(shed);
            tracing::error!(
                users = shed,
                "handlers of users that come and go are too slow"
            );
        }
        self.settle();
        self.pump();
    }

    /// Waits until the handlers of all that was told have run, at most for `limit`.
    ///
    /// # Cancel safety
    /// May be dropped.
    pub(crate) async fn finish(&self, limit: Duration) {
        let idle = async {
            loop {
                let notified = self.0.idle.notified();
                if self.0.work.lock().waiting == 0 {
                    return;
                }
                notified.await;
            }
        };
        // Late: the node that tells next runs the rest.
        let _ = timeout(limit, idle).await;
    }

    fn route(&self, opens: bool) -> Option<&Arc<Route>> {
        let routes = &self.0.routes;
        if opens { &routes.open } else { &routes.close }.as_ref()
    }

    /// Starts as many as may run.
    fn pump(&self) {
        loop {
            let next = self.0.work.lock().next();
            let Some((uid, opens)) = next else { return };
            let this = self.clone();
            self.0.tracker.spawn(async move {
                let stop = this.0.stop.clone();
                if stop
                    .run_until_cancelled(this.run(&uid, opens))
                    .await
                    .is_some()
                {
                    this.0.work.lock().returned(&uid);
                    this.settle();
                    this.pump();
                }
            });
        }
    }

    async fn run(&self, uid: &Uid, opens: bool) {
        let (Some(route), Some(event)) = (self.route(opens), self.event(uid, opens)) else {
            return;
        };
        let limit = Instant::now() + self.0.handler_timeout;
        let dispatcher = &self.0.dispatcher;
        dispatcher
            .run_until(route, event, limit, &self.0.stop)
            .await;
    }

    /// An event that no client sent: its session is nobody's, and in no list.
    fn event(&self, uid: &Uid, opens: bool) -> Option<Event> {
        let id = if opens {
            EventId::UIDPORT_OPEN
        } else {
            EventId::UIDPORT_CLOSE
        };
        let text = Value::from(uid.as_str());
        let session = SessionId::new(&self.0.place.hub.config().node, rand::random());
        let client = ClientId::new(rand::random());
        let session = Session::new(session, client, Some(uid.clone()), Codec::Json);
        Some(Event {
            id: EventId::parse(id).ok()?,
            data: Data::from_value(Codec::Json, &text).ok()?,
            position: 0,
            request: None,
            port: self.0.place.hub.unregistered(session),
            connected: Arc::new(Connected::none()),
            place: Arc::clone(&self.0.place),
        })
    }

    /// Says of what is finished that it is, in order and without the lock.
    fn settle(&self) {
        let (done, idle) = self.0.work.lock().finished();
        done.into_iter().for_each(|told| (told.done)());
        if idle {
            self.0.idle.notify_waiters();
        }
    }
}

impl Work {
    fn add(&mut self, uid: Uid, change: Change) {
        self.waiting += 1;
        match self.users.entry(uid) {
            Entry::Occupied(mut waits) => waits.get_mut().push_back(change),
            Entry::Vacant(none) => {
                self.ready.push_back(none.key().clone());
                none.insert(VecDeque::from([change]));
            }
        }
    }

    /// The next user whose handler may run. It stays in front of their line while it does.
    fn next(&mut self) -> Option<(Uid, bool)> {
        if self.running >= MAX_RUNNING {
            return None;
        }
        let uid = self.ready.pop_front()?;
        let opens = self.users.get(&uid)?.front()?.opens;
        self.running += 1;
        Some((uid, opens))
    }

    fn returned(&mut self, uid: &Uid) {
        self.running -= 1;
        let Some(line) = self.users.get_mut(uid) else {
            return;
        };
        if let Some(change) = line.pop_front() {
            self.waiting -= 1;
            let at = usize::try_from(change.told - self.first);
            if let Some(told) = at.ok().and_then(|at| self.told.get_mut(at)) {
                told.left -= 1;
            }
        }
        if line.is_empty() {
            self.users.remove(uid);
        } else {
            self.ready.push_back(uid.clone());
        }
    }

    /// What is finished from the front on, and whether nothing waits any more.
    fn finished(&mut self) -> (Vec<Told>, bool) {
        let mut done = Vec::new();
        while let Some(told) = self.told.pop_front_if(|told| told.left == 0) {
            self.first += 1;
            done.push(told);
        }
        (done, self.waiting == 0)
    }
}
