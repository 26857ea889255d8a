//! The one task that lets time pass for presence and carries out what it decides.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tengen_bus::{Bus, Health, Publish};
use tengen_protocol::presence::{Action, AskId, Door, Unanswered};
use tengen_protocol::{Millis, NodeId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Presence;
use crate::peers::{self, Peers};

/// Sessions that change within it are taken together: what they change is announced 50 ms later
/// anyway, and a storm of connections wakes this task a few times instead of thousands.
const PAUSE: Duration = Duration::from_millis(5);
/// How often the numbers about presence are written down, and keys compared.
const OBSERVE_MS: u64 = 1_000;

pub(super) struct Driver {
    pub(super) presence: Arc<Presence>,
    pub(super) bus: Bus,
    /// The subject of what has been told.
    pub(super) told: String,
    pub(super) peers: Peers,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Driver {
    pub(super) async fn run(self) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.drive()).await;
    }

    async fn drive(self) {
        let presence = Arc::clone(&self.presence);
        let mut health = self.bus.health();
        let mut observed = Millis(0);
        let mut other_keys = None;
        presence.see(&mut health);
        loop {
            presence.attend();
            let now = presence.hub.now();
            let (actions, next) = presence.tick(now);
            for action in actions {
                self.carry_out(action);
            }
            if now >= observed.plus(OBSERVE_MS) {
                observed = now;
                presence.observe(&mut other_keys);
            }
            let wait = next.min(observed.plus(OBSERVE_MS)) - presence.hub.now();
            tokio::select! {
                () = presence.hub.line().joined() => tokio::time::sleep(PAUSE).await,
                () = presence.nudged.notified() => {}
                changed = health.changed() => match changed {
                    Ok(()) => presence.see(&mut health),
                    // The bus was drained: this node is about to end.
                    Err(_) => return,
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn carry_out(&self, action: Action) {
        let presence = &self.presence;
        match action {
            Action::Publish { channel, body } => presence.outbox.publish(channel, body),
            Action::Ask {
                id,
                node,
                door,
                body,
                limit_ms,
            } => self.ask(id, node, door, body, Duration::from_millis(limit_ms)),
            Action::AskTold { id, body, limit_ms } => {
                let (presence, bus) = (Arc::clone(presence), self.bus.clone());
                let limit = Duration::from_millis(limit_ms);
                let request = Publish::new(self.told.as_str(), body);
                presence.metrics().asked.increment();
                self.spawn(async move {
                    let answer = bus.request(request, limit).await;
                    let answer = answer.map(|message| message.body);
                    let answer =
                        answer.map_err(|error| unanswered(&peers::Unanswered::from(error)));
                    presence.answered(id, answer);
                });
            }
            Action::Told {
                epoch,
                n,
                opens,
                closes,
            } => {
                let handled = Arc::clone(presence);
                let done = move || handled.handled(epoch, n);
                presence.uidports.told(opens, closes, done);
            }
            Action::Exit { why } => {
                tracing::error!(node = %presence.hub.config().node, why, "presence has failed");
                presence.failed.send_replace(Some(why));
            }
        }
    }

    fn ask(&self, id: AskId, node: NodeId, door: Door, body: Bytes, limit: Duration) {
        let (presence, peers) = (Arc::clone(&self.presence), self.peers.clone());
        let what = match door {
            Door::Sync => "sync",
            Door::Differs | Door::Told => "differs",
        };
        presence.metrics().asked.increment();
        self.spawn(async move {
            let answer = peers.ask(&node, what, body, limit).await;
            presence.answered(id, answer.map_err(|why| unanswered(&why)));
        });
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker
            .spawn(async move { stop.run_until_cancelled(work).await });
    }
}

impl Presence {
    /// Tells presence whether the bus is up.
    fn see(&self, health: &mut watch::Receiver<Health>) {
        let health = health.borrow_and_update().clone();
        match health {
            Health::Up { server, .. } => self.bus(true, &server),
            Health::Down { .. } => self.bus(false, ""),
        }
    }

    /// Writes down how things are. An error for the log is said once, until it is another.
    fn observe(&self, other_keys: &mut Option<NodeId>) {
        let (counts, nodes) = self.with(|roster| (roster.counts(), roster.nodes().count()));
        let metrics = self.metrics();
        metrics.users.set(counts.any as u64);
        metrics.users_ws.set(counts.ws as u64);
        metrics.users_poll.set(counts.poll as u64);
        metrics.anonymous.set(counts.anonymous.iter().sum());
        metrics.nodes.set(nodes as u64);
        metrics.ready.set(u64::from(self.is_ready().is_ok()));
        let (telling, reloads, forgotten) = self.kept.change(|member| {
            let telling = member.telling();
            (
                telling.is_telling(),
                telling.restarts(),
                telling.forgotten(),
            )
        });
        metrics.telling.set(u64::from(telling));
        metrics.feed_reloads.set(reloads);
        metrics.uidports_forgotten.set(forgotten);
        let other = self.node_of_other_key();
        if let Some(node) = other.as_ref().filter(|_| *other_keys != other) {
            tracing::error!(%node, "another node has another cookie_key: logins do not hold between the two");
        }
        *other_keys = other;
    }
}

fn unanswered(why: &peers::Unanswered) -> Unanswered {
    match why {
        peers::Unanswered::Nobody => Unanswered::Nobody,
        peers::Unanswered::BusDown => Unanswered::BusDown,
        peers::Unanswered::Late | peers::Unanswered::Refused(_) => Unanswered::Late,
    }
}
