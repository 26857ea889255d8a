//! The clients of a test: mixed transports and codecs, each with its ledger, each sending numbered events of its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tengen_client::{Builder, Client, Codec, FailureKind, TransportChoice};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ledger::{Ledger, Verdict};
use crate::pace::Pace;
use crate::pushing::{Ends, name};
use crate::world::{World, eventually};

/// Between two events of one client.
const PACE: Duration = Duration::from_millis(250);

/// One client and what is known of it.
pub(crate) struct Visitor {
    pub client: Client,
    pub user: usize,
    /// The number of the node it connected to first.
    pub node: usize,
    pub ledger: Ledger,
    sending: JoinHandle<Outcomes>,
}

/// What became of the events that a client sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcomes {
    pub acknowledged: u64,
    /// Closed, and may have been handled.
    pub open: u64,
    /// Not sent, or refused: certainly not handled.
    pub failed: u64,
}

/// All clients of a test.
pub(crate) struct Visitors {
    pub all: Vec<Visitor>,
    stop: CancellationToken,
}

/// How a client is told to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Ws,
    Poll,
    Auto,
}

/// All of them.
pub(crate) const EVERY_WAY: &[By] = &[By::Ws, By::Poll, By::Auto];

impl By {
    /// A name for a user of its own.
    pub(crate) fn name(self) -> &'static str {
        match self {
            By::Ws => "ws",
            By::Poll => "poll",
            By::Auto => "auto",
        }
    }

    /// What carries its connection where nothing hinders it.
    pub(crate) fn transport(self) -> &'static str {
        match self {
            By::Ws | By::Auto => "ws",
            By::Poll => "poll",
        }
    }

    pub(crate) fn of(self, builder: Builder) -> Builder {
        builder.transport(match self {
            By::Ws => TransportChoice::Ws,
            By::Poll => TransportChoice::Poll,
            By::Auto => TransportChoice::Auto,
        })
    }
}

impl Visitors {
    /// `count` open clients, two of each user, spread over the addresses by `front`.
    pub(crate) async fn enter(
        world: &World,
        count: usize,
        front: impl Fn(usize) -> std::net::SocketAddr,
    ) -> Visitors {
        let users = count.div_ceil(2);
        let mut cookies = Vec::with_capacity(users);
        for user in 0..users {
            cookies.push(world.nodes[0].log_in(&name(user)).await);
        }
        let stop = CancellationToken::new();
        let nodes = world.nodes.len();
        let pace = Pace::of_this_run();
        let entering = (0..count).map(|number| {
            let (user, node) = (number % users, number % nodes);
            let builder = pace
                .client(&format!("ws://{}/chsk", front(node)))
                .header("cookie", &cookies[user])
                .client_id(format!("c{number}"))
                .codec([Codec::Cbor, Codec::Json][number / 3 % 2]);
            let builder = EVERY_WAY[number / 6 % EVERY_WAY.len()].of(builder);
            let (received, stop) = (world.received(number), stop.clone());
            async move {
                let client = builder.idle().expect("good settings");
                let ledger = Ledger::default();
                let books = ledger.clone();
                client
                    .on_any(move |event| match event.id().as_str() {
                        "t/n" => books.item(event.to().expect("a numbered item")),
                        "chsk/gap" => {
                            let data = event.to::<serde_json::Value>();
                            let data = data.map(|data| data.to_string());
                            books.gap(&data.unwrap_or_default());
                        }
                        _ => {}
                    })
                    .keep();
                client.connect().await.expect("it runs");
                eventually("the client is open", async || client.state().borrow().open).await;
                drop(received);
                Visitor {
                    sending: tokio::spawn(send(client.clone(), stop)),
                    client,
                    user,
                    node,
                    ledger,
                }
            }
        });
        Visitors {
            all: join_all(entering).await,
            stop,
        }
    }

