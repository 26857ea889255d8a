//! Hands events and requests that no handler took to services on the bus, and brings their answers back.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use opentelemetry::trace::TraceContextExt as _;
use sha2::{Digest, Sha256};
use tengen_bus::{Bus, Headers, Message, PendingReply, Publish, PublishError, RequestError};
use tengen_protocol::subject::{Subjects, encode_header};
use tengen_protocol::{Codec, Data, ErrorCode, Limits, Refusal, SessionId};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::dispatch::no_handler;
use super::event::Event;
use crate::metrics::Metrics;

/// A forwarded request header longer than this, encoded, is left out: one huge cookie must not
/// make an event too large for the bus.
const MAX_HEADER_BYTES: usize = 1024;

/// What the name of a forwarded request header is put behind, so that no client's header can pass
/// for one of ours or of NATS's.
const FORWARDED: &str = "Tengen-Header-";

/// The way to services and back.
pub(crate) struct Services {
    bus: Bus,
    subjects: Subjects,
    /// Names of request headers that services may see, lower case.
    headers: Vec<String>,
    limits: Limits,
    metrics: Arc<Metrics>,
}

impl Services {
    pub(crate) fn new(
        bus: Bus,
        subjects: Subjects,
        headers: Vec<String>,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Services {
        Services {
            bus,
            subjects,
            headers,
            limits,
            metrics,
        }
    }

    /// Publishes an event to every service that listens, and returns when the bus accepted it.
    ///
    /// # Errors
    /// What the sender is told: `bus-down` or `too-large`. Nothing was sent then.
    pub(super) async fn tell(&self, event: &Event) -> Result<(), Refusal> {
        let message = self.message(self.subjects.event(event.id()), event);
        match self.bus.publish(message).await {
            Ok(()) => {
                self.metrics.services.events.increment();
                Ok(())
            }
            Err(error) => Err(self.unsent(&error, event)),
        }
    }

    /// Publishes a request to one service, and returns when the bus accepted it.
    ///
    /// # Errors
    /// As [`Services::tell`].
    pub(super) async fn ask(&self, event: &Event) -> Result<PendingReply, Refusal> {
        let message = self.message(self.subjects.request(event.id()), event);
        match self.bus.start_request(message).await {
            Ok(pending) => {
                self.metrics.services.requests.increment();
                Ok(pending)
            }
            Err(error) => Err(self.unsent(&error, event)),
        }
    }

    /// What the caller is told of a service's answer, or of its absence.
    pub(super) fn outcome(
        &self,
        answer: Result<Message, RequestError>,
        event: &Event,
    ) -> Result<Data, Refusal> {
        let outcome = match answer {
            Ok(message) => self.read(message),
            Err(RequestError::NoResponders) => {
                self.metrics.handlers.no_handler.increment();
                return Err(no_handler(event.id()));
            }
            Err(RequestError::Timeout) => Err(Refusal::new(
                ErrorCode::TIMEOUT,
                "no answer within the deadline",
            )),
            // It was published before, so it may have been handled: not the retryable bus-down.
            Err(RequestError::BusDown) => Err(Refusal::new(
                ErrorCode::CLOSED,
                "the bus went down before the answer came",
            )),
            Err(error) => Err(Refusal::new(ErrorCode::HANDLER_FAILED, error.to_string())),
        };
        match &outcome {
            Err(refusal) if refusal.code == ErrorCode::TIMEOUT => {
                self.metrics.services.timed_out.increment();
            }
            Err(refusal) if !refusal.code.is_application() => {
                self.metrics.services.failed.increment();
            }
            _ => self.metrics.services.answered.increment(),
        }
        outcome
    }

    fn read(&self, message: Message) -> Result<Data, Refusal> {
        if let Some(code) = message.headers.first("Tengen-Error") {
            return Err(service_error(code, &message.body));
        }
        let codec = Codec::from_content_type(message.headers.first("Content-Type"));
        // `nats reply` without a body, and services that only confirm.
        if message.body.is_empty() {
            return Ok(Data::null(codec));
        }
        Data::checked(codec, message.body, &self.limits).map_err(|refusal| {
            let code = match refusal.code {
                ErrorCode::TOO_LARGE => ErrorCode::TOO_LARGE,
                _ => ErrorCode::HANDLER_FAILED,
            };
            Refusal::new(code, format!("the service's answer: {}", refusal.message))
        })
    }

    fn message(&self, subject: String, event: &Event) -> Publish {
        let data = event.data();
        let mut message = Publish::new(subject, data.bytes().clone());
        message.headers = self.headers(event);
        message
    }

    /// Everything a service learns beside the value. The table of it is node/SERVICES.md.
    fn headers(&self, event: &Event) -> Headers {
        let mut headers = Headers::default();
        headers.push("Content-Type", event.data().codec().content_type());
        headers.push("Tengen-Event", encode_header(event.id().as_str()));
        if let Some(uid) = event.uid() {
            headers.push("Tengen-Uid", encode_header(uid.as_str()));
        }
        headers.push("Tengen-Client", event.client().as_str());
        headers.push("Tengen-Session", session_hash(event.session()));
        headers.push("Tengen-Node", event.node().as_str());
        for name in &self.headers {
            let Some(value) = event.header(name) else {
                continue;
            };
            let value = encode_header(&String::from_utf8_lossy(value));
            if value.len() <= MAX_HEADER_BYTES {
                headers.push(format!("{FORWARDED}{name}"), value);
            }
        }
        if let Some(parent) = traceparent() {
            headers.push("traceparent", parent);
        }
        headers
    }

    fn unsent(&self, error: &PublishError, event: &Event) -> Refusal {
        self.metrics.services.failed.increment();
        match error {
            PublishError::BusDown | PublishError::Timeout => {
                Refusal::new(ErrorCode::BUS_DOWN, "the bus is down")
            }
            PublishError::TooLarge { .. } => Refusal::new(ErrorCode::TOO_LARGE, error.to_string()),
            // Ids, names and values are checked and encoded: this would be a mistake of ours.
            PublishError::BadSubject(_) | PublishError::BadHeader(_) => {
                tracing::error!(event = %event.id(), %error, "event has no subject");
                Refusal::new(ErrorCode::HANDLER_FAILED, "the event cannot be handed on")
            }
        }
    }
}

/// An error that a service answered. Only the application's numbers pass: a service cannot make
/// its caller believe in a timeout.
fn service_error(code: &str, body: &Bytes) -> Refusal {
    let message = String::from_utf8_lossy(body).into_owned();
    match code.trim().parse().map(ErrorCode) {
        Ok(code) if code.is_application() => Refusal::new(code, message),
        _ => Refusal::new(
            ErrorCode::HANDLER_FAILED,
            format!("the service failed: {message}"),
        ),
    }
}

/// Names a session to services without giving them its id, which is all one needs to resume it.
pub(crate) fn session_hash(session: &SessionId) -> String {
    let digest = Sha256::digest(session.as_str().as_bytes());
    URL_SAFE_NO_PAD.encode(&digest[..16])
}

/// The W3C trace context of the current span, if it is sampled. A header at all halves the
/// throughput of NATS, so unsampled events carry none.
fn traceparent() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() || !span.is_sampled() {
        return None;
    }
    let (trace, id) = (span.trace_id(), span.span_id());
    Some(format!("00-{trace:032x}-{id:016x}-01"))
}
