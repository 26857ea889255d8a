//! Owns the connection: makes it, confirms interest, notices its end, makes the next.

use std::{
    io,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber};
use futures_util::StreamExt as _;
use tengen_protocol::subject::decode_token;
use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{NatsOptions, Shared, convert, pump::Entry};
use crate::{
    error::SubscribeError,
    inbox::{Answer, Inbox},
};

/// The longest wait between two attempts to connect. Short, because everybody waits for it;
/// with jitter, because everybody does.
const MAX_RECONNECT_DELAY: Duration = Duration::from_millis(500);
/// With two pings unanswered a silent partition is noticed after 15 s at the latest.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the state is looked at without being told: the library may lose its own events.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What the handles ask of the supervisor.
pub(super) enum Command {
    Subscribe {
        entry: Arc<Entry>,
        done: oneshot::Sender<Result<(), SubscribeError>>,
    },
    /// Drains every subscription and names them.
    Drain {
        done: oneshot::Sender<Vec<Arc<Entry>>>,
    },
    Close,
}

pub(super) fn addresses(url: &str) -> io::Result<Vec<ServerAddr>> {
    let parse = |text: &str| {
        let address: ServerAddr = text.trim().parse()?;
        if address.host().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no host"));
        }
        Ok(address)
    };
    url.split(',').map(parse).collect()
}

/// The library reads addresses from a URL and ignores the credentials in it.
fn credentials(addresses: &[ServerAddr], options: ConnectOptions) -> ConnectOptions {
    let decoded = |text: &str| decode_token(text).unwrap_or_else(|_| text.to_owned());
    let Some((user, password)) = addresses
        .iter()
        .find_map(|address| Some((address.username()?, address.password())))
    else {
        return options;
    };
    match password {
        Some(password) => options.user_and_password(decoded(user), decoded(password)),
        // As all NATS clients read it: one word alone is a token.
        None => options.token(decoded(user)),
    }
}

/// Ends at [`Command::Close`], or when `end` is cancelled because nobody is left.
pub(super) async fn run(
    shared: Arc<Shared>,
    options: NatsOptions,
    addresses: Vec<ServerAddr>,
    mut commands: mpsc::Receiver<Command>,
    end: CancellationToken,
) {
    let mut supervisor = Supervisor {
        shared,
        options,
        addresses,
        subscriptions: Vec::new(),
    };
    tokio::select! {
        () = supervisor.connections(&mut commands) => {}
        () = end.cancelled() => {}
    }
    let client = supervisor.shared.client.write().take();
    supervisor.shared.down("closed");
    if let Some(client) = client {
        // Writes what the library still has, then closes the socket.
        let _ = tokio::time::timeout(CONFIRM_TIMEOUT, client.drain()).await;
    }
}

struct Supervisor {
    shared: Arc<Shared>,
    options: NatsOptions,
    addresses: Vec<ServerAddr>,
    subscriptions: Vec<Weak<Entry>>,
}

impl Supervisor {
    /// One client after the other, until closed. The library reconnects by itself; but its task
    /// ends for good when it meets a header that it cannot stand (async-nats 0.51 panics on a CR
    /// inside a value, which anybody may publish).
    async fn connections(&mut self, commands: &mut mpsc::Receiver<Command>) {
        loop {
            match self.connect().await {
                Ok(client) => {
                    let client = Arc::new(client);
                    if self.one_client(&client, commands).await {
                        return;
                    }
                }
                Err(error) => self.shared.down(&error.to_string()),
            }
            self.shared.client.write().take();
            let delay = rand::random_range(MAX_RECONNECT_DELAY / 2..=MAX_RECONNECT_DELAY);
            tokio::time::sleep(delay).await;
        }
    }

