//! Logs, traces and metrics as the operator asked for them: text or JSON lines, OTLP by the standard `OTEL_*`, a Prometheus page.

use std::io::IsTerminal as _;
use std::sync::Arc;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

use crate::config::{Config, LogFormat};
use crate::metrics::{Kind, Metrics};

/// What the binary installed for its whole process; ends by [`Telemetry::shutdown`].
#[derive(Debug)]
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    log_level: LogLevel,
}

/// How much the process logs, changed while it runs. Clones change the same.
#[derive(Clone, Debug)]
pub struct LogLevel {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl LogLevel {
    /// Logs by `filter` from now on, as in `info,tengen_node=debug`.
    ///
    /// # Errors
    /// A filter that cannot be parsed: nothing changes.
    pub fn set(&self, filter: &str) -> anyhow::Result<()> {
        Ok(self.filter.reload(EnvFilter::try_new(filter)?)?)
    }
}

impl Telemetry {
    /// Installs the process's log lines and, where `OTEL_EXPORTER_OTLP_ENDPOINT` (or its traces
    /// variant) is set, the export of spans.
    ///
    /// Call it before the async runtime starts: the exporter's HTTP client is a blocking one on a
    /// thread of its own, because the async one exports nothing from there (opentelemetry-rust#2673).
    ///
    /// # Errors
    /// A log filter that cannot be parsed, an exporter that cannot be built, a second call.
    pub fn install(config: &Config) -> anyhow::Result<Telemetry> {
        let (filter, handle) = reload::Layer::new(EnvFilter::try_new(&config.log)?);
        let lines = match config.log_format {
            LogFormat::Text => tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .boxed(),
            LogFormat::Json => tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .json()
                .flatten_event(true)
                .boxed(),
        };
        let tracer = if asked_for("TRACES") {
            Some(tracer(config)?)
        } else {
            None
        };
        let spans = tracer.as_ref().map(|provider| {
            opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
            tracing_opentelemetry::layer().with_tracer(provider.tracer("tengen"))
        });
        tracing_subscriber::registry()
            .with(lines.with_filter(filter))
            .with(spans)
            .try_init()?;
        let log_level = LogLevel { filter: handle };
        Ok(Telemetry { tracer, log_level })
    }

    /// A hold on how much is logged, for whoever may change it.
    #[must_use]
    pub fn log_level(&self) -> LogLevel {
        self.log_level.clone()
    }

    /// Exports what waits and ends the exporter's thread. Blocks up to a few seconds.
    pub fn shutdown(self) {
        if let Some(tracer) = self.tracer
            && let Err(error) = tracer.shutdown()
        {
            eprintln!("some traces were not exported: {error}");
        }
    }
}

fn asked_for(signal: &str) -> bool {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    std::env::var("OTEL_SDK_DISABLED").as_deref() != Ok("true")
        && (set("OTEL_EXPORTER_OTLP_ENDPOINT")
            || set(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")))
}

fn resource(node: Option<&str>) -> Resource {
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are read by the builder's detectors.
    let mut resource = Resource::builder();
    if std::env::var("OTEL_SERVICE_NAME").is_err() {
        resource = resource.with_service_name("tengen-node");
    }
    if let Some(node) = node {
        resource = resource.with_attribute(opentelemetry::KeyValue::new(
            "service.instance.id",
            node.to_owned(),
        ));
    }
    resource.build()
}

fn tracer(config: &Config) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .build()?;
    Ok(SdkTracerProvider::builder()
        .with_resource(resource(config.node_id.as_deref()))
        .with_batch_exporter(exporter)
        .build())
}

/// The metrics of one node as a Prometheus page, and by OTLP where that is asked for.
///
/// The counters themselves are plain atomics in [`Metrics`]; they are read only when somebody looks.
pub(crate) struct MetricsPage {
    registry: prometheus::Registry,
    provider: SdkMeterProvider,
}

impl MetricsPage {
    /// Makes every counter and gauge of `metrics` visible.
    pub(crate) fn new(metrics: &Arc<Metrics>, node: &str) -> anyhow::Result<MetricsPage> {
        let registry = prometheus::Registry::new();
        let page = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_counter_suffixes()
            .without_units()
            .build()?;
        let mut provider = SdkMeterProvider::builder()
            .with_resource(resource(Some(node)))
            .with_reader(page);
        if asked_for("METRICS") {
            let exporter = opentelemetry_otlp::MetricExporter::builder()
                .with_http()
                .build()?;
            provider = provider.with_reader(PeriodicReader::builder(exporter).build());
        }
        let provider = provider.build();
        let meter = provider.meter("tengen");
        for (index, sample) in metrics.samples().iter().enumerate() {
            let metrics = Arc::clone(metrics);
            let read = move || metrics.value_at(index);
            match sample.kind {
                Kind::Counter => {
                    meter
                        .u64_observable_counter(sample.name)
                        .with_description(sample.help)
                        .with_callback(move |observer| observer.observe(read(), &[]))
                        .build();
                }
                Kind::Gauge => {
                    meter
                        .u64_observable_gauge(sample.name)
                        .with_description(sample.help)
                        .with_callback(move |observer| observer.observe(read(), &[]))
                        .build();
                }
            }
        }
        Ok(MetricsPage { registry, provider })
    }

    /// The page in Prometheus text format 0.0.4.
    pub(crate) fn render(&self) -> Result<String, prometheus::Error> {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Exports what waits; blocks up to a few seconds when OTLP is on.
    pub(crate) fn shutdown(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "metrics were not exported");
        }
    }
}
