//! Tests of hellos that name sessions of other nodes: hubs without sockets on one local bus.

use std::sync::Arc;

use tengen_bus::Bus;
use tengen_protocol::subject::Subjects;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Arrivals, Parts};
use crate::hub::Hub;
use crate::interest::{HOLD, Interest};
use crate::moves::{Moves, Start};
use crate::peers::Peers;

/// The arrivals of a node without neighbours, for tests of other parts.
pub(crate) fn alone(hub: &Arc<Hub>, interest: &Arc<Interest>, start: &Start) -> Arc<Arrivals> {
    let (node, metrics) = (hub.config().node.clone(), Arc::clone(hub.metrics()));
    let peers = Peers::new(
        Bus::local(),
        Subjects::default(),
        node.clone(),
        Arc::clone(&metrics),
    );
    Arrivals::new(Parts {
        hub: Arc::clone(hub),
        interest: Arc::clone(interest),
        moves: Moves::new(peers.clone(), node, metrics),
        peers,
        start: Arc::clone(start),
        open_timeout: HOLD,
        tracker: TaskTracker::new(),
        shutdown: CancellationToken::new(),
    })
}
