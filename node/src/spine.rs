//! Joins a hub to the bus: ingest, interest, kicks, the sweep and the node's own pushes, started and stopped together.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tengen_bus::{Bus, Subscribe, SubscribeError};
use tengen_protocol::subject::Subjects;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::hub::sweep::Beside;
use crate::hub::{Hub, HubConfig, sweep};
use crate::ingest::Ingest;
use crate::interest::{self, Fences, Interest, Routing};
use crate::kick;
use crate::metrics::Metrics;
use crate::moves::Moves;
use crate::peers::Peers;
use crate::push::Pusher;
use crate::reports::Reports;

/// Everything between the sessions of a node and its bus.
pub(crate) struct Spine {
    pub hub: Arc<Hub>,
    pub interest: Arc<Interest>,
    pub pusher: Arc<Pusher>,
    pub fences: Arc<Fences>,
    pub peers: Peers,
    pub moves: Moves,
    pub reports: Arc<Reports>,
}

/// What a [`Spine`] is made from.
pub(crate) struct SpineConfig {
    pub hub: HubConfig,
    pub subjects: Subjects,
    /// What the bus may bring faster than the node takes it; beyond it pushes are shed, by uid,
    /// counted, and told as gaps.
    pub ingest_queue_bytes: usize,
    pub routing: Arc<dyn Routing>,
}

impl Spine {
    /// Subscribes, and spawns the tasks on `tracker`; they end with `stop`. `beside` is called
    /// once a second by the sweep. Returns before the interest is confirmed, and also while the
    /// bus is down: see [`Interest::open`].
    ///
    /// # Errors
    /// [`SubscribeError`]: nothing is left behind.
    pub(crate) async fn start(
        config: SpineConfig,
        bus: Bus,
        metrics: Arc<Metrics>,
        beside: impl Beside,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, SubscribeError> {
        let SpineConfig {
            hub,
            subjects,
            ingest_queue_bytes,
            routing,
        } = config;
        let (node, limits) = (hub.node.clone(), hub.bounds.limits);
        // Before the hub exists nobody can miss anything.
        let bounded = Subscribe::default().max_queue_bytes(ingest_queue_bytes);
        let pushes = bus.subscribe(&routing.pattern(&subjects), bounded).await?;
        let kicks = bus
            .subscribe(&subjects.kick(), Subscribe::default())
            .await?;

        let hub = Hub::new(hub, Arc::clone(&metrics), routing);
        let interest = Interest::new(Arc::clone(&metrics));
        let fences = Arc::new(Fences::new(bus.clone(), &subjects, &node));
        let peers = Peers::new(
            bus.clone(),
            subjects.clone(),
            node.clone(),
            Arc::clone(&metrics),
        );
        let moves = Moves::new(peers.clone(), node.clone(), Arc::clone(&metrics));
        let reports = Reports::start(
            bus.clone(),
            subjects.clone(),
            peers.clone(),
            node,
            Arc::clone(&metrics),
            tracker,
        );
        let pusher = Arc::new(Pusher::start(bus.clone(), &subjects, limits, metrics));
        pusher.listen().await?;
        let ingest = Ingest::new(
            Arc::clone(&hub),
            subjects,
            Arc::clone(&fences),
            Arc::clone(&interest),
            moves.clone(),
            Arc::clone(&reports),
        );

        tracker.spawn(ingest.run(pushes, stop.clone()));
        tracker.spawn(kick::run(
            Arc::clone(&hub),
            Arc::clone(&fences),
            kicks,
            stop.clone(),
        ));
        tracker.spawn(interest::run(
            Arc::clone(&interest),
            bus,
            Arc::clone(&fences),
            Arc::clone(&hub),
            stop.clone(),
        ));
        tracker.spawn(Arc::clone(&moves.forwards).run(stop.clone()));
        if hub.window.is_open() {
            let (hub, stop) = (Arc::clone(&hub), stop.clone());
            tracker.spawn(async move { hub.window.run(stop).await });
        }
        tracker.spawn(Arc::clone(&reports).run(Arc::clone(&hub), stop.clone()));
        tracker.spawn(sweep::run(Arc::clone(&hub), beside, stop.clone()));
        Ok(Self {
            hub,
            interest,
            pusher,
            fences,
            peers,
            moves,
            reports,
        })
    }
}
