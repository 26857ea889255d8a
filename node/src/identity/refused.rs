//! A handshake refused by the app or by us, as the HTTP answer that ends it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tengen_protocol::CloseCode;

/// Why a handshake is refused.
///
/// A 401 or 403 of ours carries `Tengen-Error` and is terminal: the client shows it as the cause
/// and does not come back by itself. A 503 says come back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Refused {
    status: StatusCode,
    code: u32,
    message: String,
}

impl Refused {
    /// 401: this client is not logged in as anybody who may come here.
    pub fn unauthorized(message: impl Into<String>) -> Refused {
        let code = u32::from(CloseCode::UNAUTHORIZED.0);
        Refused::of(StatusCode::UNAUTHORIZED, code, message)
    }

    /// 403: we know who it is, and no.
    pub fn forbidden(message: impl Into<String>) -> Refused {
        let code = u32::from(CloseCode::FORBIDDEN.0);
        Refused::of(StatusCode::FORBIDDEN, code, message)
    }

    /// 503 with `Retry-After: 1`: it cannot be decided now.
    pub fn unavailable(message: impl Into<String>) -> Refused {
        let code = u32::from(CloseCode::RESTARTING.0);
        Refused::of(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// The app's own number (1000 or more) in `Tengen-Error`, for a client that tells its user why.
    #[must_use]
    pub fn with_code(mut self, code: u32) -> Refused {
        self.code = code;
        self
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn code(&self) -> u32 {
        self.code
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    fn of(status: StatusCode, code: u32, message: impl Into<String>) -> Refused {
        Refused {
            status,
            code,
            message: message.into(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, self.message).into_response();
        let headers = response.headers_mut();
        headers.insert("tengen-error", HeaderValue::from(self.code));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
