//! What the parts of a running node share, and whether it is fit to serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tengen_bus::Bus;
use tengen_protocol::NodeId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::handle::Handle;
use crate::hub::Hub;
use crate::interest::Interest;
use crate::presence::Presence;

/// No sweep for so long means that the runtime is stuck; a restart may cure it.
const STALLED: Duration = Duration::from_secs(30);
/// How long the round trip of a readiness probe may take: below a probe's usual timeout of 1 s.
const PROBE: Duration = Duration::from_millis(800);
/// The bus's own limit must leave room for subjects and headers.
const PAYLOAD_ROOM: usize = 64 << 10;

pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) hub: Arc<Hub>,
    pub(crate) handle: Handle,
    pub(crate) bus: Bus,
    pub(crate) interest: Arc<Interest>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) max_bytes: usize,
    /// What serves clients: accept loop, connections, handlers.
    pub(crate) tasks: TaskTracker,
    /// What serves the closing, and so outlives it: ingest, sweep, the admin port.
    pub(crate) background: TaskTracker,
    /// Ends `tasks`.
    pub(crate) closing: CancellationToken,
    /// Ends `background`.
    pub(crate) stop: CancellationToken,
    /// When the sweep last came round, in the hub's milliseconds.
    pub(crate) swept: Arc<AtomicU64>,
}

impl Shared {
    /// How long the node's own clock work has stood still, if that is too long.
    pub(crate) fn stalled_for(&self) -> Option<Duration> {
        let last = self.swept.load(Ordering::Relaxed);
        let stalled = Duration::from_millis(self.hub.now().0.saturating_sub(last));
        (stalled > STALLED).then_some(stalled)
    }

    /// Whether a balancer should send clients here: open, and a message to oneself comes back
    /// through the bus.
    ///
    /// # Errors
    /// Why not, for people.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        if let Some(why) = self.interest.status().why_closed() {
            return Err(why.to_owned());
        }
        if let Some(why) = self.payload_conflict() {
            return Err(why);
        }
        if let Some(why) = *self.presence.failure().borrow() {
            return Err(why.to_owned());
        }
        if let Some(node) = self.presence.elder_of_other_key() {
            return Err(format!(
                "node {node}, which was here before, has another cookie_key"
            ));
        }
        let trip = self.bus.ping(PROBE).await;
        trip.map(|_| ())
            .map_err(|error| format!("a message to oneself through the bus: {error}"))
    }

    /// `max_bytes` promises what the bus cannot carry.
    pub(crate) fn payload_conflict(&self) -> Option<String> {
        let carries = self.bus.max_payload().saturating_sub(PAYLOAD_ROOM);
        (self.max_bytes > carries).then(|| {
            format!("max_bytes is {}, but the bus carries at most {carries} (its max_payload less 64 KiB)", self.max_bytes)
        })
    }
}
