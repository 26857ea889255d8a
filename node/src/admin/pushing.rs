//! Pushes and kicks over HTTP, for services that do not speak NATS.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tengen_bus::push::{Filter, Push, Target, message_id};
use tengen_protocol::{ClientId, Codec, ErrorCode, Limits, RawEvent, Refusal, Uid};

use super::Admin;
use super::refusal::{failed, refused};
use super::users::uid_of;
use crate::online::query::of;
use crate::push::ReportError;

pub(super) async fn send_to_uid(
    State(admin): State<Arc<Admin>>,
    uid: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let uid = uid_of(uid).and_then(|uid| {
        let uid = Uid::parse(&uid);
        uid.map_err(|refusal| of("uid", &refusal))
    });
    match uid {
        Ok(uid) => push(&admin, Target::Uid(uid), &headers, body).await,
        Err(refusal) => refused(&refusal),
    }
}

pub(super) async fn send_to_all(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    push(&admin, Target::All, &headers, body).await
}

pub(super) async fn send_to_anonymous(
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
    // While this node knows of no others nobody is expected to answer: nothing to wait for.
    let reported = matches!(push.target, Target::Uid(_))
        && !hurries(headers)
        && admin.shared.presence.is_ready().is_ok();
    let pushed = if reported {
        match admin.shared.handle.push_reported(&push).await {
            Ok(report) => Ok(Some(report)),
            Err(ReportError::Silent) => Ok(None),
            Err(ReportError::Push(error)) => Err(error),
        }
    } else {
        admin.shared.handle.push(&push).await.map(|()| None)
    };
    let mut answer = serde_json::json!({"accepted": true});
    match pushed {
        // Accepted in either case: that a push stands in line is not that it was read.
        Ok(report) => {
            if let Some(report) = report {
                answer["clients"] = report.clients.into();
                answer["nodes"] = report.nodes.into();
                answer["missing"] = report.missing.into();
            }
            (StatusCode::ACCEPTED, Json(answer)).into_response()
        }
        Err(error) => failed(&error),
    }
}

/// Whether the caller does not want to wait until it is known whom the push reaches (RFC 7240).
fn hurries(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all("prefer").iter();
    preferences
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
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

pub(super) async fn kick(State(admin): State<Arc<Admin>>, body: Bytes) -> Response {
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
        Err(refusal) => return refused(&of("uid", &refusal)),
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
