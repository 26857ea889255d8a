//! The bus over NATS: fails at once while it is down, keeps nothing back, and never gives up.

mod convert;
mod pump;
mod supervisor;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::client::traits::Publisher as _;
use futures_util::FutureExt as _;
use parking_lot::RwLock;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    bus::Counters,
    error::{ConnectError, PublishError, SubscribeError},
    health::Health,
    inbox::Inbox,
    message::{DEFAULT_PUBLISH_TIMEOUT, Publish, Subscribe},
    queue::Queue,
    subscription::{Interest, Subscription},
};

const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How to reach NATS.
#[derive(Clone)]
pub struct NatsOptions {
    /// `nats://[user:password@ or token@]host[:port]`, several separated by commas; `tls://` for TLS.
    /// Reserved characters in the credentials are percent-encoded; the first that has some counts.
    pub url: String,
    /// What the connection is called in the server's monitoring.
    pub name: String,
    /// The content of a NATS `.creds` file, if the server wants one.
    pub credentials: Option<String>,
    /// The longest that a publish may wait for the connection to take it (1 s).
    pub publish_timeout: Duration,
    /// Publishes that may wait inside the client library for the connection (2,048). They are what
    /// a sudden outage may still send late, so keep it small.
    pub max_pending: usize,
    /// Messages of one subscription that may wait inside the client library for our own queue
    /// (1,048,576). The library drops silently above it, so it is far more than one read of its
    /// socket can bring; the places cost nothing until they are taken.
    pub client_queue: usize,
}

impl NatsOptions {
    /// Defaults for `url`.
    pub fn new(url: impl Into<String>) -> NatsOptions {
        NatsOptions {
            url: url.into(),
            name: "tengen".to_owned(),
            credentials: None,
            publish_timeout: DEFAULT_PUBLISH_TIMEOUT,
            max_pending: 2048,
            client_queue: 1 << 20,
        }
    }

    /// Calls the connection `name`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> NatsOptions {
        self.name = name.into();
        self
    }
}

// By hand, because the URL may hold a password.
impl fmt::Debug for NatsOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NatsOptions")
            .field("name", &self.name)
            .field("publish_timeout", &self.publish_timeout)
            .finish_non_exhaustive()
    }
}

/// A [`crate::Bus`] over NATS.
pub(crate) struct Link {
    shared: Arc<Shared>,
    commands: mpsc::Sender<supervisor::Command>,
    pumps: TaskTracker,
    /// Ends the supervisor and with it the connection, once no handle and no subscription is left.
    _end: DropGuard,
}

/// What the handle, the supervisor and the library's event callback share.
struct Shared {
    client: RwLock<Option<Arc<async_nats::Client>>>,
    up: AtomicBool,
    health: watch::Sender<Health>,
    /// Raised by every disconnect, so that a confirmation that raced with one does not count.
    disconnects: AtomicU64,
    /// The supervisor should look: connected, disconnected, dropped something.
    changed: Notify,
    /// The library said that a subscription of ours was too slow; which one it does not say.
    slow: AtomicBool,
    draining: AtomicBool,
    inbox: Arc<Inbox>,
    counters: Arc<Counters>,
    publish_timeout: Duration,
}

impl Shared {
    fn down(&self, why: &str) {
        self.health.send_if_modified(|health| {
            self.disconnects.fetch_add(1, Ordering::SeqCst);
            self.up.store(false, Ordering::SeqCst);
            match health {
                Health::Up { .. } => {
                    tracing::warn!(why, "bus down");
                    self.counters.interruptions.fetch_add(1, Ordering::Relaxed);
                    *health = Health::down(why);
                    true
                }
                Health::Down { why: known, .. } => {
                    let news = &**known != why;
                    if news {
                        tracing::warn!(why, "bus still down");
                        *known = why.into();
                    }
                    news
                }
            }
        });
        self.changed.notify_one();
    }

    /// Up, unless it went down since `disconnects` was read.
    fn up(&self, server: &str, clustered: bool, disconnects: u64) -> bool {
        self.health.send_if_modified(|health| {
            let current = self.disconnects.load(Ordering::SeqCst) == disconnects;
            if current {
                tracing::info!(server, "bus up");
                *health = Health::up(server, clustered);
                self.up.store(true, Ordering::SeqCst);
            }
            current
        })
    }

    /// The client, if publishing through it has a chance.
    fn live(&self) -> Option<Arc<async_nats::Client>> {
        if !self.up.load(Ordering::Acquire) {
            return None;
        }
        let client = self.client.read().clone()?;
        // The library's events go through a short queue; its state is right at once.
        (client.connection_state() == async_nats::connection::State::Connected).then_some(client)
    }
}

