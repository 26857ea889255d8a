//! `transports`: the same round trip, the same push and the same burst over a WebSocket and over long-poll, in turn.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tengen_client::{Client, Source, Transport, TransportChoice};
use tengen_protocol::Uid;
use tokio::{sync::mpsc, time::timeout};

use super::Run;
use crate::{
    compare::{self, Volume, Way},
    item,
    lean::{Books, Login},
    ledger::Ledger,
    push::To,
    relay::Relay,
    report::{Outcome, Report, Transports, VOLUME_RATIO},
};

/// One real client, and when each item came to it.
struct Peer {
    client: Client,
    uid: Uid,
    arrivals: mpsc::UnboundedReceiver<(u64, Instant)>,
    told: Arc<Mutex<Vec<String>>>,
    ledger: Ledger,
    pushed: u64,
}

impl Peer {
    async fn open(
        run: &Run,
        address: SocketAddr,
        login: &Login,
        transport: TransportChoice,
    ) -> Result<Peer> {
        let url = format!("ws://{address}{}", run.target.path);
        let mut builder = Client::builder(url).codec(run.codec).transport(transport);
        if let Some(cookie) = &login.cookie {
            builder = builder.header("cookie", cookie);
        }
        let client = builder.connect().await.context("the client was refused")?;
        let uid = login.uid.as_deref().context("logged in")?;
        let (sender, arrivals) = mpsc::unbounded_channel();
        let told = Arc::<Mutex<Vec<String>>>::default();
        let telling = Arc::clone(&told);
        client
            .on_any(move |event| {
                if let Some(number) = item::number_of(event.data()) {
                    // A run that has ended counts no more.
                    let _ = sender.send((number, Instant::now()));
                } else if event.source() == Source::Push {
                    let mut told = telling.lock().unwrap_or_else(PoisonError::into_inner);
                    told.push(event.id().to_string());
                }
            })
            .keep();
        Ok(Peer {
            client,
            uid: Uid::parse(uid)?,
            arrivals,
            told,
            ledger: Ledger::default(),
            pushed: 0,
        })
    }

    async fn echo(&self, stall: Duration) -> Result<Duration> {
        let begin = Instant::now();
        let echo = self.client.request::<u64>("example/echo", &1);
        let echo = timeout(stall, echo.into_future()).await?;
        ensure!(echo.is_ok(), "no echo: {echo:?}");
        Ok(begin.elapsed())
    }

    /// Pushes `count` items at once; how long the last took.
    async fn push(&mut self, run: &Run, count: u32) -> Result<Duration> {
        let mut items = Vec::with_capacity(count as usize);
        for _ in 0..count {
            self.pushed += 1;
            items.push((To::Uid(self.uid.clone()), run.item(self.pushed)?));
        }
        let begin = Instant::now();
        run.pusher.push(items).await?;
        let mut last = begin;
        for _ in 0..count {
            let arrival = timeout(run.stall, self.arrivals.recv()).await?;
            let (number, at) = arrival.context("the client lives")?;
            self.ledger.book(number);
            last = at;
        }
        Ok(last - begin)
    }

    async fn close(self, books: &mut Books) {
        books.verdict.add(self.ledger.close(self.pushed));
        let told = std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner));
        for text in told {
            *books.told.entry(text).or_default() += 1;
        }
        self.client.close().await;
    }
}

pub(super) async fn measure(run: &Run, rounds: u32, burst: u32) -> Result<Report> {
    let logins = run.target.login(&super::user_names(2))?;
    let begin = Instant::now();
    let relays = [
        Relay::start(run.target.address)?,
        Relay::start(run.target.address)?,
    ];
    let mut ws = Peer::open(run, relays[0].address, &logins[0], TransportChoice::Ws).await?;
    let mut poll = Peer::open(run, relays[1].address, &logins[1], TransportChoice::Poll).await?;
    let connect_time = begin.elapsed();
    for (peer, transport) in [(&ws, Transport::Ws), (&poll, Transport::Poll)] {
        let now = peer.client.state().borrow().transport;
        ensure!(now == Some(transport), "{now:?} instead of {transport:?}");
    }

    let mut ways = [
        Way::new("request, ws", "request, ws"),
        Way::new("request, poll", "request, ws"),
        Way::new("push, ws", "push, ws"),
        Way::new("push, parked poll", "push, ws"),
    ];
    for _ in 0..rounds {
        ways[0].took(ws.echo(run.stall).await?);
        ways[1].took(poll.echo(run.stall).await?);
        ways[2].took(ws.push(run, 1).await?);
        // The poll that brought the last answer is asked again at once; now it is parked.
        tokio::time::sleep(PARKING).await;
        ways[3].took(poll.push(run, 1).await?);
    }

    let mut volumes = Vec::new();
    for (transport, peer, relay) in [("ws", &mut ws, &relays[0]), ("poll", &mut poll, &relays[1])] {
        tokio::time::sleep(PARKING).await;
        let before = relay.to_clients();
        peer.push(run, burst).await?;
        let wire = relay.to_clients() - before;
        let payload = run.item(peer.pushed)?.len() as u64 * u64::from(burst);
        volumes.push(Volume::new(transport, burst, payload, wire));
    }
    let mut books = Books::default();
    ws.close(&mut books).await;
    poll.close(&mut books).await;
    let outcome = Outcome::Transports(Transports {
        rows: compare::rows(&ways),
        volumes,
        budget_ratio: VOLUME_RATIO,
    });
    Ok(run.report("transports", 2, connect_time, outcome, books))
}

/// From an answer to the next poll being parked: far more than the round trip of this machine.
const PARKING: Duration = Duration::from_millis(30);
