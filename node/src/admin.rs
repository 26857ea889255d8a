//! The admin port: health for orchestrators, metrics; pushes, and who is online, for services that do not speak NATS.

mod pushing;
mod refusal;
mod users;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tengen_protocol::Limits;
use tokio::sync::Semaphore;

use self::pushing::{kick, send_to_all, send_to_anonymous, send_to_uid};
use self::users::{connected_uid, connected_uids, sessions};
use crate::shared::Shared;
use crate::telemetry::MetricsPage;

/// What a refused call says of its cause, on every port.
pub(crate) const ERROR_HEADER: HeaderName = HeaderName::from_static("tengen-error");

pub(crate) struct Admin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) page: MetricsPage,
    pub(crate) limits: Limits,
    /// Room for watchers.
    streams: Arc<Semaphore>,
}

impl Admin {
    pub(crate) fn new(shared: Arc<Shared>, page: MetricsPage, limits: Limits) -> Admin {
        Admin {
            shared,
            page,
            limits,
            streams: Arc::new(Semaphore::new(watch::MAX_STREAMS)),
        }
    }
}

/// The routes of the admin port. They ask for no password: whoever reaches the port may push to anyone.
pub(crate) fn routes(admin: Arc<Admin>) -> Router {
    // The event's own limit answers with a numbered error; this one only ends a body that has no end.
    let body_limit = admin
        .limits
        .max_bytes
        .saturating_mul(2)
        .saturating_add(64 << 10);
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/send-to-uid/{uid}", post(send_to_uid))
        .route("/v1/send-to-all", post(send_to_all))
        .route("/v1/send-to-anonymous", post(send_to_anonymous))
        .route("/v1/kick", post(kick))
        .route("/v1/connected-uids", get(connected_uids))
        .route("/v1/connected-uids/watch", get(watch::watch))
        .route("/v1/connected-uids/{uid}", get(connected_uid))
        .route("/v1/sessions", get(sessions))
        .layer(DefaultBodyLimit::max(body_limit))
        .with_state(admin)
}

/// Fails slowly: 503 only when the node's own clock work has stood still, which a restart may cure.
async fn healthz(State(admin): State<Arc<Admin>>) -> Response {
    match admin.shared.stalled_for() {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(stalled) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the sweep has not run for {} s\n", stalled.as_secs()),
        )
            .into_response(),
    }
}

/// Fails fast: 200 only while a message to oneself comes back through the bus and the node takes clients.
async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    match admin.shared.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n").into_response(),
        Err(why) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {why}\n"),
        )
            .into_response(),
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match admin.page.render() {
        Ok(page) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