    /// Ends what the clients send, waits until everything pushed has come to each, or is known to
    /// be lost, and closes the books.
    pub(crate) async fn leave(self, world: &World, ends: &Ends) -> Vec<Report> {
        self.stop.cancel();
        let mut reports = Vec::with_capacity(self.all.len());
        // An item is acknowledged when its node has counted it, and is then on its way to the service.
        // Of all clients together: what an outage of the bus took comes to none of them.
        let mut patience = Duration::from_secs(10);
        for (number, visitor) in self.all.into_iter().enumerate() {
            let outcomes =
                match tokio::time::timeout(Duration::from_secs(30), visitor.sending).await {
                    Ok(outcomes) => outcomes.expect("it does not panic"),
                    Err(_) => panic!(
                        "c{number} still waits for an outcome: {:?}",
                        visitor.client.state().borrow()
                    ),
                };
            let ends = ends.of(visitor.user);
            let received = world.received(number);
            // What does not come at all shows in the books.
            let _ = tokio::time::timeout(Duration::from_secs(30), async {
                while !visitor.ledger.is_complete(&ends) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
            let waits = tokio::time::Instant::now();
            let _ = tokio::time::timeout(patience, async {
                while received.count() < outcomes.acknowledged {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
            patience = patience.saturating_sub(waits.elapsed());
            reports.push(Report {
                client: format!("c{number}"),
                node: visitor.node,
                pushed: visitor.ledger.close(&ends),
                odd: visitor.ledger.odd(),
                outcomes,
                handled: received.count(),
                wrong: received.wrong(),
            });
            visitor.client.close().await;
        }
        reports
    }
}

/// The books of one client, closed.
#[derive(Debug)]
pub(crate) struct Report {
    pub client: String,
    pub node: usize,
    pub pushed: Verdict,
    /// What was odd about them first.
    pub odd: Vec<String>,
    pub outcomes: Outcomes,
    /// Events of this client that the service got, and how many of them twice or late.
    pub handled: u64,
    pub wrong: u64,
}

impl Report {
    /// What the client sent was handled once and in order, and it knows which.
    fn sent_is_honest(&self) -> bool {
        let sure = self.outcomes.acknowledged;
        self.wrong == 0 && (sure..=sure + self.outcomes.open).contains(&self.handled)
    }

    /// Nothing missing in either direction, no gap, no doubt.
    pub(crate) fn is_whole(&self) -> bool {
        self.pushed.is_whole() && self.sent_is_honest() && self.outcomes.open == 0
    }

    /// Nothing missing that was not told, nothing twice, nothing out of order.
    pub(crate) fn is_honest(&self) -> bool {
        self.pushed.is_honest() && self.sent_is_honest()
    }
}

/// Fails the test with the worst of the books unless all of them pass.
pub(crate) fn assert_all(what: &str, reports: &[Report], good: impl Fn(&Report) -> bool) {
    let bad: Vec<_> = reports.iter().filter(|report| !good(report)).collect();
    let mut sum = Verdict::default();
    reports.iter().for_each(|report| sum.add(&report.pushed));
    assert!(sum.arrived > 0, "nothing arrived at all");
    assert!(
        bad.is_empty(),
        "{what}: not {:?}; together {sum:?}; such as {:#?}",
        bad.iter()
            .map(|bad| (&bad.client, &bad.odd))
            .collect::<Vec<_>>(),
        &bad[..bad.len().min(3)]
    );
}

/// Sends 1, 2, 3 … and counts what becomes of them.
async fn send(client: Client, stop: CancellationToken) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for number in 1_u64.. {
        match client.send("t/up", &number).await {
            Ok(()) => outcomes.acknowledged += 1,
            Err(failure) if failure.kind == FailureKind::Closed && failure.sent => {
                outcomes.open += 1;
            }
            Err(_) => outcomes.failed += 1,
        }
        if tokio::time::timeout(PACE, stop.cancelled()).await.is_ok() {
            break;
        }
    }
    outcomes
}

/// One ledger for each client of what the service got.
pub(crate) type Services = Vec<Arc<crate::ledger::Received>>;