    async fn connect(&self) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
        // Weak: the client holds the callback, and what it points to holds the client.
        let shared = Arc::downgrade(&self.shared);
        let mut options = ConnectOptions::new()
            .name(&self.options.name)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .ping_interval(PING_INTERVAL)
            .connection_timeout(CONNECT_TIMEOUT)
            .reconnect_delay_callback(reconnect_delay)
            .subscription_capacity(self.options.client_queue)
            .client_capacity(self.options.max_pending)
            .request_timeout(None)
            // Ours is stricter and was done already.
            .skip_subject_validation(true)
            .event_callback(move |event| {
                let shared = shared.upgrade();
                async move {
                    if let Some(shared) = shared {
                        on_event(&shared, &event);
                    }
                }
            });
        options = credentials(&self.addresses, options);
        if let Some(credentials) = &self.options.credentials {
            options = options.credentials(credentials)?;
        }
        Ok(options.connect(self.addresses.as_slice()).await?)
    }

    /// Serves one client until it is of no use any more (`false`) or the bus is closed (`true`).
    async fn one_client(
        &mut self,
        client: &Arc<Client>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> bool {
        let Ok(inbox) = client.subscribe(self.shared.inbox.pattern()).await else {
            return false;
        };
        // A task of its own: answers must not wait for what the supervisor waits for.
        let mut answers = tokio::spawn(answer(Arc::clone(&self.shared.inbox), inbox));
        self.subscriptions.retain(|entry| entry.strong_count() > 0);
        for entry in self.subscriptions.clone() {
            let Some(entry) = entry.upgrade() else {
                continue;
            };
            if subscribe(client, &entry, self.shared.publish_timeout)
                .await
                .is_err()
            {
                return false;
            }
        }
        *self.shared.client.write() = Some(Arc::clone(client));
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connection = None;
        loop {
            tokio::select! {
                _ = &mut answers => {
                    self.shared.down("the connection was closed");
                    return false;
                }
                command = commands.recv() => match command {
                    None | Some(Command::Close) => return true,
                    Some(command) => self.command(client, command).await,
                },
                () = self.shared.changed.notified() => {}
                _ = look.tick() => {}
            }
            self.look(client, &mut connection).await;
        }
    }

    async fn command(&mut self, client: &Client, command: Command) {
        match command {
            Command::Subscribe { entry, done } => {
                let result = subscribe(client, &entry, self.shared.publish_timeout).await;
                if result.is_ok() {
                    self.subscriptions.retain(|entry| entry.strong_count() > 0);
                    self.subscriptions.push(Arc::downgrade(&entry));
                }
                // Nobody waits any more: then the entry is on its way out too.
                let _ = done.send(result);
            }
            Command::Drain { done } => {
                let entries: Vec<_> = self
                    .subscriptions
                    .iter()
                    .filter_map(Weak::upgrade)
                    .collect();
                entries.iter().for_each(|entry| entry.drain());
                let _ = done.send(entries);
            }
            Command::Close => {}
        }
    }

    /// Looks at the connection and confirms interest if it is a new one.
    async fn look(&self, client: &Client, known: &mut Option<(String, u64)>) {
        if self.shared.slow.swap(false, Ordering::SeqCst) {
            // Which subscription it was the library does not say: all of them may miss something.
            self.interrupt();
        }
        if client.connection_state() != async_nats::connection::State::Connected {
            if self.shared.up.load(Ordering::SeqCst) {
                self.shared.down("disconnected");
            }
            return;
        }
        let up = self.shared.up.load(Ordering::SeqCst);
        if up && known.as_ref() != identity(client).as_ref() {
            self.shared.down("reconnected");
        } else if up {
            return;
        }
        let disconnects = self.shared.disconnects.load(Ordering::SeqCst);
        if !self.round_trip(client).await {
            return;
        }
        *known = identity(client);
        let server = known.as_ref().map_or("", |(server, _)| server);
        // The marker first: who sees the bus up may rely on what was told before.
        self.interrupt();
        let clustered = client
            .try_server_info()
            .is_some_and(|info| info.cluster.is_some());
        if !self.shared.up(server, clustered, disconnects) {
            // Gone again meanwhile: look again at once.
            self.shared.changed.notify_one();
        }
    }

    fn interrupt(&self) {
        self.subscriptions
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|entry| entry.interrupt());
    }

    /// A message to ourselves. The library sends the subscriptions of a new connection before
    /// anything else, and the server works through them in order: when this is back, they count.
    async fn round_trip(&self, client: &Client) -> bool {
        let mut expected = self.shared.inbox.expect();
        let subject = expected.subject.clone().into_nats();
        let round = async {
            client.publish(subject, bytes::Bytes::new()).await.is_ok()
                && (&mut expected.answer).await.is_ok()
        };
        tokio::time::timeout(CONFIRM_TIMEOUT, round)
            .await
            .unwrap_or(false)
    }
}

/// Which connection this is: the server and its number for us, which is new each time.
fn identity(client: &Client) -> Option<(String, u64)> {
    client
        .try_server_info()
        .map(|info| (info.server_id, info.client_id))
}

async fn subscribe(
    client: &Client,
    entry: &Entry,
    timeout: Duration,
) -> Result<(), SubscribeError> {
    let subscribing = async {
        match &entry.group {
            Some(group) => {
                client
                    .queue_subscribe(entry.pattern.clone(), group.clone())
                    .await
            }
            None => client.subscribe(entry.pattern.clone()).await,
        }
    };
    let source = tokio::time::timeout(timeout, subscribing)
        .await
        .map_err(|_| SubscribeError::Timeout)?
        .map_err(|error| match error.kind() {
            async_nats::SubscribeErrorKind::InvalidSubject
            | async_nats::SubscribeErrorKind::InvalidQueueName => {
                SubscribeError::BadPattern("refused by the client library")
            }
            async_nats::SubscribeErrorKind::Other => SubscribeError::Timeout,
        })?;
    entry.feed(source);
    Ok(())
}

/// Hands answers to their requests until the client ends.
async fn answer(inbox: Arc<Inbox>, mut answers: Subscriber) {
    while let Some(message) = answers.next().await {
        let subject = message.subject.clone();
        let answer = match message.status {
            Some(async_nats::StatusCode::NO_RESPONDERS) => Answer::NoResponders,
            _ => Answer::Message(convert::inbound(message)),
        };
        inbox.resolve(&subject, answer);
    }
}

/// Runs on the library's event task, before anybody else knows.
fn on_event(shared: &Shared, event: &Event) {
    match event {
        Event::Connected => shared.changed.notify_one(),
        Event::Disconnected => shared.down("disconnected"),
        Event::Closed => shared.down("the connection was closed"),
        Event::SlowConsumer(_) => {
            shared.counters.slow_client.fetch_add(1, Ordering::Relaxed);
            shared.slow.store(true, Ordering::SeqCst);
            shared.changed.notify_one();
        }
        Event::ClientError(error) => {
            if !shared.up.load(Ordering::SeqCst) {
                shared.down(&error.to_string());
            }
        }
        Event::ServerError(error) => tracing::warn!(%error, "bus server complains"),
        Event::LameDuckMode => tracing::info!("bus server is shutting down"),
        Event::Draining => {}
    }
}

fn reconnect_delay(attempts: usize) -> Duration {
    // At once the first time: most of the time another server of the cluster is there.
    let ceiling = MAX_RECONNECT_DELAY
        .min(Duration::from_millis(50) * u32::try_from(attempts).unwrap_or(u32::MAX).min(10));
    rand::random_range(Duration::ZERO..=ceiling)
}
