//! What this node wants to hear from the bus, and whether it is proven that it does.

mod fence;
mod servers;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tengen_bus::{Bus, Health};
use tengen_protocol::subject::Subjects;
use tengen_protocol::{ErrorCode, Refusal, Uid};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::fence::{FenceLost, Fences};
pub(crate) use self::servers::Neighbour;
use self::servers::{ANSWER_WITHIN_MS, Servers, Step};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::peers::Doors;

/// How long a hello waits for the node to open before it is refused (503, 4003).
pub(crate) const HOLD: Duration = Duration::from_secs(3);
/// How long one round trip may take before it is tried again.
const ROUND_TRIP: Duration = Duration::from_millis(500);
/// The pause between two tries.
const RETRY: Duration = Duration::from_millis(100);
/// How often it is looked whether the beats tell something new, while a confirmation lasts.
const LOOK: Duration = Duration::from_millis(50);
/// The door that sends a fence back.
const PING: &str = "ping";
/// Pings answered at once: more than there are nodes.
const MAX_PINGS: usize = 256;
/// A nonce and what a later version may add.
const MAX_PING_BYTES: usize = 64;

/// How pushes find the nodes that hold a user: the seam for other ways of routing.
///
/// Besides [`EveryNode`], good to about 8–16 nodes, there is room for a subscription per user
/// (`want` makes it, the lease ends it; about 5 KB each) and for a directory owned by rendezvous.
pub(crate) trait Routing: Send + Sync {
    /// The one subscription through which all pushes for this node come.
    fn pattern(&self, subjects: &Subjects) -> String;

    /// A user has a first session here; the lease is dropped with the last one.
    fn want(&self, uid: &Uid) -> Option<Want>;
}

/// A node's interest in one user; dropping it ends the interest.
pub(crate) type Want = Box<dyn Send + Sync>;

/// Every node looks at every push and drops strangers in one hash lookup (about 1 µs): free per
/// user, and right even while presence is stale.
pub(crate) struct EveryNode;

impl Routing for EveryNode {
    fn pattern(&self, subjects: &Subjects) -> String {
        subjects.send_to_wildcard()
    }

    fn want(&self, _uid: &Uid) -> Option<Want> {
        None
    }
}

/// Whether the node is open: it hears what is pushed, and is not draining.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// What was pushed after this became true reaches this node.
    pub confirmed: bool,
    pub draining: bool,
    /// Raised at each loss, so that a confirmation begun before it does not count.
    losses: u64,
}

impl Status {
    /// Whether hellos are taken and `/readyz` says yes.
    pub(crate) fn is_open(self) -> bool {
        self.confirmed && !self.draining
    }

    /// Why the node is not open, for people.
    pub(crate) fn why_closed(self) -> Option<&'static str> {
        match self {
            Status { draining: true, .. } => Some("draining"),
            Status {
                confirmed: false, ..
            } => Some("interest is not confirmed: the bus is down or silent"),
            _ => None,
        }
    }
}

/// Which nodes there are, and to which servers of the bus they are connected: what presence knows.
pub(crate) trait Neighbours: Send + Sync {
    /// All nodes, this one included.
    fn nodes(&self) -> Vec<Neighbour>;
}

/// The node's interest: lost at each interruption, confirmed again by a round trip.
pub(crate) struct Interest {
    status: watch::Sender<Status>,
    /// Empty until presence has begun.
    neighbours: OnceLock<Arc<dyn Neighbours>>,
    metrics: Arc<Metrics>,
}

