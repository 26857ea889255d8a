//! What nodes say to each other: one door per kind of message, found by the last token of its subject.

mod doors;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tengen_bus::{
    Bus, Delivery, Message, Publish, PublishError, RequestError, Subscribe, SubscribeError,
    Subscription,
};
use tengen_protocol::subject::Subjects;
use tengen_protocol::{ErrorCode, NodeId, Refusal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::doors::{Answering, Doors};
use crate::metrics::Metrics;

/// What peers may send faster than this node takes it. Beyond it messages are shed: their senders
/// run into their deadlines, and a shed forward is told as a gap by nobody, so it is generous.
const MAX_QUEUE_BYTES: usize = 64 << 20;
/// Messages taken at once.
const MAX_DRAIN: usize = 256;
/// The header of an answer that is none.
const ERROR: &str = "Tengen-Error";

/// The asking half: how this node reaches the others. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Peers {
    bus: Bus,
    subjects: Subjects,
    node: NodeId,
    metrics: Arc<Metrics>,
}

/// Why a peer gave no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// There is no such node.
    #[error("nobody there")]
    Nobody,
    /// No answer in time; it may have been handled.
    #[error("no answer in time")]
    Late,
    /// This node's own bus is down; it may have been handled.
    #[error("the bus is down")]
    BusDown,
    /// The peer does not take this message: malformed or of another version to it, or too many.
    #[error("refused: {} {}", .0.code, .0.message)]
    Refused(Refusal),
}

impl From<RequestError> for Unanswered {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::NoResponders => Unanswered::Nobody,
            RequestError::Timeout => Unanswered::Late,
            RequestError::BusDown => Unanswered::BusDown,
            other => Unanswered::Refused(Refusal::new(ErrorCode::TOO_LARGE, other.to_string())),
        }
    }
}

impl Peers {
    pub(crate) fn new(bus: Bus, subjects: Subjects, node: NodeId, metrics: Arc<Metrics>) -> Peers {
        Peers {
            bus,
            subjects,
            node,
            metrics,
        }
    }

    /// The most that one message can carry, in bytes.
    pub(crate) fn max_payload(&self) -> usize {
        self.bus.max_payload()
    }

    /// Asks the door `what` of one node.
    ///
    /// # Errors
    /// [`Unanswered`].
    ///
    /// # Cancel safety
    /// May be dropped; the question may have been sent.
    pub(crate) async fn ask(
        &self,
        node: &NodeId,
        what: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, Unanswered> {
        self.request(self.subjects.node(node, what), body, limit)
            .await
    }

    /// Asks all nodes, this one included, of whom at most one answers. If none does the answer is
    /// late, since nobody can say that there is nobody.
    ///
    /// # Errors
    /// [`Unanswered`].
    ///
    /// # Cancel safety
    /// May be dropped; the question may have been sent.
    pub(crate) async fn ask_everyone(
        &self,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, Unanswered> {
        self.request(self.subjects.session(), body, limit).await
    }

    async fn request(
        &self,
        subject: String,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, Unanswered> {
        self.metrics.peers.asked.increment();
        let answer = self.bus.request(Publish::new(subject, body), limit).await;
        let answer = answer.map_err(Unanswered::from).and_then(read);
        if answer.is_err() {
            self.metrics.peers.unanswered.increment();
        }
        answer
    }

    /// Tells the door `what` of one node something that has no answer; in the order of the calls.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was sent then.
    pub(crate) async fn tell(
        &self,
        node: &NodeId,
        what: &str,
        body: Bytes,
    ) -> Result<(), PublishError> {
        self.metrics.peers.told.increment();
        let message = Publish::new(self.subjects.node(node, what), body);
        self.bus.publish(message).await
    }

    /// Opens `doors` for what peers ask and tell, on `tracker` until `stop`.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing is left behind.
    pub(crate) async fn listen(
        &self,
        doors: Doors,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<(), SubscribeError> {
        let doors = Arc::new(doors);
        let bounded = || Subscribe::default().max_queue_bytes(MAX_QUEUE_BYTES);
        let mine = self.subjects.node(&self.node, "*");
        let mine = self.bus.subscribe(&mine, bounded()).await?;
        let anybodys = self.subjects.session();
        let anybodys = self.bus.subscribe(&anybodys, bounded()).await?;
        for (subscription, everyone) in [(mine, false), (anybodys, true)] {
            let porter = Porter {
                peers: self.clone(),
                doors: Arc::clone(&doors),
                tracker: tracker.clone(),
                stop: stop.clone(),
                everyone,
            };
            tracker.spawn(porter.run(subscription));
        }
        Ok(())
    }
}

fn read(answer: Message) -> Result<Bytes, Unanswered> {
    let Some(code) = answer.headers.first(ERROR) else {
        return Ok(answer.body);
    };
    let code = code.trim().parse().map_or(ErrorCode::BAD_EVENT, ErrorCode);
    let message = String::from_utf8_lossy(&answer.body).into_owned();
    Err(Unanswered::Refused(Refusal::new(code, message)))
}

/// Takes what arrives on one subscription to its door.
struct Porter {
    peers: Peers,
    doors: Arc<Doors>,
    tracker: TaskTracker,
    stop: CancellationToken,
    /// The subscription of what is asked of everybody: whom it does not concern keeps silent.
    everyone: bool,
}

impl Porter {
    async fn run(self, mut subscription: Subscription) {
        let mut deliveries = Vec::new();
        while let Some(count) = self
            .stop
            .run_until_cancelled(subscription.recv_many(&mut deliveries, MAX_DRAIN))
            .await
        {
            if count == 0 {
                return;
            }
            for delivery in deliveries.drain(..) {
                match delivery {
                    Delivery::Message(message) => self.take(&message),
                    Delivery::Shed(shed) => self.peers.metrics.peers.shed.add(shed.messages),
                    // Whoever asked meanwhile has run into its deadline.
                    Delivery::Interrupted => {}
                }
            }
        }
    }

    fn take(&self, message: &Message) {
        let metrics = &self.peers.metrics.peers;
        metrics.messages.increment();
        let reply = message.reply.clone();
        let found = if self.everyone {
            self.doors.everybodys(message)
        } else {
            let what = message.subject.rsplit('.').next().unwrap_or_default();
            self.doors.mine(what, message)
        };
        let refusal = match found {
            Ok(None) => return,
            Ok(Some((room, answering))) => {
                let (bus, stop) = (self.peers.bus.clone(), self.stop.clone());
                self.tracker.spawn(async move {
                    let answered = stop.run_until_cancelled(answering).await.flatten();
                    if let (Some(body), Some(reply)) = (answered, reply) {
                        // The bus may be down; then the asker runs into its own deadline.
                        let _ = bus.publish(Publish::new(reply, body)).await;
                    }
                    drop(room);
                });
                return;
            }
            Err(refusal) => refusal,
        };
        match refusal.code {
            ErrorCode::RATE => metrics.busy.increment(),
            _ => metrics.malformed.increment(),
        }
        tracing::debug!(subject = %message.subject, error = refusal.code.0, why = refusal.message, "message of a peer not taken");
        if let (false, Some(reply)) = (self.everyone, reply) {
            let bus = self.peers.bus.clone();
            let answer =
                Publish::new(reply, refusal.message).header(ERROR, refusal.code.0.to_string());
            self.tracker.spawn(async move {
                let _ = bus.publish(answer).await;
            });
        }
    }
}
