//! Takes every push from the bus: checks it, and puts it in line for the sessions it is meant for.

mod seen;
mod seldom;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tengen_bus::push::{self, Arrived, Origin, Push, Sequences, Target};
use tengen_bus::{Delivery, Message, Shed, Subject, Subscription};
use tengen_protocol::subject::{SendTo, Subjects};
use tengen_protocol::takeover::{Forward, Identity};
use tengen_protocol::{Limits, RawEvent, Refusal};
use tokio_util::sync::CancellationToken;

use self::seen::{Note, Seen};
use self::seldom::Seldom;
use crate::hub::Hub;
use crate::hub::deliver::Way;
use crate::hub::touched::Touched;
use crate::interest::{Fences, Interest};
use crate::metrics::Metrics;
use crate::moves::Moves;
use crate::reports::{Asker, Reports};

/// Bus messages taken at once. A batch holds up to 128 pushes, so a drain is bounded by
/// [`MAX_FRAMES`] too.
const MAX_DRAIN: usize = 1024;
/// Frames put in line before the touched connections are woken, even in the middle of a drain:
/// about 5 ms of work, so that a burst to one does not delay all.
const MAX_FRAMES: u64 = 32 * 1024;
/// Message ids remembered at once; about 30 MB when all are fresh.
const MAX_IDS: usize = 256 * 1024;

/// How long a message id is remembered (design §4).
pub(crate) const ID_WINDOW: Duration = Duration::from_secs(10);

/// Why a `chsk/gap` item stands in a queue.
pub(crate) mod gap {
    /// The bus was away; what was pushed meanwhile is unknown.
    pub(crate) const BUS_DOWN: &str = "bus-down";
    /// This node shed pushes because they came faster than it took them.
    pub(crate) const OVERLOAD: &str = "overload";
    /// A publisher's numbering shows a hole.
    pub(crate) const LOST: &str = "lost";
    /// The push cannot be written in this client's codec.
    pub(crate) const CODEC: &str = "codec";
}

/// The one consumer of a node's push subscription.
pub(crate) struct Ingest {
    hub: Arc<Hub>,
    subjects: Subjects,
    fences: Arc<Fences>,
    interest: Arc<Interest>,
    moves: Moves,
    metrics: Arc<Metrics>,
    limits: Limits,
    reports: Arc<Reports>,
    sequences: Sequences,
    seen: Seen,
    warn_malformed: Seldom,
    warn_shed: Seldom,
    touched: Touched,
    arrived: Vec<Arrived>,
    /// The bus was away; the gap is told once the interest is confirmed again, or the
    /// application would refetch before it hears what is pushed after.
    gap_owed: bool,
}