impl Link {
    pub(crate) fn start(options: NatsOptions) -> Result<Arc<Link>, ConnectError> {
        let addresses = supervisor::addresses(&options.url).map_err(ConnectError::BadUrl)?;
        let shared = Arc::new(Shared {
            client: RwLock::new(None),
            up: AtomicBool::new(false),
            health: watch::Sender::new(Health::down("connecting")),
            disconnects: AtomicU64::new(0),
            changed: Notify::new(),
            slow: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            inbox: Inbox::new(),
            counters: Arc::default(),
            publish_timeout: options.publish_timeout,
        });
        let (commands, receiver) = mpsc::channel(64);
        let end = CancellationToken::new();
        let pumps = TaskTracker::new();
        tokio::spawn(supervisor::run(
            Arc::clone(&shared),
            options,
            addresses,
            receiver,
            end.clone(),
        ));
        Ok(Arc::new(Link {
            shared,
            commands,
            pumps,
            _end: end.drop_guard(),
        }))
    }

    pub(crate) async fn publish(&self, message: Publish) -> Result<(), PublishError> {
        let body_bytes = message.body.len();
        let result = self.try_publish(message).await;
        self.shared.counters.publish(body_bytes, result)
    }

    async fn try_publish(&self, message: Publish) -> Result<(), PublishError> {
        let client = self.shared.live().ok_or(PublishError::BusDown)?;
        let bytes = message.headers.wire_len() + message.body.len();
        crate::check::publish(&message, client.max_payload())?;
        let sending = client.publish_message(convert::outbound(message));
        tokio::pin!(sending);
        // Almost always the library takes it at once: no timer then.
        let sent = match sending.as_mut().now_or_never() {
            Some(sent) => sent,
            None => tokio::time::timeout(self.shared.publish_timeout, sending)
                .await
                .map_err(|_| PublishError::Timeout)?,
        };
        sent.map_err(|error| match error.kind() {
            async_nats::PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge {
                bytes,
                max: client.max_payload(),
            },
            async_nats::PublishErrorKind::InvalidSubject => {
                PublishError::BadSubject("refused by the client library")
            }
            // The library's task is gone; the supervisor makes a new one.
            async_nats::PublishErrorKind::Send => PublishError::BusDown,
        })
    }

    pub(crate) async fn subscribe(
        self: &Arc<Link>,
        pattern: &str,
        options: Subscribe,
    ) -> Result<Subscription, SubscribeError> {
        if self.shared.draining.load(Ordering::SeqCst) {
            return Err(SubscribeError::Closed);
        }
        let queue = Arc::new(Queue::new(
            options.max_queue_bytes,
            Arc::clone(&self.shared.counters),
        ));
        let entry = Arc::new(pump::Entry::new(pattern, options.queue, Arc::clone(&queue)));
        let stop = CancellationToken::new();
        self.pumps
            .spawn(pump::run(Arc::clone(&entry), stop.clone()));
        let lease = Lease {
            _link: Arc::clone(self),
            _stop: stop.drop_guard(),
        };
        let subscription = Subscription::new(queue, Interest::Nats(lease));
        let (done, registered) = oneshot::channel();
        self.commands
            .send(supervisor::Command::Subscribe { entry, done })
            .await
            .map_err(|_| SubscribeError::Closed)?;
        registered.await.map_err(|_| SubscribeError::Closed)??;
        self.confirm().await?;
        Ok(subscription)
    }

    /// While up, waits until the server has what was sent so far; while down there is nothing to
    /// wait for, the supervisor confirms everything when the bus is back.
    async fn confirm(&self) -> Result<(), SubscribeError> {
        let mut expected = self.shared.inbox.expect();
        let message = Publish::new(expected.subject.clone(), bytes::Bytes::new());
        match self.try_publish(message).await {
            Err(PublishError::Timeout) => return Err(SubscribeError::Timeout),
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        let mut health = self.health();
        let confirmed = async {
            tokio::select! {
                _ = &mut expected.answer => {}
                _ = health.wait_for(|health| !health.is_up()) => {}
            }
        };
        tokio::time::timeout(self.shared.publish_timeout, confirmed)
            .await
            .map_err(|_| SubscribeError::Timeout)
    }

    pub(crate) async fn drain(&self) {
        if self.shared.draining.swap(true, Ordering::SeqCst) {
            return;
        }
        let ended = async {
            // First a round trip, so that everything published before has come back: the library
            // forgets a draining subscription before the server has answered.
            let _ = self.confirm().await;
            let (done, drained) = oneshot::channel();
            if self
                .commands
                .send(supervisor::Command::Drain { done })
                .await
                .is_ok()
            {
                for pump in drained.await.unwrap_or_default() {
                    pump.ended().await;
                }
            }
        };
        // A server that does not answer must not hold up a shutdown.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, ended).await;
        let _ = self.commands.send(supervisor::Command::Close).await;
        self.shared.down("drained");
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.shared.inbox
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    pub(crate) fn max_payload(&self) -> usize {
        self.shared
            .client
            .read()
            .as_ref()
            .map_or(1 << 20, |client| client.max_payload())
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Link")
            .field("health", &*self.shared.health.borrow())
            .finish()
    }
}

/// Keeps the connection while the subscription lives; ends the pump, and with it the interest.
pub(crate) struct Lease {
    _stop: DropGuard,
    _link: Arc<Link>,
}

impl fmt::Debug for Lease {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Lease")
    }
}

#[cfg(test)]
mod tests;
