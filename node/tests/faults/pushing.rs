//! A steady stream of numbered pushes from outside: plain NATS messages, and batches.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tengen_bus::push::{Publisher, Push, Target};
use tengen_bus::{Bus, Health, NatsOptions};
use tengen_protocol::subject::Subjects;
use tengen_protocol::{Codec, Uid};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ledger::{BATCH_ALL, BATCH_UID, PLAIN_ALL, PLAIN_UID, Stream};
use crate::world::soon;

/// Between two rounds of pushes; a round is one push each to a tenth of the users.
const PACE: Duration = Duration::from_millis(20);
/// Every so many rounds also one to everybody.
const ALL_EVERY: u64 = 10;

/// The pushers at work.
pub(crate) struct Pushing {
    stop: CancellationToken,
    plain: JoinHandle<Sent>,
    batch: JoinHandle<Sent>,
}

/// How many items each stream of each user has.
pub(crate) struct Sent {
    users: Vec<u64>,
    all: u64,
    order: u64,
}

/// What both have sent.
pub(crate) struct Ends {
    plain: Sent,
    batch: Sent,
}

impl Ends {
    /// The last numbers of the streams that a client of this user gets.
    pub(crate) fn of(&self, user: usize) -> [(Stream, u64); 4] {
        [
            (PLAIN_UID, self.plain.users[user]),
            (PLAIN_ALL, self.plain.all),
            (BATCH_UID, self.batch.users[user]),
            (BATCH_ALL, self.batch.all),
        ]
    }
}

/// The name of a user by number.
pub(crate) fn name(user: usize) -> String {
    format!("user{user}")
}

impl Pushing {
    /// Begins to push to users 0 to `users`, by a plain publisher and a batch publisher, each
    /// with a connection of its own.
    pub(crate) async fn start(plain_url: &str, batch_url: &str, users: usize) -> Pushing {
        let stop = CancellationToken::new();
        let nats = async_nats::connect(plain_url).await.expect("connected");
        let bus = Bus::nats(NatsOptions::new(batch_url))
            .await
            .expect("the url is good");
        let mut health = bus.health();
        soon("the bus is up", health.wait_for(Health::is_up))
            .await
            .expect("the bus lives");
        let publisher = Publisher::start(bus, &Subjects::default());
        Pushing {
            plain: tokio::spawn(plain(nats, users, stop.clone())),
            batch: tokio::spawn(batch(publisher, users, stop.clone())),
            stop,
        }
    }

    /// Ends the streams and says where they ended.
    pub(crate) async fn stop(self) -> Ends {
        self.stop.cancel();
        Ends {
            plain: self.plain.await.expect("the publisher does not panic"),
            batch: self.batch.await.expect("the publisher does not panic"),
        }
    }
}

/// Whom one push is for.
enum To {
    User(usize),
    All,
}

impl Sent {
    fn new(users: usize) -> Sent {
        Sent {
            users: vec![0; users],
            all: 0,
            order: 0,
        }
    }

    /// The pushes of a round, each with its event.
    fn round(&mut self, round: u64, streams: (Stream, Stream)) -> Vec<(To, Bytes)> {
        let users = self.users.len();
        let some = (users / 10).max(1);
        let first = usize::try_from(round).unwrap_or(0) * some;
        let mut pushes = Vec::with_capacity(some + 1);
        for user in (first..first + some).map(|user| user % users) {
            self.users[user] += 1;
            let number = self.users[user];
            pushes.push((To::User(user), self.event(streams.0, number)));
        }
        if round.is_multiple_of(ALL_EVERY) {
            self.all += 1;
            pushes.push((To::All, self.event(streams.1, self.all)));
        }
        pushes
    }

    fn event(&mut self, stream: Stream, number: u64) -> Bytes {
        self.order += 1;
        json!(["t/n", [stream, number, self.order]])
            .to_string()
            .into()
    }
}

/// Pushes as a stranger does who knows nothing but NATS.
async fn plain(nats: async_nats::Client, users: usize, stop: CancellationToken) -> Sent {
    let mut sent = Sent::new(users);
    for round in 0.. {
        for (to, event) in sent.round(round, (PLAIN_UID, PLAIN_ALL)) {
            let subject = match to {
                To::User(user) => format!("tengen.send-to.uid.{}", name(user)),
                To::All => "tengen.send-to.all".to_owned(),
            };
            nats.publish(subject, event).await.expect("published");
        }
        if pause(&stop).await {
            break;
        }
    }
    nats.flush().await.expect("flushed");
    sent
}

/// Pushes as a busy service does. What the bus refuses has used up its numbers.
async fn batch(publisher: Publisher, users: usize, stop: CancellationToken) -> Sent {
    let mut sent = Sent::new(users);
    for round in 0.. {
        for (to, event) in sent.round(round, (BATCH_UID, BATCH_ALL)) {
            let target = match to {
                To::User(user) => Target::Uid(Uid::parse(&name(user)).expect("a uid")),
                To::All => Target::All,
            };
            // Its loss is what the receivers notice by the numbers.
            let _ = publisher.push(&Push::new(target, Codec::Json, event)).await;
        }
        if pause(&stop).await {
            break;
        }
    }
    sent
}

async fn pause(stop: &CancellationToken) -> bool {
    tokio::time::timeout(PACE, stop.cancelled()).await.is_ok()
}