impl Ingest {
    pub(crate) fn new(
        hub: Arc<Hub>,
        subjects: Subjects,
        fences: Arc<Fences>,
        interest: Arc<Interest>,
        moves: Moves,
        reports: Arc<Reports>,
    ) -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            metrics: Arc::clone(hub.metrics()),
            limits: hub.bounds().limits,
            reports,
            sequences: Sequences::new(hub.now()),
            seen: Seen::new(ID_WINDOW, MAX_IDS),
            warn_malformed: Seldom::new(MINUTE),
            warn_shed: Seldom::new(MINUTE),
            touched: Touched::with_window(hub.window.is_open()),
            arrived: Vec::new(),
            gap_owed: false,
            hub,
            subjects,
            fences,
            interest,
            moves,
        }
    }

    /// Runs until `stop`, or until the subscription ends.
    ///
    /// # Cancel safety
    /// Dropped between two awaits nothing is half done: a drained batch is settled without one.
    pub(crate) async fn run(mut self, mut subscription: Subscription, stop: CancellationToken) {
        let mut confirmed = self.interest.watch();
        let mut deliveries = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = confirmed.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                count = subscription.recv_many(&mut deliveries, MAX_DRAIN) => {
                    if count == 0 {
                        return;
                    }
                    self.take_all(&mut deliveries);
                    // Lets the connections that were just woken write before the next drain:
                    // meanwhile more arrives, and each of them then gets it in one piece.
                    tokio::task::yield_now().await;
                }
            }
            self.tell_outage();
        }
    }

    /// Appends a whole drained batch, then wakes each touched session once.
    fn take_all(&mut self, deliveries: &mut Vec<Delivery>) {
        self.sequences.tick(self.hub.now());
        for delivery in deliveries.drain(..) {
            match delivery {
                Delivery::Message(message) => self.take_message(message),
                Delivery::Shed(shed) => self.take_shed(&shed),
                Delivery::Interrupted => self.take_interruption(),
            }
            if self.touched.frames() >= MAX_FRAMES {
                self.hub.settle(&mut self.touched);
            }
        }
        self.hub.settle(&mut self.touched);
    }

    fn take_message(&mut self, message: Message) {
        self.metrics.ingest.messages.increment();
        let subject = message.subject.clone();
        let mut arrived = std::mem::take(&mut self.arrived);
        push::decode(&self.subjects, message, &mut self.sequences, &mut arrived);
        for item in arrived.drain(..) {
            match item {
                Arrived::Push(push, origin) => self.take_push(&push, &origin, &subject),
                Arrived::Fence { node, nonce } => {
                    if node == self.hub.config().node {
                        // What stands before the fence must be in line before anybody acts on it.
                        self.hub.settle(&mut self.touched);
                        self.fences.pass(&nonce);
                    }
                }
                Arrived::Lost { count, .. } => self.take_loss(count),
                Arrived::Bad {
                    subject,
                    refusal,
                    reply,
                } => {
                    self.metrics.ingest.pushes.increment();
                    self.malformed(&subject, reply.as_ref(), &refusal);
                }
            }
        }
        self.arrived = arrived;
    }

    fn take_push(&mut self, push: &Push, origin: &Origin, subject: &Subject) {
        self.metrics.ingest.pushes.increment();
        let asker = Asker::of(push, origin);
        match (self.queue(push, origin, asker.is_some()), asker) {
            (Ok(_), None) => {}
            (Ok(clients), Some(asker)) => {
                let clients = clients.map(u64::from);
                self.reports.counted(asker, push, clients, self.hub.now());
            }
            (Err(refusal), asker) => {
                let reply = asker.as_ref().and_then(Asker::reply);
                self.malformed(subject, reply, &refusal);
            }
        }
    }

    /// Puts a push in line for whom it is meant here, and says for how many clients; of a repeated
    /// one what was said of the first. `None` = for a user without a session here.
    fn queue(&mut self, push: &Push, origin: &Origin, asked: bool) -> Result<Option<u32>, Refusal> {
        let hub = Arc::clone(&self.hub);
        let journal = Arc::clone(&self.moves.journal);
        let mut journal = journal.lock();
        let recipients = hub.recipients(&push.target);
        if recipients.is_none() {
            self.metrics.ingest.strangers.increment();
            // On a node with few of the cluster's users nearly all are strangers: no more work
            // for them, unless somebody waits to hear what is wrong with the push. But a session
            // of theirs may be about to come here, from a node that has the push already.
            journal.note(&push.target, &identity(push, origin), hub.now());
            if !asked {
                return Ok(None);
            }
        }
        let (codec, body) = push.event.clone();
        let event = RawEvent::check(codec, body, &self.limits)?;
        let Some(recipients) = recipients else {
            return Ok(None);
        };
        if push.id != 0 {
            match self.seen.note(&push.target, push.id, hub.now()) {
                Note::New => {}
                Note::NewAndForgot => self.metrics.ingest.ids_forgotten.increment(),
                Note::Repeated(clients) => {
                    self.metrics.ingest.duplicates.increment();
                    // In a batch it has a place, behind which nobody need wait for it.
                    journal.note(&push.target, &identity(push, origin), hub.now());
                    return Ok(Some(clients));
                }
            }
        }
        let identity = journal.name(identity(push, origin), hub.now());
        let touched = &mut self.touched;
        touched.set_flush(push.flush);
        let clients = hub.deliver(
            &recipients,
            &push.filter,
            &event,
            &identity,
            Way::Own,
            touched,
        );
        for port in touched.take_passing() {
            self.moves.pass_on(&port);
        }
        for node in touched.take_forward() {
            let forward = Forward::Push {
                from: hub.config().node.clone(),
                target: push.target.clone(),
                filter: push.filter.clone(),
                identity,
                codec: event.codec(),
                event: event.body().clone(),
            };
            self.moves.forwards.send(&node, &forward);
        }
        // After the sessions: what one of them has beyond the journal it knows itself.
        journal.note(&push.target, &identity, hub.now());
        let clients = u32::try_from(clients).unwrap_or(u32::MAX);
        if push.id != 0 {
            self.seen.queued(&push.target, push.id, clients);
        }
        Ok(Some(clients))
    }

    /// Tells a hole to every session that `scope` may touch, here and where they went.
    fn tell_gap(&mut self, scope: &Target, reason: &str) {
        self.hub.deliver_gap(scope, reason, &mut self.touched);
        for port in self.touched.take_passing() {
            self.moves.pass_on(&port);
        }
        for node in self.touched.take_forward() {
            let forward = Forward::Gap {
                from: self.hub.config().node.clone(),
                target: scope.clone(),
                reason: reason.to_owned(),
                session: None,
            };
            self.moves.forwards.send(&node, &forward);
        }
    }

    fn malformed(&mut self, subject: &Subject, reply: Option<&Subject>, refusal: &Refusal) {
        self.metrics.ingest.malformed.increment();
        if let Some(held_back) = self.warn_malformed.due(self.hub.now()) {
            let error = refusal.code.0;
            tracing::warn!(%subject, error, why = refusal.message, held_back, "malformed push dropped");
        }
        if let Some(reply) = reply {
            self.reports.refuse(reply, refusal);
        }
    }

    fn take_loss(&mut self, batches: u64) {
        self.metrics.ingest.lost_batches.add(batches);
        // Whom the lost batches were for is not knowable, so everybody here is told.
        self.tell_gap(&Target::All, gap::LOST);
    }

    fn take_shed(&mut self, shed: &Shed) {
        self.metrics.ingest.shed.add(shed.messages);
        self.metrics.ingest.shed_bytes.add(shed.bytes);
        if let Some(held_back) = self.warn_shed.due(self.hub.now()) {
            let (messages, bytes) = (shed.messages, shed.bytes);
            tracing::warn!(
                messages,
                bytes,
                held_back,
                "pushes shed: they come faster than they are taken"
            );
        }
        for scope in self.shed_scopes(shed) {
            self.tell_gap(&scope, gap::OVERLOAD);
        }
    }

    /// Whom the shed messages may have been for; everybody, if that is not known of each.
    fn shed_scopes(&self, shed: &Shed) -> Vec<Target> {
        let mut scopes = Vec::with_capacity(shed.subjects.len());
        for subject in shed.subjects.keys() {
            match self.subjects.parse_send_to(subject) {
                Ok(SendTo::Uid(uid)) => scopes.push(Target::Uid(uid)),
                Ok(SendTo::Anonymous) => scopes.push(Target::Anonymous),
                // A batch may have held anything.
                Ok(SendTo::All | SendTo::Batch) => return vec![Target::All],
                // Nobody's, or a fence: whoever waits for that one sees that it does not come.
                Ok(SendTo::Fence(_)) | Err(_) => {}
            }
        }
        if shed.others > 0 {
            vec![Target::All]
        } else {
            scopes
        }
    }

    fn take_interruption(&mut self) {
        self.metrics.ingest.interruptions.increment();
        self.gap_owed = true;
        self.interest.lost();
    }

    /// Tells an outage to every session here, once pushes are heard again.
    fn tell_outage(&mut self) {
        if self.gap_owed && self.interest.status().confirmed {
            self.gap_owed = false;
            self.tell_gap(&Target::All, gap::BUS_DOWN);
            self.hub.settle(&mut self.touched);
        }
    }
}

/// Who a push is, for sessions on their way between nodes.
fn identity(push: &Push, origin: &Origin) -> Identity {
    match *origin {
        Origin::Batch {
            publisher,
            seq,
            index,
        } => Identity::Batched {
            publisher,
            seq,
            index,
            message: push.id,
        },
        Origin::Plain { .. } if push.id != 0 => Identity::Message(push.id),
        Origin::Plain { .. } => {
            let (codec, event) = &push.event;
            Identity::of_content(&push.target, &push.filter, *codec, event)
        }
    }
}
