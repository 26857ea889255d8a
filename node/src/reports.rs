//! Delivery reports: counts go to the node that collects them, answers to whoever asked.

mod outgoing;

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tengen_bus::push::{Origin, Push, Target};
use tengen_bus::{Bus, Publish, Subject};
use tengen_protocol::report::{
    About, BadCounts, Collector, Counted, Counts, Report, ReportId, Standby, Word, id_in_batch,
    id_of_request, rendezvous, rendezvous_two,
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
/// The door for what the first and the second in line say.
pub(crate) const ABOUT: &str = "report";
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
    collector: Collector<Asked>,
    standby: Standby<Asker>,
    /// What this node has told others.
    counted: Counted,
    /// When the clock of [`Reports::run`] looks next, so that it is woken only for what is due
    /// before.
    looks: Millis,
}

/// A report that this node answers.
struct Asked {
    asker: Asker,
    /// Who stands by for it.
    standby: Option<(NodeId, ReportId)>,
}

impl Collecting {
    fn next(&self) -> Millis {
        let ours = self.collector.next().unwrap_or(Millis::MAX);
        ours.min(self.standby.next().unwrap_or(Millis::MAX))
    }
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
                standby: Standby::new(MAX_UNDER_WAY),
                counted: Counted::new(MAX_UNDER_WAY),
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
            Target::Uid(uid) => rendezvous_two(uid.as_str().as_bytes(), &ready),
            // Of those to everybody each node collects its share.
            Target::Anonymous | Target::All => rendezvous_two(&id.to_be_bytes(), &ready),
        };
        let Some((first, second)) = first else {
            // The cluster is just coming up: nobody can say who is expected.
            self.metrics.reports.unready.increment();
            return;
        };
        let having = self.having(&push.target);
        // Whom others expect says so when it has nobody any more.
        let clients = clients.or_else(|| having.contains(&self.node).then_some(0));
        if *first == self.node {
            self.metrics.reports.asked.increment();
            let standby = second.cloned().map(|second| (second, id));
            let refused = standby.clone();
            self.collect(now, |Collecting { collector, .. }| {
                let opened = collector.open(id, Asked { asker, standby }, having, now);
                let counted = clients.map_or(Ok(()), |clients| {
                    collector.count(id, &self.node, clients, now)
                });
                // Else the second one would add its work to what is too much already.
                if let (Err(_), Some((second, id))) = (&opened, refused) {
                    self.outgoing.say(second, Word::Answered, id);
                }
                if opened.and(counted).is_err() {
                    self.metrics.reports.refused.increment();
                }
            });
            return;
        }
        if let Some(clients) = clients {
            self.outgoing.count(first, id, clients);
            self.collecting.lock().counted.remember(id, clients, now);
        }
        if second == Some(&self.node) {
            self.collect(now, |Collecting { standby, .. }| {
                standby.stand_by(id, asker, having, now);
            });
        }
    }

    /// Answers a push that cannot be used: by one node, so that its publisher gets one answer.
    /// While no node is ready each answers for itself.
    pub(crate) fn refuse(&self, reply: &Subject, refusal: &Refusal) {
        let ready = self.ready();
        if rendezvous(reply.as_str().as_bytes(), &ready).is_none_or(|first| *first == self.node) {
            let answer = Publish::new(reply.clone(), refusal.message.clone())
                .header("Tengen-Error", refusal.code.0.to_string());
            self.outgoing.answer(answer, None);
        }
    }

    /// Opens the door for what other nodes counted. The clock is that of `hub`.
    pub(crate) fn open(self: &Arc<Self>, doors: &mut Doors, hub: &Arc<Hub>) {
        let (reports, hub) = (Arc::clone(self), Arc::clone(hub));
        let (there, clock) = (Arc::clone(&reports), Arc::clone(&hub));
        doors.on_told(ABOUT, move |message| {
            let about = About::decode(&message.body).map_err(|bad| there.unread(&bad))?;
            there.heard_about(&about, clock.now());
            Ok(())
        });
        doors.on_told(DOOR, move |message| {
            let counts = Counts::decode(&message.body).map_err(|bad| reports.unread(&bad))?;
            reports.heard(&counts, hub.now());
            Ok(())
        });
    }

    fn unread(&self, bad: &BadCounts) -> Refusal {
        self.metrics.reports.count_bad(bad);
        Refusal::new(ErrorCode::UNDECODABLE, bad.to_string())
    }

    fn heard_about(&self, heard: &About, now: Millis) {
        match heard.word {
            Word::Answered => self.collect(now, |Collecting { standby, .. }| {
                for id in &heard.reports {
                    standby.answered(*id, now);
                }
            }),
            Word::Recount => {
                let collecting = self.collecting.lock();
                for id in &heard.reports {
                    if let Some(clients) = collecting.counted.of(*id) {
                        self.outgoing.count(&heard.node, *id, clients);
                    }
                }
            }
        }
    }

    fn heard(&self, heard: &Counts, now: Millis) {
        self.metrics
            .reports
            .counts_received
            .add(heard.counts.len() as u64);
        self.collect(now, |Collecting { collector, .. }| {
            for (id, clients) in &heard.counts {
                if collector.count(*id, &heard.node, *clients, now).is_err() {
                    self.metrics.reports.refused.increment();
                }
            }
        });
    }

    /// Changes what is collected, then sends what is due and sees to the clock.
    fn collect(&self, now: Millis, change: impl FnOnce(&mut Collecting)) {
        let (answers, recounts, strays, sooner) = {
            let mut collecting = self.collecting.lock();
            change(&mut collecting);
            let recounts = self.take_over(&mut collecting, now);
            let strays = collecting.collector.tick(now);
            let next = collecting.next();
            let sooner = next < collecting.looks;
            if sooner {
                collecting.looks = next;
            }
            let answers = collecting.collector.take_answers();
            (answers, recounts, strays, sooner)
        };
        if sooner {
            self.sooner.notify_one();
        }
        self.metrics.reports.strays.add(strays);
        for (id, expected) in recounts {
            // Nobody was expected: somebody may have come to any of them since.
            let asked = if expected.is_empty() {
                self.ready()
            } else {
                expected
            };
            for node in asked.into_iter().filter(|node| *node != self.node) {
                self.outgoing.say(node, Word::Recount, id);
            }
        }
        for (asked, report) in answers {
            self.metrics.reports.answered.increment();
            self.metrics.reports.missing.add(u64::from(report.missing));
            let answer = asked.asker.answer(report, &self.subjects);
            self.outgoing.answer(answer, asked.standby);
        }
    }

    /// Opens the reports that the first in line has not answered, as if they had come just now, and
    /// returns whom to ask what they have counted.
    fn take_over(&self, collecting: &mut Collecting, now: Millis) -> Vec<(ReportId, Vec<NodeId>)> {
        let mut recounts = Vec::new();
        for orphan in collecting.standby.tick(now) {
            self.metrics.reports.taken_over.increment();
            let (id, expected) = (orphan.id, orphan.expected.into_vec());
            for asker in orphan.askers {
                let asked = Asked {
                    asker,
                    standby: None,
                };
                let opened = collecting.collector.open(id, asked, expected.clone(), now);
                if opened.is_err() {
                    self.metrics.reports.refused.increment();
                }
            }
            if let Some(clients) = collecting.counted.of(id) {
                // Full only where it could not be opened, which is counted.
                let _ = collecting.collector.count(id, &self.node, clients, now);
            }
            recounts.push((id, expected));
        }
        recounts
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
                    collecting.looks = collecting.next();
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

    /// Reports and early counts under way, and those of others that this node stands by for.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        let collecting = self.collecting.lock();
        collecting.collector.len() + collecting.standby.len()
    }
}
