//! Why a poll request is not served, as the HTTP answer that says so.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tengen_protocol::server::PollRefused;
use tengen_protocol::{CloseCode, ErrorCode};

use crate::admin::ERROR_HEADER;
use crate::identity::refused::Refused;
use crate::metrics::Metrics;

/// One refusal of ours: a status of the table in the specification, its number, a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: u32,
    message: Cow<'static, str>,
}

impl Refusal {
    fn new(status: StatusCode, code: u32, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            status,
            code,
            message: message.into(),
        }
    }

    /// 400: headers, query or hello are not what they should be. The same again would be no better.
    pub(crate) fn malformed(message: impl Into<Cow<'static, str>>) -> Refusal {
        let code = u32::from(CloseCode::PROTOCOL.0);
        Refusal::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 400: the content type names no codec, or another than the session's.
    pub(crate) fn codec(message: &'static str) -> Refusal {
        let code = u32::from(CloseCode::VERSION.0);
        Refusal::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 409: a newer request was here before.
    pub(crate) fn superseded() -> Refusal {
        let code = u32::from(CloseCode::SUPERSEDED.0);
        Refusal::new(StatusCode::CONFLICT, code, "a newer request was here first")
    }

    /// 410: say hello again, naming the session.
    pub(crate) fn gone() -> Refusal {
        // One answer for a session that has ended, never was, or is another user's: whoever
        // guesses ids learns nothing.
        Refusal::new(StatusCode::GONE, ErrorCode::CLOSED.0, "no such session")
    }

    /// 403 or 410: the session was ended while it was on its way here, for good or to come back.
    pub(crate) fn ended(code: CloseCode) -> Refusal {
        if code.comes_back() {
            return Refusal::gone();
        }
        let code = u32::from(code.0);
        Refusal::new(StatusCode::FORBIDDEN, code, "the session was ended")
    }

    /// 413: the body is larger than this.
    pub(crate) fn too_large(max: usize) -> Refusal {
        let message = format!("a body has at most {max} bytes");
        Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::TOO_LARGE.0,
            message,
        )
    }

    /// 429: the same may succeed later.
    pub(crate) fn busy() -> Refusal {
        let message = "the node is taking too many bodies at once";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::RATE.0, message)
    }

    /// 503: this node cannot serve it now; another one may.
    pub(crate) fn unavailable(message: &'static str) -> Refusal {
        let code = u32::from(CloseCode::RESTARTING.0);
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// 503: the node that has the session cannot be asked now.
    pub(crate) fn bus_down(message: &'static str) -> Refusal {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::BUS_DOWN.0,
            message,
        )
    }

    /// What another node refused. `None` if that is no status of the table.
    pub(crate) fn relayed(status: u16, code: u32, message: String) -> Option<Refusal> {
        let status = StatusCode::from_u16(status).ok()?;
        matches!(status.as_u16(), 400 | 409 | 410 | 413 | 429 | 503)
            .then(|| Refusal::new(status, code, message))
    }

    /// Status, number and text, for the node that relayed the request.
    pub(crate) fn into_parts(self) -> (u16, u32, String) {
        (self.status.as_u16(), self.code, self.message.into_owned())
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Counts it where it is said to a client.
    pub(crate) fn count(&self, metrics: &Metrics) {
        let poll = &metrics.poll;
        let counter = match self.status.as_u16() {
            400 => &poll.refused_400,
            401 => &poll.refused_401,
            403 => &poll.refused_403,
            409 => &poll.refused_409,
            410 => &poll.refused_410,
            413 => &poll.refused_413,
            429 => &poll.refused_429,
            _ => &poll.refused_503,
        };
        counter.increment();
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        Refusal::new(
            refused.status(),
            refused.code(),
            refused.message().to_owned(),
        )
    }
}

impl From<PollRefused> for Refusal {
    fn from(refused: PollRefused) -> Refusal {
        match refused {
            PollRefused::LowerAttempt | PollRefused::LowerTurn => Refusal::superseded(),
            PollRefused::HigherAttempt
            | PollRefused::Elsewhere
            | PollRefused::Over
            | PollRefused::Lost => Refusal::gone(),
            PollRefused::TooLarge => Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                ErrorCode::TOO_LARGE.0,
                "a body of more than one frame has at most 256 KiB",
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, format!("{}\n", self.message)).into_response();
        let headers = response.headers_mut();
        headers.insert(ERROR_HEADER, HeaderValue::from(self.code));
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
