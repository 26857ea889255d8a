//! The handle: one small face in front of the two buses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    LocalNet, NatsOptions,
    error::{ConnectError, PingError, PublishError, RequestError, SubscribeError},
    health::Health,
    inbox::{Answer, Expected, Inbox},
    local,
    message::{Message, Publish, Subscribe},
    nats,
    subscription::Subscription,
};

/// Messages between nodes and from services. Cheap to clone; all clones share one connection.
#[derive(Clone, Debug)]
pub struct Bus {
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Local(Arc<local::Handle>),
    Nats(Arc<nats::Link>),
}

impl Bus {
    /// A bus of its own inside this process. [`LocalNet`] gives several handles on one.
    #[must_use]
    pub fn local() -> Bus {
        LocalNet::new().bus()
    }

    /// A bus over NATS. Returns at once: the server need not be there yet. Until it is, and until
    /// a round trip through it succeeded, [`Bus::health`] is down and publishing fails. It is tried for
    /// ever, every half second at least, also while the server refuses the credentials.
    ///
    /// # Errors
    /// The URL is not one.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[expect(
        clippy::unused_async,
        reason = "connecting may come to need it, callers should not change then"
    )]
    pub async fn nats(options: NatsOptions) -> Result<Bus, ConnectError> {
        Ok(Bus {
            kind: Kind::Nats(nats::Link::start(options)?),
        })
    }

    /// Publishes one message; in the order of the calls, for each caller.
    ///
    /// Never waits longer than the publish timeout (1 s by default), and only when the connection
    /// takes no more. `Ok` means that the bus client has it, not that anybody got it.
    ///
    /// # Errors
    /// [`PublishError`]. In every case nothing was sent and nothing is kept.
    ///
    /// # Cancel safety
    /// Dropped before it is done, the message was not sent.
    pub async fn publish(&self, message: Publish) -> Result<(), PublishError> {
        match &self.kind {
            Kind::Local(handle) => {
                // Publishing in process never waits: a tight loop would starve its own subscribers.
                tokio::task::coop::consume_budget().await;
                handle.publish(message)
            }
            Kind::Nats(link) => link.publish(message).await,
        }
    }

    /// Subscribes to `pattern` (`*` = one token, `>` = the rest).
    ///
    /// While the bus is up this returns when the server has confirmed the interest by a round
    /// trip: what is published through the same server from now on arrives. While it is down it
    /// returns at once, and [`crate::Delivery::Interrupted`] tells when the interest is confirmed.
    ///
    /// # Errors
    /// [`SubscribeError`]; the interest is taken back.
    pub async fn subscribe(
        &self,
        pattern: &str,
        options: Subscribe,
    ) -> Result<Subscription, SubscribeError> {
        crate::check::pattern(pattern).map_err(SubscribeError::BadPattern)?;
        if let Some(queue) = &options.queue {
            crate::check::queue(queue).map_err(SubscribeError::BadPattern)?;
        }
        match &self.kind {
            Kind::Local(handle) => handle.subscribe(pattern, options),
            Kind::Nats(link) => link.subscribe(pattern, options).await,
        }
    }

    /// Publishes `message` and waits for one answer. A reply subject in `message` is replaced.
    ///
    /// # Errors
    /// [`RequestError`]; "no responders" and "bus down" at once. Mind that any passive subscriber
    /// to the subject counts as a responder.
    ///
    /// # Cancel safety
    /// May be dropped; the request may have been sent, its answer is then ignored.
    pub async fn request(
        &self,
        message: Publish,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        let asked = async { self.start_request(message).await?.wait().await };
        tokio::time::timeout(timeout, asked)
            .await
            .unwrap_or(Err(RequestError::Timeout))
    }

    /// The first half of a request: publishes it, in order with the other publishes of this
    /// caller, and returns what waits for the answer.
    ///
    /// # Errors
    /// [`PublishError`], as [`Bus::publish`].
    pub async fn start_request(&self, mut message: Publish) -> Result<PendingReply, PublishError> {
        let expected = self.inbox().expect();
        message.reply = Some(expected.subject.clone());
        let health = self.health();
        self.publish(message).await?;
        Ok(PendingReply { expected, health })
    }

    /// Whether the bus is up, now and from now on.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        match &self.kind {
            Kind::Local(handle) => handle.health(),
            Kind::Nats(link) => link.health(),
        }
    }

    /// A real round trip: a message to oneself through the connection. Says how long it took.
    ///
    /// # Errors
    /// [`PingError`]
    pub async fn ping(&self, timeout: Duration) -> Result<Duration, PingError> {
        let begun = Instant::now();
        let mut expected = self.inbox().expect();
        let message = Publish::new(expected.subject.clone(), bytes::Bytes::new());
        let round = async {
            self.publish(message).await.map_err(|error| match error {
                PublishError::Timeout => PingError::Timeout,
                _ => PingError::BusDown,
            })?;
            (&mut expected.answer).await.map_err(|_| PingError::BusDown)
        };
        match tokio::time::timeout(timeout, round).await {
            Ok(Ok(_)) => Ok(begun.elapsed()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(PingError::Timeout),
        }
    }

    /// The most bytes that body and headers of one message may have. Over NATS the server says it
    /// (1 MiB by default); before the first connection the default is assumed.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        match &self.kind {
            Kind::Local(handle) => handle.max_payload(),
            Kind::Nats(link) => link.max_payload(),
        }
    }

    /// Ends all subscriptions of this bus (what has arrived is still handed out, then they end),
    /// waits until what was published has reached the server (2 s at most) and closes.
    /// Afterwards everything fails as if the bus were down.
    pub async fn drain(&self) {
        match &self.kind {
            Kind::Local(handle) => handle.drain(),
            Kind::Nats(link) => link.drain().await,
        }
    }

    /// What this handle has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = match &self.kind {
            Kind::Local(handle) => handle.counters(),
            Kind::Nats(link) => link.counters(),
        };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            published: read(&counters.published),
            published_bytes: read(&counters.published_bytes),
            refused: read(&counters.refused),
            received: read(&counters.received),
            received_bytes: read(&counters.received_bytes),
            shed: read(&counters.shed),
            shed_bytes: read(&counters.shed_bytes),
            interruptions: read(&counters.interruptions),
            slow_client: read(&counters.slow_client),
            ignored_replies: self.inbox().ignored(),
        }
    }

    fn inbox(&self) -> &Arc<Inbox> {
        match &self.kind {
            Kind::Local(handle) => handle.inbox(),
            Kind::Nats(link) => link.inbox(),
        }
    }
}

