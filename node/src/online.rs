//! Who is online, as an application asks it: from this node's own memory, and without waiting.

pub(crate) mod answers;
pub(crate) mod live;
pub(crate) mod query;
pub(crate) mod who;

use std::collections::BTreeSet;
use std::sync::Arc;

use tengen_protocol::presence::Kinds;
use tengen_protocol::{Transport, Uid};

use tokio_util::sync::CancellationToken;

use crate::presence::Presence;
use crate::presence::watch::{Cursor, Update};

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

/// A view of who is online that tells its changes. Dropping it ends it.
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
    presence: Arc<Presence>,
    cursor: Cursor,
    changed: tokio::sync::watch::Receiver<u64>,
    stop: CancellationToken,
}

impl Watch {
    pub(crate) fn new(
        presence: &Arc<Presence>,
        cursor: Cursor,
        stop: &CancellationToken,
    ) -> Watch {
        Watch {
            changed: presence.watching().changed(),
            stop: stop.clone(),
            presence: Arc::clone(presence),
            cursor,
        }
    }

    /// The next update: at first everybody who is online, some 1,000 at a time, then every change,
    /// many at a time if there are. Nothing is told that changes nothing.
    ///
    /// A watcher that is slow costs nothing: it holds no queue, and of what it has not read the
    /// node keeps the last 32,768 changes for all watchers together. One that is further behind is
    /// told to [reload](Update::reload). `None` = the node has ended.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Update> {
        loop {
            self.changed.mark_unchanged();
            if let Some(update) = self.try_next() {
                return Some(update);
            }
            self.stop
                .run_until_cancelled(self.changed.changed())
                .await?
                .ok()?;
        }
    }

    /// What there is to tell at this moment; `None` = nothing new.
    pub fn try_next(&mut self) -> Option<Update> {
        let watching = self.presence.watching();
        self.presence
            .with(|roster| self.cursor.step(watching, roster))
    }

    /// Everybody who was online when it began has been told.
    pub fn is_loaded(&self) -> bool {
        self.cursor.is_loaded()
    }
}

