//! How the admin port says no: a status, a number, and a sentence for people.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tengen_protocol::{ErrorCode, Refusal};

use super::ERROR_HEADER;
use crate::push::PushError;

pub(super) fn failed(error: &PushError) -> Response {
    refused(&error.refusal())
}

pub(super) fn refused(refusal: &Refusal) -> Response {
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
