//! Who is online, as an application asks it: from this node's own memory, and without waiting.

mod answers;
mod asking;
pub(crate) mod live;
pub(crate) mod query;
pub(crate) mod said;
pub(crate) mod service;
#[cfg(test)]
mod testing;
pub(crate) mod watching;
pub(crate) mod who;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tengen_bus::Bus;
use tengen_protocol::presence::{Kinds, NotReady, Roster};
use tengen_protocol::{NodeId, Transport, Uid};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::asking::UserClients;
use self::live::Live;
use self::service::Service;
use self::watching::{Cursor, Update, Watching};
use crate::hub::Hub;
use crate::peers::{Doors, Peers};

/// The merged view of the cluster that a node keeps.
pub(crate) trait View: Send + Sync {
    /// Calls `f` under the view's lock: it must not take long, or call the view.
    fn look(&self, f: &mut dyn FnMut(&Roster));

    /// Whether this node may speak for the cluster.
    fn is_ready(&self) -> Result<(), NotReady>;

    /// What has changed lately; nothing of what [`look`](View::look) sees is missing there.
    fn watching(&self) -> &Watching;
}

impl dyn View {
    /// What `f` sees.
    pub(crate) fn see<R>(&self, f: impl FnOnce(&Roster) -> R) -> R {
        let (mut f, mut seen) = (Some(f), None);
        self.look(&mut |roster| seen = f.take().map(|f| f(roster)));
        // A view calls it, once: there is nothing else that it could do.
        seen.expect("a view looks when it is asked")
    }
}

/// Everything that asks or answers who is online, on one node.
pub(crate) struct Online {
    pub(crate) node: NodeId,
    pub(crate) view: Arc<dyn View>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) peers: Peers,
    /// Ends with the node.
    pub(crate) stop: CancellationToken,
    pub(crate) live: Live,
    /// Tells the numbers of this start from those of any other.
    pub(crate) start: u64,
    last_ready: AtomicU64,
}

/// How far an answer can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Standing {
    /// The node hears the cluster, and knows everybody's users.
    pub(crate) ready: bool,
    /// When the view was right, in milliseconds since 1970 by the node's clock: now, or when it was
    /// last ready. None = it never was.
    pub(crate) as_of: Option<u64>,
}

/// What [`Online`] is made from.
pub(crate) struct Parts {
    pub(crate) node: NodeId,
    pub(crate) view: Arc<dyn View>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) peers: Peers,
    pub(crate) bus: Bus,
    /// On which services ask.
    pub(crate) subject: String,
}

impl Online {
    /// Lets services and other nodes ask, and begins to tell sessions that follow: on `tracker`,
    /// until `stop`.
    pub(crate) fn start(
        parts: Parts,
        doors: &mut Doors,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Arc<Online> {
        who::open_door(doors, &parts.hub);
        let online = Arc::new(Online {
            node: parts.node,
            view: parts.view,
            hub: parts.hub,
            peers: parts.peers,
            stop: stop.clone(),
            live: Live::default(),
            start: rand::random(),
            last_ready: AtomicU64::new(0),
        });
        let service = Service::new(
            Arc::clone(&online),
            parts.bus,
            parts.subject,
            tracker.clone(),
        );
        tracker.spawn(service.run());
        tracker.spawn(live::run(Arc::clone(&online)));
        online
    }

    /// Whether the view can be trusted at this moment, and else when it last could.
    pub(crate) fn standing(&self) -> Standing {
        let ready = self.view.is_ready().is_ok();
        if ready {
            self.last_ready.store(wall_ms(), Ordering::Relaxed);
        }
        let as_of = self.last_ready.load(Ordering::Relaxed);
        Standing {
            ready,
            as_of: (as_of > 0).then_some(as_of),
        }
    }

    pub(crate) fn watch(&self, cursor: Cursor) -> Watch {
        Watch {
            changed: self.view.watching().changed(),
            view: Arc::clone(&self.view),
            cursor,
            stop: self.stop.clone(),
        }
    }

    /// The sets at one moment, in as many looks as there are thousands of users.
    pub(crate) fn connected_uids(&self) -> ConnectedUids {
        let mut watch = self.watch(Cursor::new());
        let mut online = ConnectedUids::default();
        while !watch.is_loaded()
            && let Some(update) = watch.try_next()
        {
            online.apply(&update);
        }
        online
    }

    /// The nodes that a user is on. One search in order.
    pub(crate) fn places(&self, uid: &Uid) -> Vec<Place> {
        self.view.see(|roster| places(roster, uid))
    }
}

/// The nodes that a user is on, in order.
pub(crate) fn places(roster: &Roster, uid: &Uid) -> Vec<Place> {
    let places = roster.uid(uid).map(|(node, kinds)| Place {
        node: node.clone(),
        kinds,
    });
    let mut places: Vec<Place> = places.collect();
    places.sort_unstable_by(|a, b| a.node.cmp(&b.node));
    places
}

/// A node that a user is on, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which node.
    pub node: NodeId,
    /// By WebSocket, by polling, or by both.
    pub kinds: Kinds,
}

