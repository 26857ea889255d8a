//! The one value of presence behind its one lock, and those who watch it: who looks sees a view and all that was told of it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tengen_protocol::presence::{Member, NotReady, Options, Roster};

use crate::hub::Hub;
use crate::online::View;
use crate::online::watching::Watching;

/// A node's presence as it is kept. It knows nobody who drives or asks it, so whoever asks may be
/// held by what drives it.
///
/// The lock is a leaf: nothing of the node is called and nothing awaited under it.
pub(crate) struct Kept {
    member: Mutex<Member>,
    watching: Watching,
}

impl Kept {
    /// Of a node that begins. `key_fingerprint` tells nodes whose cookies each other cannot read,
    /// 0 = no key was set; `handlers` = the application wants to know of users that come and go.
    pub(crate) fn new(hub: &Hub, key_fingerprint: u64, handlers: bool) -> Arc<Kept> {
        let mut options = Options::new(hub.config().node.clone());
        options.key_fingerprint = key_fingerprint;
        options.handlers = handlers;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let wall_ms = wall.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
        Arc::new(Kept {
            member: Mutex::new(Member::new(options, wall_ms, rand::random(), hub.now())),
            watching: Watching::default(),
        })
    }

    /// Reads the view. Quick: connections and messages wait meanwhile.
    pub(super) fn with<R>(&self, f: impl FnOnce(&Roster) -> R) -> R {
        f(self.member.lock().roster())
    }

    /// Changes the view, and tells those who watch before anybody else can look.
    pub(super) fn change<R>(&self, f: impl FnOnce(&mut Member) -> R) -> R {
        let mut member = self.member.lock();
        let result = f(&mut member);
        self.watching.tell(&member.take_diffs());
        result
    }

    /// Whether this node may speak for the cluster.
    ///
    /// # Errors
    /// [`NotReady`] says why not.
    pub(super) fn ready(&self) -> Result<(), NotReady> {
        self.member.lock().ready()
    }
}

impl View for Kept {
    fn look(&self, f: &mut dyn FnMut(&Roster)) {
        self.with(f);
    }

    fn is_ready(&self) -> Result<(), NotReady> {
        self.ready()
    }

    fn watching(&self) -> &Watching {
        &self.watching
    }
}
