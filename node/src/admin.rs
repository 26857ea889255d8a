//! The admin port: health for orchestrators, metrics, and pushes over HTTP for services that do not speak NATS.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tengen_bus::push::{Filter, Push, Target, message_id};
use tengen_protocol::{ClientId, Codec, ErrorCode, Limits, RawEvent, Refusal, Uid};

use crate::push::PushError;
use crate::shared::Shared;
use crate::telemetry::MetricsPage;

/// What a refused call says of its cause, on every port.
pub(crate) const ERROR_HEADER: HeaderName = HeaderName::from_static("tengen-error");

pub(crate) struct Admin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) page: MetricsPage,
    pub(crate) limits: Limits,
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

async fn send_to_uid(
    State(admin): State<Arc<Admin>>,
    Path(uid): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match Uid::try_from(uid.as_str()) {
        Ok(uid) => push(&admin, Target::Uid(uid), &headers, body).await,
        Err(error) => refused(&Refusal {
            code: ErrorCode::BAD_ID,
            message: format!("uid: {error}"),
        }),
    }
}

async fn send_to_all(State(admin): State<Arc<Admin>>, headers: HeaderMap, body: Bytes) -> Response {
    push(&admin, Target::All, &headers, body).await
}

async fn send_to_anonymous(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    push(&admin, Target::Anonymous, &headers, body).await
}

async fn push(admin: &Admin, target: Target, headers: &HeaderMap, body: Bytes) -> Response {
    let push = match read_push(target, headers, body, &admin.limits) {
        Ok(push) => push,
        Err(refusal) => return refused(&refusal),
    };
    match admin.shared.handle.push(&push).await {
        Ok(()) => (
            StatusCode::ACCEPTED,
            Json(serde_json::json!({"accepted": true})),
        )
            .into_response(),
        Err(error) => failed(&error),
    }
}

fn read_push(
    target: Target,
    headers: &HeaderMap,
    body: Bytes,
    limits: &Limits,
) -> Result<Push, Refusal> {
    let bad = |message: String| Refusal {
        code: ErrorCode::BAD_EVENT,
        message,
    };
    let text = |name: &str| match headers.get(name) {
        None => Ok(None),
        Some(value) => value
            .to_str()
            .map(Some)
            .map_err(|_| bad(format!("header {name} is no text"))),
    };
    let codec = match text("content-type")?
        .map(|kind| kind.split(';').next().unwrap_or(kind).trim())
    {
        // curl's --data says a form; nobody means one here.
        None | Some("application/json" | "text/plain" | "application/x-www-form-urlencoded") => {
            Codec::Json
        }
        Some("application/cbor") => Codec::Cbor,
        Some(other) => {
            return Err(bad(format!(
                "content type {other}: expected application/json or application/cbor"
            )));
        }
    };
    let client = |text: &str| {
        ClientId::try_from(text).map_err(|error| Refusal {
            code: ErrorCode::BAD_ID,
            message: format!("client id: {error}"),
        })
    };
    let filter = match (text("tengen-only")?, text("tengen-except")?) {
        (None, None) => Filter::None,
        (Some(only), None) => Filter::Only(client(only)?),
        (None, Some(except)) => Filter::Except(client(except)?),
        (Some(_), Some(_)) => {
            return Err(bad(
                "Tengen-Only and Tengen-Except exclude each other".to_owned()
            ));
        }
    };
    let id = text("idempotency-key")?
        .or(text("nats-msg-id")?)
        .map_or(0, message_id);
    // Checked here, so that the caller hears of it; every node checks again what the bus brings.
    RawEvent::check(codec, body.clone(), limits)?;
    Ok(Push {
        target,
        filter,
        id,
        report: false,
        flush: text("tengen-flush")? == Some("1"),
        event: (codec, body),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kick {
    uid: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    ban_ms: u64,
}

async fn kick(State(admin): State<Arc<Admin>>, body: Bytes) -> Response {
    let kick: Kick = match serde_json::from_slice(&body) {
        Ok(kick) => kick,
        Err(error) => {
            return refused(&Refusal {
                code: ErrorCode::UNDECODABLE,
                message: error.to_string(),
            });
        }
    };
    let uid = match Uid::try_from(kick.uid.as_str()) {
        Ok(uid) => uid,
        Err(error) => {
            return refused(&Refusal {
                code: ErrorCode::BAD_ID,
                message: format!("uid: {error}"),
            });
        }
    };
    if kick.ban_ms > 0 {
        let message = "ban_ms: bans are not built yet; kick without one".to_owned();
        return refused(&Refusal {
            code: ErrorCode::BAD_EVENT,
            message,
        });
    }
    match admin.shared.handle.kick(&uid, &kick.reason).await {
        Ok(()) => (
            StatusCode::ACCEPTED,
            Json(serde_json::json!({"accepted": true})),
        )
            .into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &PushError) -> Response {
    refused(&error.refusal())
}

fn refused(refusal: &Refusal) -> Response {
    let status = match refusal.code {
        ErrorCode::TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RATE => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::BUS_DOWN => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = Json(
        serde_json::json!({"error": refusal.code.0, "name": refusal.code.name(), "message": refusal.message}),
    );
    let mut response = (status, body).into_response();
    response
        .headers_mut()
        .insert(ERROR_HEADER, HeaderValue::from(refusal.code.0));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if refusal.code.retryable() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
