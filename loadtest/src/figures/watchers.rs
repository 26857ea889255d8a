//! `watchers`: what one costs the node who follows over HTTP who is online: memory while nothing happens, processor time per change.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tengen_bus::{Bus, Health, NatsOptions, Publish};
use tengen_protocol::presence::{Delta, Epoch, Kinds, Message};
use tengen_protocol::{NodeId, Uid, subject::Subjects};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::Run;
use crate::{
    lean::Books,
    process::{cpu_time, settled_bytes},
    report::{Outcome, Report, Watchers},
};

/// Users of one announcement: what a node brings together in 50 ms of a storm.
const TOGETHER: usize = 50;
const QUIET: Duration = Duration::from_secs(3);
const SETTLE_LIMIT: Duration = Duration::from_secs(20);
const ASK: &[u8] = b"GET /v1/connected-uids/watch HTTP/1.0\r\n\r\n";
/// In the name of the last user of each announcement, with its number.
const MARK: &str = "mark-";
const DIGITS: usize = 8;

/// A node without a body, whose users are announced and are nowhere.
struct Peer {
    bus: Bus,
    subject: String,
    node: NodeId,
    epoch: Epoch,
    seq: u64,
}

pub(super) async fn measure(run: &Run, watchers: usize, announcements: u32) -> Result<Report> {
    let pid = run.pid()?;
    let (read, mut reads) = mpsc::unbounded_channel();
    let mut peer = Peer::join(run).await?;
    let begin = Instant::now();
    // The first one is not counted: with it the node keeps changes at all.
    watch(run, read.clone()).await?;
    let mut connect_time = begin.elapsed();
    peer.rounds(announcements / 10 + 1, 1, &mut reads, run.stall)
        .await?;
    let cpu = cpu_time(pid)?;
    peer.rounds(announcements, 1, &mut reads, run.stall).await?;
    let alone = cpu_time(pid)? - cpu;
    let before = settled_bytes(pid, QUIET, SETTLE_LIMIT).await?;
    let begin = Instant::now();
    for _ in 0..watchers {
        watch(run, read.clone()).await?;
    }
    connect_time += begin.elapsed();
    peer.rounds(1, watchers + 1, &mut reads, run.stall).await?;
    let after = settled_bytes(pid, QUIET, SETTLE_LIMIT).await?;
    let cpu = cpu_time(pid)?;
    peer.rounds(announcements, watchers + 1, &mut reads, run.stall)
        .await?;
    let together = cpu_time(pid)? - cpu;
    let told = u64::from(announcements) * watchers as u64;
    let micros = together.saturating_sub(alone).as_secs_f64() * 1e6 / told as f64;
    let mut books = Books::default();
    books.verdict.in_order = told;
    let outcome = Outcome::Watchers(Watchers {
        kib_per_watcher: after.saturating_sub(before) as f64 / 1024.0 / watchers as f64,
        announcements,
        users_each: TOGETHER,
        micros_per_announcement: micros,
        micros_per_change: micros / TOGETHER as f64,
    });
    Ok(run.report("watchers", watchers + 1, connect_time, outcome, books))
}

/// Opens a watcher, which says of each announcement that it has read it.
async fn watch(run: &Run, read: mpsc::UnboundedSender<u64>) -> Result<()> {
    let admin = run.target.admin.context("watchers needs the admin port")?;
    let mut socket = TcpStream::connect(admin).await?;
    socket.write_all(ASK).await?;
    let mut text = Vec::new();
    // A watcher is there when it has been told everybody, or that there is nobody: marks of before too.
    let end = loop {
        let last = find(&text, b"\"more\":false");
        let behind = last.and_then(|at| Some(at + find(&text[at..], b"\n\n")?));
        if let Some(end) = behind {
            break end;
        }
        ensure!(socket.read_buf(&mut text).await? > 0, "no room to watch");
    };
    text.drain(..end);
    tokio::spawn(async move {
        while socket
            .read_buf(&mut text)
            .await
            .is_ok_and(|length| length > 0)
        {
            let whole = MARK.len() + DIGITS;
            while let Some(at) = find(&text, MARK.as_bytes()) {
                let Some(digits) = text.get(at + MARK.len()..at + whole) else {
                    break;
                };
                let number = std::str::from_utf8(digits)
                    .ok()
                    .and_then(|it| it.parse().ok());
                if number.is_none_or(|number| read.send(number).is_err()) {
                    return;
                }
                text.drain(..at + whole);
            }
            // Of what is read only the beginning of a mark matters any more.
            if find(&text, MARK.as_bytes()).is_none() {
                text.drain(..text.len().saturating_sub(whole));
            }
        }
    });
    Ok(())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|it| it == what)
}

impl Peer {
    async fn join(run: &Run) -> Result<Peer> {
        let needs = "watchers needs NATS: --nats-url";
        let url = run.nats_url.as_ref().context(needs)?;
        let bus = Bus::nats(NatsOptions::new(url).name("tengen-loadtest")).await?;
        let mut health = bus.health();
        tokio::time::timeout(run.stall, health.wait_for(Health::is_up)).await??;
        Ok(Peer {
            bus,
            subject: Subjects::new(&run.prefix)?.presence(),
            node: NodeId::parse(&format!("load-{}", std::process::id()))?,
            epoch: Epoch(1),
            seq: 0,
        })
    }

    /// Announces, each time when all watchers have read what was announced before.
    async fn rounds(
        &mut self,
        count: u32,
        watchers: usize,
        reads: &mut mpsc::UnboundedReceiver<u64>,
        stall: Duration,
    ) -> Result<()> {
        for _ in 0..count {
            self.announce().await?;
            for _ in 0..watchers {
                let read = tokio::time::timeout(stall, reads.recv()).await;
                let number = read.context("a watcher is told nothing")?;
                ensure!(number == Some(self.seq), "a watcher is told something else");
            }
        }
        Ok(())
    }

    async fn announce(&mut self) -> Result<()> {
        self.seq += 1;
        let kinds = [Kinds::WS, Kinds::POLL][usize::from(self.seq.is_multiple_of(2))];
        let mut changes = Vec::with_capacity(TOGETHER);
        for user in 1..TOGETHER {
            changes.push((Uid::parse(&format!("load-{user:02}"))?, kinds));
        }
        let (seq, digits) = (self.seq, DIGITS);
        changes.push((Uid::parse(&format!("{MARK}{seq:0digits$}"))?, Kinds::WS));
        let delta = Message::Delta(Delta {
            node: self.node.clone(),
            epoch: self.epoch,
            seq,
            changes,
        });
        let said = Publish::new(self.subject.as_str(), delta.encode());
        Ok(self.bus.publish(said).await?)
    }
}
