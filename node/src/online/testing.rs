//! A view of nobody, for tests of what needs a handle and not presence.

use std::sync::Arc;

use parking_lot::Mutex;
use tengen_bus::Bus;
use tengen_protocol::Millis;
use tengen_protocol::presence::{NotReady, Options, Roster};
use tengen_protocol::subject::Subjects;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::watching::Watching;
use super::{Online, Parts, View};
use crate::hub::Hub;
use crate::peers::{Doors, Peers};

struct Nobody {
    roster: Mutex<Roster>,
    watching: Watching,
}

impl View for Nobody {
    fn look(&self, f: &mut dyn FnMut(&Roster)) {
        f(&self.roster.lock());
    }

    fn is_ready(&self) -> Result<(), NotReady> {
        Err(NotReady::Young)
    }

    fn watching(&self) -> &Watching {
        &self.watching
    }
}

impl Online {
    /// Nobody is online, and it is not sure of that.
    pub(crate) fn of_nobody(hub: &Arc<Hub>, bus: &Bus) -> Arc<Online> {
        let node = hub.config().node.clone();
        let options = Options::new(node.clone());
        let view = Nobody {
            roster: Mutex::new(Roster::new(node.clone(), &options, 1, Millis(0))),
            watching: Watching::default(),
        };
        let subjects = Subjects::default();
        let metrics = Arc::clone(hub.metrics());
        let parts = Parts {
            view: Arc::new(view),
            hub: Arc::clone(hub),
            peers: Peers::new(bus.clone(), subjects.clone(), node.clone(), metrics),
            bus: bus.clone(),
            subject: subjects.connected_uids(),
            node,
        };
        let ended = CancellationToken::new();
        ended.cancel();
        Online::start(parts, &mut Doors::default(), &TaskTracker::new(), &ended)
    }
}
