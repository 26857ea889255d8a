//! Delivery reports: counts go to the node that collects them, answers to whoever asked.

mod outgoing;

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tengen_bus::push::{Origin, Push, Target};
use tengen_bus::{Bus, Publish, Subject};
use tengen_protocol::report::{
    Collector, Counts, Report, ReportId, id_in_batch, id_of_request, rendezvous,
};
use tengen_protocol::subject::Subjects;
use tengen_protocol::takeover::Identity;
use tengen_protocol::{ErrorCode, Millis, NodeId, Refusal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::outgoing::Outgoing;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::peers::{Doors, Peers};

/// The door for counts.
pub(crate) const DOOR: &str = "counted";
/// Reports that this node puts together at once; further ones get no answer. Each lives for 250 ms
/// at most and takes some 300 bytes: 65,000 reports per second, 5 MB.
const MAX_UNDER_WAY: usize = 16 * 1024;

/// Who is expected to count: what the roster knows.
pub(crate) trait Expect: Send + Sync {
    /// The ready nodes, this one included if it is one.
    fn ready(&self) -> Vec<NodeId>;

    /// The nodes that have clients of `target`, ready or not. For all and the anonymous: every node.
    fn having(&self, target: &Target) -> Vec<NodeId>;
}

/// Who wants to know whom a push reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Whoever published it as a request.
    Reply(Subject),
    /// The publisher of a batch.
    Batch {
        publisher: u128,
        seq: u64,
        index: u16,
    },
}

impl Asker {
    /// Who asks, if anybody does: most pushes are not asked about, and cost no more than this.
    pub(crate) fn of(push: &Push, origin: &Origin) -> Option<Asker> {
        match *origin {
            Origin::Plain { ref reply, .. } => reply.clone().map(Asker::Reply),
            Origin::Batch {
                publisher,
                seq,
                index,
            } => push.report.then_some(Asker::Batch {
                publisher,
                seq,
                index,
            }),
        }
    }

    /// Where a refusal goes, if anywhere.
    pub(crate) fn reply(&self) -> Option<&Subject> {
        match self {
            Asker::Reply(reply) => Some(reply),
            Asker::Batch { .. } => None,
        }
    }

    /// The report's name, the same on every node.
    fn id(&self, push: &Push) -> ReportId {
        match self {
            Asker::Reply(reply) => {
                let (codec, event) = &push.event;
                let content = Identity::content(&push.target, &push.filter, *codec, event);
                id_of_request(reply, content, push.id)
            }
            Asker::Batch {
                publisher,
                seq,
                index,
            } => id_in_batch(*publisher, *seq, *index),
        }
    }

    fn answer(self, report: Report, subjects: &Subjects) -> Publish {
        match self {
            Asker::Reply(reply) => Publish::new(reply, report.to_json()),
            Asker::Batch {
                publisher,
                seq,
                index,
            } => Publish::new(subjects.report(publisher), report.to_batch_json(seq, index)),
        }
    }
}

/// A node's part in all delivery reports.
pub(crate) struct Reports {
    node: NodeId,
    subjects: Subjects,
    /// Empty until presence has begun: then no node is ready.
    expect: OnceLock<Arc<dyn Expect>>,
    collecting: Mutex<Collecting>,
    sooner: Notify,
    outgoing: Outgoing,
    metrics: Arc<Metrics>,
}

struct Collecting {
    collector: Collector<Asker>,
    /// When the clock of [`Reports::run`] looks next, so that it is woken only for what is due
    /// before.
    looks: Millis,
}

impl Reports {
    /// Sends on `tracker` until this value is dropped; its clock is [`Reports::run`].
    pub(crate) fn start(
        bus: Bus,
        subjects: Subjects,
        peers: Peers,
        node: NodeId,
        metrics: Arc<Metrics>,
        tracker: &TaskTracker,
    ) -> Arc<Reports> {
        let outgoing = Outgoing::start(bus, peers, node.clone(), Arc::clone(&metrics), tracker);
        Arc::new(Reports {
            node,
            subjects,
            expect: OnceLock::new(),
            collecting: Mutex::new(Collecting {
                collector: Collector::new(MAX_UNDER_WAY),
                looks: Millis::MAX,
            }),
            sooner: Notify::new(),
            outgoing,
            metrics,
        })
    }

    /// From now on the nodes are known. Of several calls the first counts.
    pub(crate) fn know(&self, expect: Arc<dyn Expect>) {
        let first = self.expect.set(expect).is_ok();
        debug_assert!(first, "the nodes are known already");
    }

    fn ready(&self) -> Vec<NodeId> {
        self.expect.get().map_or_else(Vec::new, |it| it.ready())
    }

