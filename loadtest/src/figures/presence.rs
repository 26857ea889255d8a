//! `presence`: what who-is-online costs real nodes: messages, bytes and processor time, while nothing happens and for each change.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tengen_bus::{Bus, Delivery, Health, NatsOptions, Subscribe, Subscription};
use tokio::time::sleep;

use super::Run;
use crate::{
    http::Http,
    lean::{Opening, Swarm},
    process::scheduled_time,
    report::{Outcome, Presence, PresenceChange, Report},
    target::Target,
};

/// Until the nodes know each other, or all that came or went has been told.
const LIMIT: Duration = Duration::from_secs(60);
/// Behind the last change: what is still on its way belongs to it.
const QUIET: Duration = Duration::from_secs(2);

/// The nodes, and who listens to all that they say to each other.
struct Scene<'r> {
    run: &'r Run,
    nodes: Vec<Target>,
    heard: Arc<Heard>,
}

/// Whatever is published, but for pushes, of which there are none.
#[derive(Default)]
struct Heard {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// What has been used up to a moment: nodes' processor seconds, each its own, and the bus.
struct Spent {
    at: Instant,
    seconds: f64,
    processor: Vec<f64>,
    messages: u64,
    bytes: u64,
}

pub(super) async fn measure(
    run: &Run,
    users: usize,
    rounds: u32,
    idle: Duration,
) -> Result<Report> {
    let scene = Scene::open(run).await?;
    scene.all_count(0).await?;
    sleep(QUIET).await;
    let before = scene.spent()?;
    sleep(idle).await;
    let idle = scene.spent()?.less(&before);
    let names = super::user_names(2 * users);
    let (coming, crowd) = names.split_at(users);
    let mut changes = Vec::new();
    changes.push(scene.change(coming, 0, rounds, &idle).await?);
    // The same once more, with as many others there, at a node of their own that is not measured.
    let there = scene.connect(scene.nodes.len() - 1, crowd)?;
    let connect_time = there.connect_time;
    changes.push(scene.change(coming, users, rounds, &idle).await?);
    let books = there.finish(0)?;
    let minutes = idle.seconds / 60.0 * scene.nodes.len() as f64;
    let outcome = Outcome::Presence(Presence {
        nodes: scene.nodes.len(),
        idle_messages_per_minute: idle.messages as f64 / minutes,
        idle_bytes_per_minute: idle.bytes as f64 / minutes,
        idle_cpu_millis_per_minute: idle.processor.iter().sum::<f64>() * 1e3 / minutes,
        changes,
    });
    Ok(run.report("presence", users, connect_time, outcome, books))
}

impl Scene<'_> {
    async fn open(run: &Run) -> Result<Scene<'_>> {
        let needs = "presence needs NATS and starts its nodes: --nats-url and --node-binary";
        let url = run.nats_url.as_ref().context(needs)?;
        ensure!(run.others.len() >= 2, needs);
        let bus = Bus::nats(NatsOptions::new(url).name("tengen-loadtest")).await?;
        let mut health = bus.health();
        tokio::time::timeout(run.stall, health.wait_for(Health::is_up)).await??;
        let all = format!("{}.>", run.prefix);
        let heard = Arc::new(Heard::default());
        let listening = bus.subscribe(&all, Subscribe::default()).await?;
        tokio::spawn(listen(bus, listening, heard.clone()));
        let others = run.others.iter().map(|node| node.target.clone());
        let nodes = std::iter::once(run.target.clone()).chain(others).collect();
        Ok(Scene { run, nodes, heard })
    }

    fn connect(&self, node: usize, users: &[String]) -> Result<Swarm> {
        let target = &self.nodes[node];
        let opening = Opening {
            address: target.address,
            path: target.path.clone(),
            codec: self.run.codec,
        };
        Swarm::connect(&opening, &target.login(users)?, self.run.readers)
    }

    /// All of `users` come to the first node and go again, `rounds` times, while `around` others stay
    /// where they are.
    async fn change(
        &self,
        users: &[String],
        around: usize,
        rounds: u32,
        idle: &Spent,
    ) -> Result<PresenceChange> {
        // Neither the node where they come and go, whose sockets cost far more, nor that of the crowd.
        let hearing = 1..self.nodes.len() - 1;
        let at_a_node = |of: &Spent| {
            let all = of.processor[hearing.clone()].iter().sum::<f64>();
            all / hearing.len() as f64
        };
        let (mut messages, mut bytes, mut processor) = (0.0, 0.0, 0.0);
        for _ in 0..rounds {
            self.all_count(around).await?;
            sleep(QUIET).await;
            let before = self.spent()?;
            let swarm = self.connect(0, users)?;
            self.all_count(around + users.len()).await?;
            sleep(QUIET / 4).await;
            // Only until here: while they wait the grace out, what an idle node does is more than this.
            let came = self.spent()?.less(&before);
            processor += at_a_node(&came) - at_a_node(idle) * came.seconds / idle.seconds;
            swarm.finish(0)?;
            self.all_count(around).await?;
            sleep(QUIET).await;
            let all = self.spent()?.less(&before);
            let share = all.seconds / idle.seconds;
            messages += all.messages as f64 - idle.messages as f64 * share;
            bytes += all.bytes as f64 - idle.bytes as f64 * share;
        }
        let came = u64::from(rounds) * users.len() as u64;
        Ok(PresenceChange {
            users_around: around,
            changes: 2 * came,
            changes_per_message: 2.0 * came as f64 / messages.max(1.0),
            bytes: bytes / (2.0 * came as f64),
            cpu_micros_at_a_node: processor * 1e6 / came as f64,
        })
    }

    /// Waits until every node counts so many users.
    async fn all_count(&self, users: usize) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        for node in &self.nodes {
            let admin = node.admin.context("a node without an admin port")?;
            loop {
                let asked = move || Http::connect(admin)?.get("/v1/connected-uids?count=true");
                let answer = tokio::task::spawn_blocking(asked).await??;
                let told: Value = serde_json::from_slice(&answer.body)?;
                if told["ready"] == true && told["any"] == users {
                    break;
                }
                ensure!(Instant::now() < deadline, "{told} instead of {users} users");
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    fn spent(&self) -> Result<Spent> {
        let pids = self.nodes.iter().map(|node| node.pid);
        let processor = pids.map(|pid| {
            let time = scheduled_time(pid.context("a node without a process id")?)?;
            Ok(time.as_secs_f64())
        });
        Ok(Spent {
            at: Instant::now(),
            seconds: 0.0,
            processor: processor.collect::<Result<_>>()?,
            messages: self.heard.messages.load(Ordering::SeqCst),
            bytes: self.heard.bytes.load(Ordering::SeqCst),
        })
    }
}

impl Spent {
    /// Since then.
    fn less(self, before: &Spent) -> Spent {
        let pairs = self.processor.iter().zip(&before.processor);
        Spent {
            at: before.at,
            seconds: self.at.duration_since(before.at).as_secs_f64(),
            processor: pairs.map(|(now, then)| now - then).collect(),
            messages: self.messages - before.messages,
            bytes: self.bytes - before.bytes,
        }
    }
}

async fn listen(bus: Bus, mut all: Subscription, heard: Arc<Heard>) {
    while let Some(delivery) = all.recv().await {
        if let Delivery::Message(message) = delivery {
            heard.messages.fetch_add(1, Ordering::SeqCst);
            heard
                .bytes
                .fetch_add(message.body.len() as u64, Ordering::SeqCst);
        }
    }
    drop(bus);
}
