//! One run: the node, the pusher, the figure asked for.

mod fanout;
mod idle;
mod presence;
mod reports;
mod resume;
mod throughput;
mod transports;
mod watchers;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use tengen_protocol::{Codec, EventId, Limits, OutFrame, RawEvent};

use crate::{
    floor::{self, Floor},
    item,
    lean::{Books, Opening, Swarm},
    node_process::NodeProcess,
    options::{Figure, Options, Via},
    process,
    push::{Pusher, To},
    report::{Outcome, Report, Speed},
    target::{self, Target},
};

/// What every figure needs.
pub(crate) struct Run {
    target: Target,
    pusher: Pusher,
    via: Via,
    codec: Codec,
    item_bytes: usize,
    readers: usize,
    stall: Duration,
    /// Ends the node with the run, if it was started for it.
    _node: Option<NodeProcess>,
    nats_url: Option<String>,
    prefix: String,
    /// Further nodes on the same NATS, where the figure needs them and we start nodes ourselves.
    others: Vec<NodeProcess>,
}

/// Starts or finds the node, measures, and says what was found.
///
/// # Errors
/// Whatever keeps the figure from being measured. A figure that is bad is no error.
pub(crate) async fn run(options: &Options) -> Result<Report> {
    let run = Run::prepare(options).await?;
    match options.figure {
        Figure::Idle {
            connections,
            anonymous,
            full_clients,
            poll,
        } => {
            let kind = match (full_clients, poll) {
                (true, _) => idle::Kind::Full,
                (_, true) => idle::Kind::Parked,
                _ => idle::Kind::Lean,
            };
            idle::measure(&run, connections as usize, anonymous, kind).await
        }
        Figure::Transports { rounds, burst } => transports::measure(&run, rounds, burst).await,
        Figure::Resume { rounds, items } => resume::measure(&run, rounds, items).await,
        Figure::Reports { rounds, pushes } => reports::measure(&run, rounds, pushes).await,
        Figure::Watchers {
            watchers,
            announcements,
        } => watchers::measure(&run, watchers as usize, announcements).await,
        Figure::Presence {
            nodes: _,
            users,
            rounds,
            idle_seconds,
        } => {
            let idle = Duration::from_secs(idle_seconds.into());
            presence::measure(&run, users as usize, rounds, idle).await
        }
        Figure::Fanout {
            clients,
            pushes,
            rounds,
        } => fanout::measure(&run, clients as usize, pushes, rounds).await,
        Figure::Throughput { users, rounds } => {
            throughput::measure(&run, users as usize, rounds).await
        }
    }
}

impl Run {
    async fn prepare(options: &Options) -> Result<Run> {
        let node = &options.node;
        if let Some(url) = &node.nats_url {
            target::loopback(url)?;
        }
        let (started, target) = match (node.binary(), &node.url) {
            (Some(binary), None) => {
                let started =
                    NodeProcess::start(&binary, node.nats_url.as_deref(), &node.prefix).await?;
                let target = started.target.clone();
                (Some(started), target)
            }
            (None, Some(url)) => (None, Target::running(url, node.admin.as_deref(), node.pid)?),
            _ => bail!("say which node: --node-binary PATH, or --url ws://127.0.0.1:8080/chsk"),
        };
        target.ready(Duration::from_secs(20)).await?;
        let wanted = match options.figure {
            Figure::Resume { .. } | Figure::Reports { .. } => 1,
            Figure::Presence { nodes, .. } => nodes - 1,
            _ => 0,
        };
        let mut others = Vec::new();
        if let (Some(_), Some(binary), Some(url)) = (&started, node.binary(), &node.nats_url) {
            for _ in 0..wanted {
                others.push(NodeProcess::start(&binary, Some(url), &node.prefix).await?);
            }
        }
        let items = &options.items;
        let via = items.via.unwrap_or(if node.nats_url.is_some() {
            Via::Batch
        } else {
            Via::Http
        });
        let codec = Codec::from(items.codec);
        let nats_url = node.nats_url.as_deref();
        let pusher = Pusher::connect(via, codec, nats_url, target.admin, &node.prefix).await?;
        Ok(Run {
            target,
            pusher,
            via,
            codec,
            item_bytes: items.item_bytes as usize,
            readers: usize::from(items.readers),
            stall: Duration::from_secs(items.stall_seconds.into()),
            _node: started,
            nats_url: node.nats_url.clone(),
            prefix: node.prefix.clone(),
            others,
        })
    }

    fn opening(&self) -> Opening {
        Opening {
            address: self.target.address,
            path: self.target.path.clone(),
            codec: self.codec,
        }
    }

    fn item(&self, number: u64) -> Result<Bytes> {
        item::event(self.codec, number, self.item_bytes)
    }

    /// The kernel's own speed with frames of exactly the size a client gets.
    async fn floor(&self, sockets: usize, rounds: u32) -> Result<Floor> {
        let raw = RawEvent::check(self.codec, self.item(1)?, &Limits::default())?;
        let frame = OutFrame::event(self.codec, &EventId::parse(raw.id())?, &raw.data())?;
        let bytes = frame.len();
        tokio::task::spawn_blocking(move || floor::measure(sockets, bytes, rounds)).await?
    }

    /// Pushes one round and waits until every item has been read. Deliveries and seconds.
    async fn round(&self, swarm: &Swarm, items: Vec<(To, Bytes)>, each: u64) -> Result<(u64, f64)> {
        let deliveries = items.len() as u64 * each;
        let progress = swarm.progress().clone();
        progress.expect(progress.received() + deliveries);
        let begin = Instant::now();
        let stall = self.stall;
        let waiting = tokio::task::spawn_blocking(move || progress.wait(stall));
        self.pusher.push(items).await?;
        match waiting.await? {
            Some(end) => Ok((deliveries, (end - begin).as_secs_f64())),
            // The ledger says below who misses what.
            None => Ok((deliveries, f64::INFINITY)),
        }
    }

    fn node_cpu(&self) -> Result<Option<f64>> {
        self.target
            .pid
            .map(|pid| Ok(process::cpu_time(pid)?.as_secs_f64()))
            .transpose()
    }

    fn report(
        &self,
        figure: &'static str,
        connections: usize,
        connect_time: Duration,
        result: Outcome,
        books: Books,
    ) -> Report {
        let budget_met = result.budget_met();
        Report {
            figure,
            connections,
            connects_per_second: connections as f64 / connect_time.as_secs_f64(),
            via: self.via,
            result,
            ledger: books.verdict,
            clean: books.verdict.is_clean() && books.told.is_empty(),
            told: books.told.into_iter().collect(),
            budget_met,
        }
    }

    fn pid(&self) -> Result<u32> {
        self.target
            .pid
            .context("whose memory? say --pid, or let --node-binary start the node")
    }
}

/// A finished series of rounds, with the floor before and after it.
struct Series {
    rounds: Vec<(u64, f64)>,
    floors: [Floor; 2],
    budget: f64,
    cpu: Option<f64>,
}

impl Series {
    fn outcome(self) -> Outcome {
        Outcome::Speed(Speed::new(&self.rounds, self.floors, self.budget, self.cpu))
    }
}

/// Users of this run alone: a running node may still hold the sessions of an earlier one, and
/// would push to those as well.
fn user_names(count: usize) -> Vec<String> {
    let run = std::process::id();
    (0..count)
        .map(|index| format!("load-{run}-{index}"))
        .collect()
}
