//! Who is online as server-sent events: everybody first, then every change, resumable where this node still keeps what followed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use serde::Serialize;
use tengen_protocol::presence::Diff;
use tengen_protocol::{ErrorCode, Refusal};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Admin;
use super::refusal::refused;
use crate::online::said::{Said, There};
use crate::online::watching::{Cursor, Update};
use crate::online::{Online, Standing, Watch};

/// Watchers at once; a further one is refused with `rate`.
pub(super) const MAX_STREAMS: usize = 256;
/// Users or changes in one event: with the longest uids 600 KiB.
const PER_EVENT: usize = 1_000;
/// A comment goes out when nothing else has for so long: below every proxy's patience.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often a watcher's node looks whether it is still ready.
const LOOK: Duration = Duration::from_secs(1);

/// A part of the snapshot.
#[derive(Serialize)]
struct Snapshot<'a> {
    /// Forget what you had.
    reset: bool,
    /// The next event goes on with it.
    more: bool,
    uids: &'a [There],
}

/// What has changed: how each of these is there now.
#[derive(Serialize)]
struct Changes<'a> {
    n: u64,
    uids: &'a [There],
}

/// `GET /v1/connected-uids/watch`.
pub(super) async fn watch(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let Ok(room) = Arc::clone(&admin.streams).try_acquire_owned() else {
        return refused(&Refusal::new(ErrorCode::RATE, "too many watchers"));
    };
    let online = Arc::clone(&admin.shared.handle.online);
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let streaming = Streaming::new(online, last, room);
    let events = Sse::new(streaming.events()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    ([(header::CACHE_CONTROL, "no-store")], events).into_response()
}

/// One watcher. It holds one update at a time, cut into events as they are read.
struct Streaming {
    online: Arc<Online>,
    watch: Watch,
    looks: Interval,
    /// As it was told last; None = this watcher came back, and knows nothing of now.
    told: Option<Standing>,
    update: Update,
    /// Of `update`, what has not been told yet.
    untold: VecDeque<Diff>,
    /// `update` belongs to the snapshot.
    loading: bool,
    /// The first update is still to come, and is everybody.
    begins: bool,
    /// Nothing of `update` has been told yet.
    fresh: bool,
    _room: OwnedSemaphorePermit,
}

impl Streaming {
    fn new(online: Arc<Online>, last: Option<&str>, room: OwnedSemaphorePermit) -> Streaming {
        let seen = last.and_then(|id| number_of(&online, id));
        let resumed = seen.and_then(|n| Cursor::after(online.view.watching(), n));
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        online.hub.metrics().online.streams.raise();
        Streaming {
            loading: resumed.is_none(),
            begins: resumed.is_none(),
            told: resumed.is_none().then(|| online.standing()),
            watch: online.watch(resumed.unwrap_or_else(Cursor::new)),
            looks,
            update: Update::default(),
            untold: VecDeque::new(),
            fresh: false,
            online,
            _room: room,
        }
    }

    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut this| async move {
            let event = this.next().await?;
            Some((Ok(event), this))
        })
    }

    /// `None` = the node ends.
    async fn next(&mut self) -> Option<Event> {
        if self.told.is_none() {
            return Some(self.standing());
        }
        while self.untold.is_empty() && !self.fresh {
            tokio::select! {
                update = self.watch.next() => self.take(update?),
                _ = self.looks.tick() => {
                    let ready = self.online.standing().ready;
                    if self.told.is_none_or(|told| told.ready != ready) {
                        return Some(self.standing());
                    }
                }
            }
        }
        Some(self.part())
    }

    fn standing(&mut self) -> Event {
        let says = self.online.says(());
        self.told = Some(says.standing);
        self.event("standing", &says)
    }

    fn take(&mut self, mut update: Update) {
        // Of one that has followed before. The first update is a reload, too.
        if update.reload && !std::mem::take(&mut self.begins) {
            self.online.hub.metrics().online.streams_behind.increment();
        }
        self.loading |= update.reload;
        self.untold = std::mem::take(&mut update.changes).into();
        self.update = update;
        self.fresh = true;
    }

    /// The next events' worth of the update.
    fn part(&mut self) -> Event {
        let reset = std::mem::take(&mut self.fresh) && self.update.reload;
        let count = self.untold.len().min(PER_EVENT);
        let users: Vec<There> = self
            .untold
            .drain(..count)
            .map(|diff| There::new(&diff.uid, diff.now))
            .collect();
        let whole = self.untold.is_empty() && !self.update.loading;
        let n = self.update.n;
        let event = if self.loading {
            let snapshot = Snapshot {
                reset,
                more: !whole,
                uids: &users,
            };
            self.event("snapshot", &self.online.says(snapshot))
        } else {
            self.event("changes", &self.online.says(Changes { n, uids: &users }))
        };
        if whole {
            self.loading = false;
            event.id(format!("{}.{:x}.{n}", self.online.node, self.online.start))
        } else if reset {
            // What follows is not to be taken for a continuation of what was before.
            event.id("")
        } else {
            event
        }
    }

    fn event<T: Serialize>(&self, name: &str, data: &Said<T>) -> Event {
        let event = Event::default().event(name);
        // Texts, numbers and truth values: nothing that JSON could not say.
        let text = serde_json::to_string(data).unwrap_or_default();
        event.data(text)
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.online.hub.metrics().online.streams.lower();
    }
}

/// How many changes the watcher that names this event has seen; `None` of another node, another
/// start, or what never was an event.
fn number_of(online: &Online, id: &str) -> Option<u64> {
    let (rest, n) = id.rsplit_once('.')?;
    let (node, start) = rest.rsplit_once('.')?;
    let ours = node == online.node.as_str() && start == format!("{:x}", online.start);
    n.parse().ok().filter(|_| ours)
}
