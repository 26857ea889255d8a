//! What the composition root joins besides: the doors of takeover, the sweep's company, the hub's settings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tengen_bus::Bus;
use tengen_protocol::{Limits, Millis, NodeId};

use crate::config::Config;
use crate::debts::Findings;
use crate::edge::waiting::Waiting;
use crate::forward::inbound::Inbound;
use crate::holder::Holder;
use crate::hub::{Hub, HubConfig, sweep};
use crate::interest::Fences;
use crate::metrics::Metrics;
use crate::moves::{Moves, Start};
use crate::peers::Doors;

/// What other nodes may ask and tell this one of sessions on their way.
pub(super) fn open_doors(
    doors: &mut Doors,
    hub: &Arc<Hub>,
    moves: &Moves,
    fences: Arc<Fences>,
    start: &Start,
) {
    let holder = Holder {
        hub: Arc::clone(hub),
        fences,
        moves: moves.clone(),
    };
    holder.open(doors);
    let inbound = Inbound {
        hub: Arc::clone(hub),
        moves: moves.clone(),
        start: Arc::clone(start),
    };
    inbound.open(doors);
}

/// What is done along with the sweep.
pub(super) struct Beside {
    pub(super) waiting: Arc<Waiting>,
    pub(super) swept: Arc<AtomicU64>,
    pub(super) findings: Findings,
    pub(super) bus: Bus,
    pub(super) metrics: Arc<Metrics>,
}

impl sweep::Beside for Beside {
    fn second(&self, now: Millis) {
        self.waiting.sweep(now);
        self.swept.store(now.0, Ordering::Relaxed);
        let ignored = &self.metrics.services.ignored;
        ignored.add(self.bus.stats().ignored_replies - ignored.value());
    }

    fn moving(&self, found: &mut sweep::Found, last: bool) {
        self.findings.tell(found, last);
    }
}

pub(super) fn hub_config(config: &Config, node: NodeId, limits: Limits) -> HubConfig {
    let mut options = HubConfig::new(node);
    options.bounds.limits = limits;
    options.bounds.max_queue_bytes = config.max_queue_bytes.0;
    options.max_sessions = config.max_sessions.0;
    options.max_arriving = config.max_arriving.0;
    options.node_queue_bytes = config.node_queue_bytes.0;
    options.session_ttl = config.session_ttl;
    options.bounds.ping_ms = u64::try_from(config.ping.as_millis()).unwrap_or(u64::MAX);
    // Two pings unanswered, and what the sweep and a slow network take: 35 s at the default.
    options.bounds.quiet_ms = options
        .bounds
        .ping_ms
        .saturating_mul(2)
        .saturating_add(5_000);
    options.ws_window = config.ws_window;
    options.bounds.batch_poll_ms =
        u64::try_from(config.poll_window.as_millis()).unwrap_or(u64::MAX);
    options.bounds.default_timeout_ms =
        u64::try_from(config.request_timeout.as_millis()).unwrap_or(u64::MAX);
    options.bounds.handler_timeout_ms =
        u64::try_from(config.handler_timeout.as_millis()).unwrap_or(u64::MAX);
    options
}