/// A request whose answer is still awaited. Dropping it forgets the request.
#[must_use = "dropping it forgets the request"]
pub struct PendingReply {
    expected: Expected,
    health: watch::Receiver<Health>,
}

impl PendingReply {
    /// Waits for the answer.
    ///
    /// # Errors
    /// [`RequestError::NoResponders`] at once, [`RequestError::BusDown`] when the bus goes down
    /// meanwhile (the request may have been handled), [`RequestError::Timeout`].
    pub async fn answer(self, timeout: Duration) -> Result<Message, RequestError> {
        tokio::time::timeout(timeout, self.wait())
            .await
            .unwrap_or(Err(RequestError::Timeout))
    }

    async fn wait(mut self) -> Result<Message, RequestError> {
        tokio::select! {
            biased;
            answer = &mut self.expected.answer => match answer {
                Ok(Answer::Message(message)) => Ok(message),
                Ok(Answer::NoResponders) => Err(RequestError::NoResponders),
                Err(_) => Err(RequestError::BusDown),
            },
            _ = self.health.wait_for(|health| !health.is_up()) => Err(RequestError::BusDown),
        }
    }
}

impl std::fmt::Debug for PendingReply {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PendingReply")
            .finish_non_exhaustive()
    }
}

/// Counters of one [`Bus`], from its start. Bytes are costs, see [`Message::cost`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages the bus took.
    pub published: u64,
    /// Their body bytes.
    pub published_bytes: u64,
    /// Messages it refused, for whatever reason.
    pub refused: u64,
    /// Messages that arrived for any subscription, shed ones included.
    pub received: u64,
    /// Their cost in bytes.
    pub received_bytes: u64,
    /// Messages that did not fit into their subscription's queue.
    pub shed: u64,
    /// Their cost in bytes.
    pub shed_bytes: u64,
    /// How often the bus went down.
    pub interruptions: u64,
    /// How often the client library said that it dropped messages itself. Not a count of messages.
    pub slow_client: u64,
    /// Answers that found nobody waiting: second ones and late ones.
    pub ignored_replies: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) published: AtomicU64,
    pub(crate) published_bytes: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) shed: AtomicU64,
    pub(crate) shed_bytes: AtomicU64,
    pub(crate) interruptions: AtomicU64,
    pub(crate) slow_client: AtomicU64,
}

impl Counters {
    /// Counts one publish by its result, which it gives back.
    pub(crate) fn publish(
        &self,
        body_bytes: usize,
        result: Result<(), PublishError>,
    ) -> Result<(), PublishError> {
        if result.is_ok() {
            self.published.fetch_add(1, Ordering::Relaxed);
            self.published_bytes
                .fetch_add(body_bytes as u64, Ordering::Relaxed);
        } else {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}
