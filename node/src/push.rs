//! What this node itself pushes: checked, then into its own batch stream, from which it comes back by echo.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tengen_bus::push::{self, Publisher, Push, Target, TryPushError};
use tengen_bus::{Bus, Publish, PublishError, SubscribeError};
use tengen_protocol::report::Report;
use tengen_protocol::subject::Subjects;
use tengen_protocol::{ClientId, Codec, Data, ErrorCode, EventId, Limits, RawEvent, Refusal, Uid};

use crate::kick::Kick;
use crate::metrics::Metrics;

/// A push or kick that the bus did not take. What it says about whom it reached: nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It can never be pushed: the uid, the event id, the data or their size. Change it.
    #[error("refused: {} {}", .0.code, .0.message)]
    Refused(Refusal),
    /// The bus is down; nothing is kept. Repeating later is safe.
    #[error("the bus is down")]
    BusDown,
    /// The bus took nothing for the publish timeout; nothing is kept. Repeating later is safe.
    #[error("the bus did not take it in time")]
    Timeout,
    /// Too many pushes wait for the bus already; this one is not kept. Only
    /// [`SendTo::try_send`](crate::SendTo::try_send) says so.
    #[error("too many pushes wait for the bus")]
    Full,
}

impl PushError {
    /// The number that travels in replies and in `Tengen-Error`.
    pub fn code(&self) -> ErrorCode {
        match self {
            PushError::Refused(refusal) => refusal.code,
            PushError::BusDown | PushError::Timeout => ErrorCode::BUS_DOWN,
            PushError::Full => ErrorCode::RATE,
        }
    }

    /// The same as it travels.
    pub fn refusal(&self) -> Refusal {
        match self {
            PushError::Refused(refusal) => refusal.clone(),
            other => Refusal::new(other.code(), other.to_string()),
        }
    }
}

/// Why nobody says whom a push reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The bus did not take the push: it reached nobody.
    #[error(transparent)]
    Push(#[from] PushError),
    /// It was pushed, and no report came within two seconds: no node was ready to put it together, or
    /// the one that did so has just gone, and with it the next one. Repeating the push would repeat it to whom it reached,
    /// unless it has an id.
    #[error("pushed, and nobody reported whom it reached")]
    Silent,
}

impl From<Refusal> for PushError {
    fn from(refusal: Refusal) -> Self {
        PushError::Refused(refusal)
    }
}

impl From<PublishError> for PushError {
    fn from(error: PublishError) -> Self {
        let refused = |code, message: String| PushError::Refused(Refusal { code, message });
        match error {
            PublishError::BusDown => PushError::BusDown,
            PublishError::Timeout => PushError::Timeout,
            PublishError::TooLarge { .. } => refused(ErrorCode::TOO_LARGE, error.to_string()),
            PublishError::BadSubject(_) | PublishError::BadHeader(_) => {
                refused(ErrorCode::BAD_ID, error.to_string())
            }
        }
    }
}

/// How long the report of an own push is awaited. It comes within 300 ms, and within 800 ms when the
/// node that was to answer has died; the rest is for a machine that has too much to do.
const REPORT_LIMIT: Duration = Duration::from_secs(2);

/// The publishing half of a node.
pub(crate) struct Pusher {
    publisher: Publisher,
    bus: Bus,
    kick: String,
    limits: Limits,
    metrics: Arc<Metrics>,
}

impl Pusher {
    pub(crate) fn start(
        bus: Bus,
        subjects: &Subjects,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let publisher = Publisher::start(bus.clone(), subjects);
        Self {
            publisher,
            bus,
            kick: subjects.kick(),
            limits,
            metrics,
        }
    }

    /// Hears its delivery reports from now on.
    ///
    /// # Errors
    /// As [`Bus::subscribe`].
    pub(crate) async fn listen(&self) -> Result<(), SubscribeError> {
        self.publisher.listen_for_reports().await
    }

    /// Encodes an event as the bus carries it. CBOR: it holds every value, and most clients
    /// speak it, so nothing is transcoded for them.
    pub(crate) fn encode<T: Serialize + ?Sized>(
        &self,
        id: &str,
        data: &T,
    ) -> Result<RawEvent, Refusal> {
        let id = EventId::parse(id)?.unreserved()?;
        let data = Data::from(Codec::Cbor, data)?;
        let event = RawEvent::new(Codec::Cbor, &id, &data)?;
        self.check(Codec::Cbor, event.body().clone())
    }

    /// Checks an already encoded event as every node will, so that the caller is told instead.
    pub(crate) fn check(&self, codec: Codec, body: Bytes) -> Result<RawEvent, Refusal> {
        let checked = RawEvent::check(codec, body, &self.limits);
        if checked.is_err() {
            self.metrics.push.refused.increment();
        }
        checked
    }

    /// Pushes, and returns once the bus has accepted it.
    ///
    /// # Cancel safety
    /// Dropped while it waits, the push may or may not happen.
    pub(crate) async fn push(&self, push: &Push) -> Result<(), PushError> {
        self.count(self.publisher.push(push).await.map_err(PushError::from))
    }

    /// Pushes, and returns once somebody says whom it reached.
    ///
    /// # Cancel safety
    /// Dropped while it waits, the push may or may not happen.
    pub(crate) async fn push_reported(&self, push: &Push) -> Result<Report, ReportError> {
        let pushed = self.publisher.push_reported(push, REPORT_LIMIT).await;
        self.count(
            pushed
                .as_ref()
                .map(|_| ())
                .map_err(|error| error.clone().into()),
        )?;
        pushed.ok().flatten().ok_or(ReportError::Silent)
    }

    /// Puts a push in line for the bus and does not wait for it.
    pub(crate) fn try_push(&self, push: &Push) -> Result<(), PushError> {
        self.count(self.publisher.try_push(push).map_err(|error| match error {
            TryPushError::Full => PushError::Full,
            TryPushError::Refused(error) => error.into(),
        }))
    }

    fn count(&self, result: Result<(), PushError>) -> Result<(), PushError> {
        match result {
            Ok(()) => self.metrics.push.accepted.increment(),
            Err(_) => self.metrics.push.failed.increment(),
        }
        result
    }

    /// Kicks a user on all nodes, after everything this node pushed before.
    pub(crate) async fn kick(&self, uid: &Uid, reason: &str) -> Result<(), PushError> {
        let kick = Kick {
            uid: uid.as_str().to_owned(),
            reason: reason.to_owned(),
            ban_ms: 0,
        };
        let body = serde_json::to_vec(&kick).map_err(|error| Refusal {
            code: ErrorCode::BAD_EVENT,
            message: error.to_string(),
        })?;
        // Pushes still in the batch would be overtaken.
        self.publisher.flush().await;
        Ok(self
            .bus
            .publish(Publish::new(self.kick.as_str(), body))
            .await?)
    }

    /// Sends what is still in line and the end mark of the stream; later pushes are refused as if
    /// the bus were down.
    pub(crate) async fn close(&self) {
        self.publisher.clone().close().await;
    }
}

/// Reads the id a client chose for itself, as in `Tengen-Only`.
pub(crate) fn client(text: &str) -> Result<ClientId, Refusal> {
    ClientId::parse(text)
}

/// A push to `target` that no filter narrows yet.
pub(crate) fn to(target: Target, event: &RawEvent) -> Push {
    Push::new(target, event.codec(), event.body().clone())
}

/// The number under which nodes know a message id.
pub(crate) fn message_id(text: &str) -> u128 {
    push::message_id(text)
}