impl Interest {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            status: watch::Sender::new(Status::default()),
            neighbours: OnceLock::new(),
            metrics,
        })
    }

    /// From now on the nodes are known. Of several calls the first counts.
    pub(crate) fn know(&self, neighbours: Arc<dyn Neighbours>) {
        let first = self.neighbours.set(neighbours).is_ok();
        debug_assert!(first, "the nodes are known already");
    }

    pub(crate) fn status(&self) -> Status {
        *self.status.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// From now on the node is not open; it goes on serving who is here.
    pub(crate) fn drain(&self) {
        self.status.send_modify(|status| status.draining = true);
    }

    /// Something may have passed unheard.
    pub(crate) fn lost(&self) {
        self.metrics.interest.confirmed.set(0);
        self.status.send_modify(|status| {
            status.confirmed = false;
            status.losses += 1;
        });
    }

    pub(crate) fn confirm(&self, losses: u64) -> bool {
        let confirmed = self.status.send_if_modified(|status| {
            let counts = status.losses == losses && !status.confirmed;
            status.confirmed |= counts;
            counts
        });
        if confirmed {
            self.metrics.interest.confirmed.set(1);
            self.metrics.interest.confirmations.increment();
        }
        confirmed
    }
}

/// Sends back what other nodes ask for, to where they want it: through this node's server.
pub(crate) fn open_door(doors: &mut Doors) {
    doors.on_question(PING, MAX_PINGS, |message| {
        let nonce = message.body.clone();
        if nonce.len() > MAX_PING_BYTES {
            return Err(Refusal::new(ErrorCode::TOO_LARGE, "a ping is a nonce"));
        }
        Ok(Box::pin(async { Some(nonce) }))
    });
}

/// Keeps the interest confirmed until `stop`: after the start and after each loss a fence goes
/// through the bus and comes back through the push subscription itself; and in a cluster of servers
/// one more through each of the others, because those hear of a subscription a moment later. The
/// clock is that of `hub`.
///
/// # Cancel safety
/// May be dropped at any await.
pub(crate) async fn run(
    interest: Arc<Interest>,
    bus: Bus,
    fences: Arc<Fences>,
    hub: Arc<Hub>,
    stop: CancellationToken,
) {
    let mut health = bus.health();
    let mut status = interest.watch();
    loop {
        let step = async {
            let seen = *status.borrow_and_update();
            let up = match &*health.borrow_and_update() {
                Health::Up {
                    server, clustered, ..
                } => Some((Arc::clone(server), *clustered)),
                Health::Down { .. } => None,
            };
            let changed = async {
                tokio::select! {
                    changed = health.changed() => if changed.is_err() { std::future::pending().await },
                    changed = status.changed() => if changed.is_err() { std::future::pending().await },
                }
            };
            let Some((server, clustered)) = up else {
                if seen.confirmed {
                    return interest.lost();
                }
                return changed.await;
            };
            if seen.confirmed {
                return changed.await;
            }
            let proving = async {
                fences.round_trip(ROUND_TRIP).await?;
                if clustered {
                    prove_others(&interest, &fences, server, &hub).await;
                }
                Ok(())
            };
            tokio::select! {
                biased;
                () = changed => {}
                proven = proving => match proven {
                    Ok(()) => {
                        if interest.confirm(seen.losses) {
                            tracing::info!("interest confirmed");
                        }
                    }
                    Err(FenceLost) => {
                        interest.metrics.interest.retries.increment();
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        };
        if stop.run_until_cancelled(step).await.is_none() {
            return;
        }
    }
}

/// Returns when every other server of the bus, as far as beats tell of it, has let a fence through.
///
/// # Cancel safety
/// May be dropped at any await.
async fn prove_others(interest: &Interest, fences: &Fences, server: Arc<str>, hub: &Hub) {
    let limit = Duration::from_millis(ANSWER_WITHIN_MS);
    let mut servers = Servers::new(server, hub.now());
    let mut asked = FuturesUnordered::new();
    loop {
        let nodes = interest.neighbours.get().map(|known| known.nodes());
        match servers.look(&nodes.unwrap_or_default(), hub.now()) {
            Step::Confirmed => return,
            Step::Wait => {}
            Step::Ask(whom) => {
                interest.metrics.interest.pings.add(whom.len() as u64);
                asked.extend(whom.into_iter().map(|(server, node)| async move {
                    (server, fences.round_trip_by(&node, limit).await)
                }));
            }
        }
        tokio::select! {
            Some((server, Ok(()))) = asked.next() => servers.answered(&server),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
