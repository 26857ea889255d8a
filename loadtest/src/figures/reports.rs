//! `reports`: what it costs to ask whom a push reached, next to a plain push and to a bare round trip.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tengen_bus::{Bus, Health, NatsOptions, PendingReply, Publish};
use tengen_protocol::{Codec, Uid, subject::Subjects};

use super::Run;
use crate::{
    compare::{self, Way},
    lean::{Opening, Swarm},
    process,
    report::{Cost, Outcome, Report, Reports},
};

/// Pushes under way at once, read by their clients before the next come: far below what makes a
/// slow consumer of anybody.
const CHUNK: u64 = 1_000;
/// Chunks of one kind in a row: the kernel counts processor time in hundredths of a second.
const CHUNKS: u64 = 10;
/// Requests under way at once.
const ASKERS: usize = 64;
/// Nodes take some seconds until they know each other.
const ACQUAINTED: Duration = Duration::from_secs(30);

/// The users: one on the first node, one on both.
struct Scene<'r> {
    run: &'r Run,
    bus: Bus,
    users: [(String, Value); 2],
    swarms: [Swarm; 2],
    pids: Vec<u32>,
    /// The number of the last item each of them got.
    number: u64,
}

pub(super) async fn measure(run: &Run, rounds: u32, pushes: u32) -> Result<Report> {
    let mut scene = Scene::open(run).await?;
    scene.acquainted().await?;
    let mut ways = [
        Way::new("round trip through NATS", "round trip through NATS"),
        Way::new("report, user on 1 node", "round trip through NATS"),
        Way::new("report, user on 2 nodes", "round trip through NATS"),
    ];
    for _ in 0..rounds {
        ways[0].took(scene.bus.ping(run.stall).await?);
        scene.number += 1;
        for user in 0..2 {
            let asked = Instant::now();
            scene.ask(user, scene.number).await?;
            ways[user + 1].took(asked.elapsed());
        }
    }
    let costs = scene.costs(u64::from(pushes)).await?;
    let connect_time = scene.swarms[0].connect_time;
    let expected = scene.number;
    let [first, second] = scene.swarms;
    let mut books = first.finish(expected)?;
    let others = second.finish(expected)?;
    books.verdict.add(others.verdict);
    books.told.extend(others.told);
    let outcome = Outcome::Reports(Reports {
        rows: compare::rows(&ways),
        costs,
    });
    Ok(run.report("reports", 3, connect_time, outcome, books))
}

