//! The edge's own figures, under the prefix `tengen_edge_`.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// What the edge counts.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// WebSocket connections open now, those before their hello included.
    pub(crate) connections: IntGauge,
    pub(crate) accept_errors: IntCounter,
    pub(crate) upgrades: IntCounter,
    /// Requests refused before they became a connection, by error code or HTTP status.
    pub(crate) refused: IntCounterVec,
    /// Connections that broke RFC 6455.
    pub(crate) violations: IntCounter,
    /// Connections closed by us, by close code.
    pub(crate) closed: IntCounterVec,
    pub(crate) received_bytes: IntCounter,
}

impl Metrics {
    /// Registers the edge's figures.
    ///
    /// # Errors
    /// When they are registered already: one registry, one edge.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Metrics> {
        let metrics = Metrics {
            connections: IntGauge::new("tengen_edge_connections", "open WebSocket connections")?,
            accept_errors: counter("accept_errors_total", "failed accepts")?,
            upgrades: counter("upgrades_total", "requests upgraded to a WebSocket")?,
            refused: counters(
                "refused_total",
                "requests refused, by HTTP status",
                "status",
            )?,
            violations: counter("violations_total", "connections that broke RFC 6455")?,
            closed: counters("closed_total", "connections closed by us, by code", "code")?,
            received_bytes: counter("received_bytes_total", "bytes read from WebSockets")?,
        };
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.accept_errors.clone()))?;
        registry.register(Box::new(metrics.upgrades.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.violations.clone()))?;
        registry.register(Box::new(metrics.closed.clone()))?;
        registry.register(Box::new(metrics.received_bytes.clone()))?;
        Ok(metrics)
    }
}

fn counter(name: &str, help: &str) -> prometheus::Result<IntCounter> {
    IntCounter::new(format!("tengen_edge_{name}"), help)
}

fn counters(name: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(format!("tengen_edge_{name}"), help), &[label])
}