    fn having(&self, target: &Target) -> Vec<NodeId> {
        self.expect
            .get()
            .map_or_else(Vec::new, |it| it.having(target))
    }

    /// This node has put `push` in line for `clients`; `None` = it has nobody whom it is for.
    /// Never waits.
    pub(crate) fn counted(&self, asker: Asker, push: &Push, clients: Option<u64>, now: Millis) {
        let id = asker.id(push);
        let ready = self.ready();
        let first = match &push.target {
            Target::Uid(uid) => rendezvous(uid.as_str().as_bytes(), &ready),
            // Of those to everybody each node collects its share.
            Target::Anonymous | Target::All => rendezvous(&id.to_be_bytes(), &ready),
        };
        let Some(first) = first else {
            // The cluster is just coming up: nobody can say who is expected.
            self.metrics.reports.unready.increment();
            return;
        };
        let having = self.having(&push.target);
        // Whom others expect says so when it has nobody any more.
        let clients = clients.or_else(|| having.contains(&self.node).then_some(0));
        if *first == self.node {
            self.metrics.reports.asked.increment();
            self.collect(now, |collector| {
                let opened = collector.open(id, asker, having, now);
                let counted = clients.map_or(Ok(()), |clients| {
                    collector.count(id, &self.node, clients, now)
                });
                if opened.and(counted).is_err() {
                    self.metrics.reports.refused.increment();
                }
            });
        } else if let Some(clients) = clients {
            self.outgoing.count(first, id, clients);
        }
    }

    /// Answers a push that cannot be used: by one node, so that its publisher gets one answer.
    /// While no node is ready each answers for itself.
    pub(crate) fn refuse(&self, reply: &Subject, refusal: &Refusal) {
        let ready = self.ready();
        if rendezvous(reply.as_str().as_bytes(), &ready).is_none_or(|first| *first == self.node) {
            let answer = Publish::new(reply.clone(), refusal.message.clone())
                .header("Tengen-Error", refusal.code.0.to_string());
            self.outgoing.answer(answer);
        }
    }

    /// Opens the door for what other nodes counted. The clock is that of `hub`.
    pub(crate) fn open(self: &Arc<Self>, doors: &mut Doors, hub: &Arc<Hub>) {
        let (reports, hub) = (Arc::clone(self), Arc::clone(hub));
        doors.on_told(DOOR, move |message| {
            let counts = Counts::decode(&message.body).map_err(|bad| {
                reports.metrics.reports.count_bad(&bad);
                Refusal::new(ErrorCode::UNDECODABLE, bad.to_string())
            })?;
            reports.heard(&counts, hub.now());
            Ok(())
        });
    }

    fn heard(&self, heard: &Counts, now: Millis) {
        self.metrics
            .reports
            .counts_received
            .add(heard.counts.len() as u64);
        self.collect(now, |collector| {
            for (id, clients) in &heard.counts {
                if collector.count(*id, &heard.node, *clients, now).is_err() {
                    self.metrics.reports.refused.increment();
                }
            }
        });
    }

    /// Changes what is collected, then sends what is due and sees to the clock.
    fn collect(&self, now: Millis, change: impl FnOnce(&mut Collector<Asker>)) {
        let (answers, strays, sooner) = {
            let mut collecting = self.collecting.lock();
            change(&mut collecting.collector);
            let strays = collecting.collector.tick(now);
            let next = collecting.collector.next().unwrap_or(Millis::MAX);
            let sooner = next < collecting.looks;
            if sooner {
                collecting.looks = next;
            }
            (collecting.collector.take_answers(), strays, sooner)
        };
        if sooner {
            self.sooner.notify_one();
        }
        self.metrics.reports.strays.add(strays);
        for (asker, report) in answers {
            self.metrics.reports.answered.increment();
            self.metrics.reports.missing.add(u64::from(report.missing));
            self.outgoing.answer(asker.answer(report, &self.subjects));
        }
    }

    /// Answers what has waited long enough, until `stop`. The clock is that of `hub`.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub(crate) async fn run(self: Arc<Self>, hub: Arc<Hub>, stop: CancellationToken) {
        let clock = async {
            loop {
                let looks = {
                    let mut collecting = self.collecting.lock();
                    collecting.looks = collecting.collector.next().unwrap_or(Millis::MAX);
                    collecting.looks
                };
                if looks == Millis::MAX {
                    self.sooner.notified().await;
                    continue;
                }
                tokio::select! {
                    () = self.sooner.notified() => {}
                    () = tokio::time::sleep(looks - hub.now()) => self.collect(hub.now(), |_| ()),
                }
            }
        };
        stop.run_until_cancelled(clock).await;
    }

    /// Reports and early counts under way.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        self.collecting.lock().collector.len()
    }
}
