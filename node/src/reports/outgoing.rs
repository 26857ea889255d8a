//! What leaves this node for delivery reports, beside ingest, which must never wait for the bus.

use std::collections::BTreeMap;
use std::sync::Arc;

use tengen_bus::{Bus, Publish};
use tengen_protocol::NodeId;
use tengen_protocol::report::{About, Counts, MAX_COUNTS, ReportId, Word};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{ABOUT, DOOR};
use crate::metrics::Metrics;
use crate::peers::Peers;

/// Answers and counts that may wait for the bus; more are dropped and counted: then an asker runs
/// into its own deadline, or a report says that this node is missing.
const MAX_WAITING: usize = 16 * 1024;

pub(super) struct Outgoing {
    line: mpsc::Sender<Out>,
    metrics: Arc<Metrics>,
}

enum Out {
    /// And who stands by for it.
    Answer(Publish, Option<(NodeId, ReportId)>),
    Count(NodeId, ReportId, u64),
    About(NodeId, Word, ReportId),
}

impl Outgoing {
    /// Starts the task that sends, on `tracker`; it ends when this value is dropped.
    pub(super) fn start(
        bus: Bus,
        peers: Peers,
        node: NodeId,
        metrics: Arc<Metrics>,
        tracker: &TaskTracker,
    ) -> Outgoing {
        let (line, waiting) = mpsc::channel(MAX_WAITING);
        tracker.spawn(send(bus, peers, node, Arc::clone(&metrics), waiting));
        Outgoing { line, metrics }
    }

    /// Sends an answer; what stood by for it is told so once it is on the bus, and only then.
    pub(super) fn answer(&self, answer: Publish, standby: Option<(NodeId, ReportId)>) {
        self.put(Out::Answer(answer, standby));
    }

    pub(super) fn count(&self, to: &NodeId, report: ReportId, clients: u64) {
        self.put(Out::Count(to.clone(), report, clients));
    }

    pub(super) fn say(&self, to: NodeId, word: Word, report: ReportId) {
        self.put(Out::About(to, word, report));
    }

    fn put(&self, out: Out) {
        if self.line.try_send(out).is_err() {
            self.metrics.reports.unsent.increment();
        }
    }
}

async fn send(
    bus: Bus,
    peers: Peers,
    node: NodeId,
    metrics: Arc<Metrics>,
    mut waiting: mpsc::Receiver<Out>,
) {
    let mut drained = Vec::new();
    let mut counts = BTreeMap::<NodeId, Vec<(ReportId, u64)>>::new();
    let mut about = BTreeMap::<(NodeId, Word), Vec<ReportId>>::new();
    // What has come together goes together: at most one message per node and drain.
    while waiting.recv_many(&mut drained, MAX_COUNTS).await > 0 {
        for out in drained.drain(..) {
            match out {
                // The bus may be down; then the asker runs into its own deadline.
                Out::Answer(answer, standby) => match (bus.publish(answer).await, standby) {
                    (Ok(()), Some((to, report))) => {
                        about.entry((to, Word::Answered)).or_default().push(report);
                    }
                    (Ok(()), None) => {}
                    (Err(_), _) => metrics.reports.unsent.increment(),
                },
                Out::Count(to, report, clients) => {
                    counts.entry(to).or_default().push((report, clients));
                }
                Out::About(to, word, report) => {
                    about.entry((to, word)).or_default().push(report);
                }
            }
        }
        while let Some((to, counts)) = counts.pop_first() {
            let many = counts.len() as u64;
            let node = node.clone();
            let told = peers
                .tell(&to, DOOR, Counts { node, counts }.encode())
                .await;
            match told {
                Ok(()) => metrics.reports.counts_sent.add(many),
                Err(_) => metrics.reports.unsent.add(many),
            }
        }
        while let Some(((to, word), reports)) = about.pop_first() {
            let (many, node) = (reports.len() as u64, node.clone());
            let about = About {
                node,
                word,
                reports,
            };
            if peers.tell(&to, ABOUT, about.encode()).await.is_err() {
                metrics.reports.unsent.add(many);
            }
        }
    }
}