impl Scene<'_> {
    async fn open(run: &Run) -> Result<Scene<'_>> {
        let needs = "reports needs NATS and starts two nodes: --nats-url and --node-binary";
        let (other, url) = (
            run.others.first().context(needs)?,
            run.nats_url.as_ref().context(needs)?,
        );
        let bus = Bus::nats(NatsOptions::new(url).name("tengen-loadtest")).await?;
        let mut health = bus.health();
        tokio::time::timeout(run.stall, health.wait_for(Health::is_up)).await??;
        let subjects = Subjects::new(&run.prefix)?;
        let names = super::user_names(2);
        let subject =
            |name: &String| Ok::<_, anyhow::Error>(subjects.send_to_uid(&Uid::parse(name)?));
        let report = |nodes| json!({"clients": nodes, "nodes": nodes, "missing": 0});
        let users = [
            (subject(&names[0])?, report(1)),
            (subject(&names[1])?, report(2)),
        ];
        let there = Opening {
            address: other.target.address,
            path: other.target.path.clone(),
            codec: run.codec,
        };
        let here = run.target.login(&names)?;
        let away = other.target.login(&names[1..])?;
        let swarms = [
            Swarm::connect(&run.opening(), &here, run.readers)?,
            Swarm::connect(&there, &away, run.readers)?,
        ];
        let pids = [run.target.pid, other.target.pid];
        let pids = pids.into_iter().collect::<Option<_>>().context(needs)?;
        Ok(Scene {
            run,
            bus,
            users,
            swarms,
            pids,
            number: 0,
        })
    }

    fn push(&self, user: usize, number: u64) -> Result<Publish> {
        let push = Publish::new(self.users[user].0.as_str(), self.run.item(number)?);
        Ok(match self.run.codec {
            Codec::Cbor => push.header("Content-Type", "application/cbor"),
            Codec::Json => push,
        })
    }

    /// Pushes one item and waits for its report, which has to be right.
    async fn ask(&self, user: usize, number: u64) -> Result<()> {
        let asked = self.bus.start_request(self.push(user, number)?).await?;
        self.take(user, Some(asked)).await
    }

    async fn take(&self, user: usize, asked: Option<PendingReply>) -> Result<()> {
        let answer = asked.context("a request")?.answer(self.run.stall).await?;
        let answer: Value = serde_json::from_slice(&answer.body)?;
        let expected = &self.users[user].1;
        ensure!(answer == *expected, "{answer} instead of {expected}");
        Ok(())
    }

    /// Waits until the reports are right: the nodes know of each other's users.
    async fn acquainted(&mut self) -> Result<()> {
        let deadline = Instant::now() + ACQUAINTED;
        loop {
            self.number += 1;
            let mut right = true;
            for user in 0..2 {
                let push = self.push(user, self.number)?;
                let answer = self.bus.request(push, Duration::from_secs(1)).await;
                let told = answer
                    .ok()
                    .map(|answer| serde_json::from_slice::<Value>(&answer.body));
                right &= matches!(told, Some(Ok(told)) if told == self.users[user].1);
            }
            if right {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the nodes do not know each other"
            );
        }
    }

    /// The same number of pushes to each user, plain and asked about, in turn.
    async fn costs(&mut self, pushes: u64) -> Result<Vec<Cost>> {
        let cost = |name| Cost {
            name,
            pushes: 0,
            per_second: 0.0,
            nodes_cpu_micros: 0.0,
        };
        let mut costs = [
            cost("plain push, 1 node"),
            cost("push with report, 1 node"),
            cost("plain push, 2 nodes"),
            cost("push with report, 2 nodes"),
        ];
        // Seconds of the clock and of the processors.
        let mut spent = [(0.0, 0.0); 4];
        while costs[0].pushes < pushes {
            for user in 0..2 {
                for (way, asked) in [(2 * user, false), (2 * user + 1, true)] {
                    let from = self.number + if asked { CHUNKS * CHUNK } else { 0 };
                    let (begin, cpu) = (Instant::now(), self.cpu()?);
                    for chunk in 0..CHUNKS {
                        self.chunk(user, from + chunk * CHUNK, asked).await?;
                    }
                    spent[way].0 += begin.elapsed().as_secs_f64();
                    spent[way].1 += self.cpu()? - cpu;
                    costs[way].pushes += CHUNKS * CHUNK;
                }
            }
            self.number += 2 * CHUNKS * CHUNK;
        }
        for (cost, (seconds, cpu)) in costs.iter_mut().zip(spent) {
            cost.per_second = cost.pushes as f64 / seconds;
            cost.nodes_cpu_micros = cpu * 1e6 / cost.pushes as f64;
        }
        Ok(costs.into())
    }

    /// Pushes the items behind `from` to one user and waits until their clients have read them.
    async fn chunk(&self, user: usize, from: u64, asked: bool) -> Result<()> {
        let read: Vec<_> = self.swarms[..=user]
            .iter()
            .map(|swarm| {
                let progress = swarm.progress().clone();
                progress.expect(progress.received() + CHUNK);
                let stall = self.run.stall;
                tokio::task::spawn_blocking(move || progress.wait(stall))
            })
            .collect();
        let numbers = from + 1..=from + CHUNK;
        if asked {
            // Published in order; the oldest answer is taken when the window is full.
            let mut under_way = VecDeque::new();
            for number in numbers {
                let push = self.push(user, number)?;
                under_way.push_back(self.bus.start_request(push).await?);
                if under_way.len() == ASKERS {
                    self.take(user, under_way.pop_front()).await?;
                }
            }
            while !under_way.is_empty() {
                self.take(user, under_way.pop_front()).await?;
            }
        } else {
            for number in numbers {
                self.bus.publish(self.push(user, number)?).await?;
            }
        }
        for read in read {
            ensure!(read.await?.is_some(), "the clients read nothing any more");
        }
        Ok(())
    }

    /// Processor seconds of all nodes.
    fn cpu(&self) -> Result<f64> {
        let of = |pid: &u32| Ok(process::cpu_time(*pid)?.as_secs_f64());
        self.pids.iter().map(of).sum()
    }
}