/// Everybody who is online in the cluster, by transport. `any` is always the union of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectedUids {
    /// Users with at least one WebSocket.
    pub ws: BTreeSet<Uid>,
    /// Users with at least one client that polls.
    pub poll: BTreeSet<Uid>,
    /// Users with at least one client.
    pub any: BTreeSet<Uid>,
}

impl ConnectedUids {
    /// Follows what [`Watch::next`] tells, so that the sets stay those of the cluster.
    pub fn apply(&mut self, update: &Update) {
        if update.reload {
            *self = ConnectedUids::default();
        }
        for change in &update.changes {
            self.set(&change.uid, change.now);
        }
    }

    fn set(&mut self, uid: &Uid, kinds: Kinds) {
        let sets = [
            (&mut self.ws, kinds.has(Transport::Ws)),
            (&mut self.poll, kinds.has(Transport::Poll)),
            (&mut self.any, !kinds.is_none()),
        ];
        for (set, member) in sets {
            if !member {
                set.remove(uid);
            } else if !set.contains(uid) {
                set.insert(uid.clone());
            }
        }
    }
}

/// Tells who is online, and then who comes and goes; see
/// [`Handle::watch`](crate::Handle::watch). Dropping it ends it.
///
/// ```no_run
/// # async fn example(handle: tengen_node::Handle) {
/// let mut watch = handle.watch();
/// let mut online = tengen_node::ConnectedUids::default();
/// while let Some(update) = watch.next().await {
///     online.apply(&update);
///     println!("{} online", online.any.len());
/// }
/// # }
/// ```
pub struct Watch {
    view: Arc<dyn View>,
    cursor: Cursor,
    changed: tokio::sync::watch::Receiver<u64>,
    stop: CancellationToken,
}

impl Watch {
    /// The next update: at first everybody who is online, some 1,000 at a time, then every change,
    /// many at a time if there are. Nothing is told that changes nothing. `None` = the node has
    /// ended.
    ///
    /// A watcher that is slow costs nothing: it has no queue. While there is one, the node keeps
    /// the last 32,768 changes for all watchers together; one that is further behind is told to
    /// [reload](Update::reload).
    ///
    /// # Cancel safety
    /// Cancel safe: what was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Update> {
        loop {
            self.changed.mark_unchanged();
            if let Some(update) = self.try_next() {
                return Some(update);
            }
            let changed = self.stop.run_until_cancelled(self.changed.changed());
            changed.await?.ok()?;
        }
    }

    /// What there is to tell at this moment; `None` = nothing new.
    pub fn try_next(&mut self) -> Option<Update> {
        let watching = self.view.watching();
        let cursor = &mut self.cursor;
        self.view.see(|roster| cursor.step(watching, roster))
    }

    /// Everybody who was online when it began has been told.
    pub fn is_loaded(&self) -> bool {
        self.cursor.is_loaded()
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}
