//! Who is online, as this node knows it: the one value behind it, read by anybody, driven by one task.

mod driver;
pub(crate) mod kept;
mod known;
mod listening;
mod outbox;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tengen_bus::{Bus, SubscribeError};
use tengen_protocol::presence::{
    Action, AskId, Channel, Door, Epoch, Member, NotReady, Roster, Unanswered,
};
use tengen_protocol::subject::Subjects;
use tengen_protocol::{Millis, NodeId};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::driver::Driver;
use self::kept::Kept;
use self::outbox::Outbox;
use crate::handlers::uidport::Uidports;
use crate::hub::Hub;
use crate::hub::attendance::Change;
use crate::metrics::Metrics;
use crate::metrics::presence::PresenceMetrics;
use crate::peers::{Doors, Peers};

/// Questions for this node's users that are answered at once; of snapshots only two go out.
const MAX_SYNCS: usize = 64;
/// How long a node that leaves waits for the application's handlers of users that came and went. The
/// rest is run by the node that tells next.
const LAST_HANDLERS: Duration = Duration::from_secs(5);
/// Nodes that name users to this one at once.
const MAX_DIFFERS: usize = 64;

/// A node's presence: its view of all users and nodes, and its own part in making it.
///
/// Everything but [`leave`](Self::leave) is answered from memory. The lock is a leaf: nothing is
/// called and nothing awaited under it.
pub(crate) struct Presence {
    kept: Arc<Kept>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    /// Something came in, so the next tick may be due earlier.
    nudged: Notify,
    failed: watch::Sender<Option<&'static str>>,
    outbox: Outbox,
    uidports: Uidports,
    key_fingerprint: u64,
}

/// What presence works with.
pub(crate) struct Parts {
    pub kept: Arc<Kept>,
    pub hub: Arc<Hub>,
    pub bus: Bus,
    pub subjects: Subjects,
    pub peers: Peers,
    /// What runs the application's handlers for users that come and go.
    pub uidports: Uidports,
    /// Tells nodes whose cookies each other cannot read; 0 = no key was set.
    pub key_fingerprint: u64,
}

impl Presence {
    /// Subscribes, and begins the tasks on `tracker`, which end with `stop`; opens the doors of
    /// presence. To be called before the first hello.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing is left behind.
    pub(crate) async fn start(
        parts: Parts,
        doors: &mut Doors,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Arc<Presence>, SubscribeError> {
        let Parts {
            kept,
            hub,
            bus,
            subjects,
            peers,
            uidports,
            key_fingerprint,
        } = parts;
        let heard = listening::subscribe(&bus, &subjects).await?;
        let metrics = Arc::clone(hub.metrics());
        let outbox = Outbox::start(bus.clone(), &subjects, Arc::clone(&metrics), tracker, stop);
        hub.line().open();
        let presence = Arc::new(Presence {
            kept,
            hub,
            metrics,
            nudged: Notify::new(),
            failed: watch::Sender::new(None),
            outbox,
            uidports,
            key_fingerprint,
        });
        presence.open(doors);
        listening::spawn(&presence, heard, &bus, tracker, stop);
        let driver = Driver {
            presence: Arc::clone(&presence),
            bus,
            told: subjects.presence_told(),
            peers,
            tracker: tracker.clone(),
            stop: stop.clone(),
        };
        tracker.spawn(driver.run());
        Ok(presence)
    }

    /// Reads the view. Quick: connections and messages wait meanwhile.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&Roster) -> R) -> R {
        self.kept.with(f)
    }

    /// Whether this node may speak for the cluster.
    ///
    /// # Errors
    /// [`NotReady`] says why not.
    pub(crate) fn is_ready(&self) -> Result<(), NotReady> {
        self.kept.ready()
    }

    /// Why this node has to end: another process has its id. `None` while it need not.
    pub(crate) fn failure(&self) -> watch::Receiver<Option<&'static str>> {
        self.failed.subscribe()
    }

    /// A node with another cookie key, if there is any: logins do not hold between the two.
    pub(crate) fn node_of_other_key(&self) -> Option<NodeId> {
        self.other_key(|_, _| true)
    }

    /// The same, if it was there before this one: then it is this node that should not be here.
    pub(crate) fn elder_of_other_key(&self) -> Option<NodeId> {
        self.other_key(|theirs, mine| theirs < mine)
    }

    fn other_key(&self, counts: impl Fn(Epoch, Epoch) -> bool) -> Option<NodeId> {
        let mine = self.key_fingerprint;
        if mine == 0 {
            return None;
        }
        self.with(|roster| {
            let me = roster.nodes().find(|node| node.me)?.epoch;
            let differs = |of: u64| of != 0 && of != mine;
            let mut others = roster.nodes();
            let other = others.find(|node| differs(node.key_fingerprint) && counts(node.epoch, me));
            other.map(|node| node.id.clone())
        })
    }

    /// The application's handlers have run for all up to `n`.
    pub(crate) fn handled(&self, epoch: Epoch, n: u64) {
        self.kept.change(|member| member.handled(epoch, n));
    }

    /// Says bye, after everything that was to be said before; the others let this node's users wait
    /// their grace out. Returns when the bus has it, or cannot take it.
    ///
    /// # Cancel safety
    /// May be dropped: the bye is then on its way, or the others find out by its silence.
    pub(crate) async fn leave(&self) {
        self.uidports.finish(LAST_HANDLERS).await;
        self.attend();
        let actions = self.kept.change(|member| {
            member.leave(self.hub.now());
            member.take_actions()
        });
        for action in actions {
            if let Action::Publish { channel, body } = action {
                self.outbox.publish(channel, body);
            }
        }
        self.outbox.flushed().await;
        self.hub.line().close();
    }

    fn metrics(&self) -> &PresenceMetrics {
        &self.metrics.presence
    }

    fn open(self: &Arc<Self>, doors: &mut Doors) {
        let opened = [
            ("sync", Door::Sync, MAX_SYNCS),
            ("differs", Door::Differs, MAX_DIFFERS),
        ];
        for (name, door, max_under_way) in opened {
            let this = Arc::clone(self);
            doors.on_question(name, max_under_way, move |message| {
                let (this, body) = (Arc::clone(&this), message.body.clone());
                Ok(Box::pin(async move { this.asked(door, &body) }))
            });
        }
    }

    /// Takes over what has changed at this node's own sessions.
    fn attend(&self) {
        let ports = self.hub.line().take();
        if ports.is_empty() {
            return;
        }
        let now = self.hub.now();
        // Each port's lock first, then presence's alone.
        let changes: Vec<_> = ports.iter().map(|port| port.attendance(now)).collect();
        self.change(|member| {
            for (port, changes) in ports.iter().zip(changes) {
                let uid = port.uid.as_ref();
                for change in changes {
                    match change {
                        Change::Opened(transport) => member.opened(uid, transport, now),
                        Change::Closed(transport) => member.closed(uid, transport, now),
                        Change::Switched { from, to } => member.switched(uid, from, to, now),
                        Change::Returned { was, by } => member.returned(uid, was, by, now),
                        Change::HandedOver { transport, to } => {
                            member.handed_over(uid, transport, &to, now);
                        }
                    }
                }
            }
        });
    }

    /// Everything that may change the view goes through here.
    fn change<R>(&self, f: impl FnOnce(&mut Member) -> R) -> R {
        self.kept.change(f)
    }

    /// Lets time pass, and says what is to be done and when to come back.
    fn tick(&self, now: Millis) -> (Vec<Action>, Millis) {
        self.change(|member| {
            member.tick(now);
            (member.take_actions(), member.next())
        })
    }

    fn heard(&self, channel: Channel, bodies: impl Iterator<Item = Bytes>) {
        let now = self.hub.now();
        self.change(|member| {
            for body in bodies {
                self.metrics().heard_bytes.add(body.len() as u64);
                match member.heard(channel, &body, now) {
                    Ok(heard) => self.metrics().count(heard),
                    Err(bad) => self.metrics().count_bad(&bad),
                }
            }
        });
        self.nudged.notify_one();
    }

    fn missed(&self, channel: Channel) {
        self.change(|member| member.missed(channel, self.hub.now()));
        self.nudged.notify_one();
    }

    /// `None`: this node keeps silent, because it has nothing to say or cannot read the question.
    fn asked(&self, door: Door, body: &Bytes) -> Option<Bytes> {
        let asked = self.change(|member| member.asked(door, body, self.hub.now()));
        self.nudged.notify_one();
        match asked {
            Ok(answer) => {
                self.metrics().questions.increment();
                let bytes = answer.as_ref().map_or(0, Bytes::len);
                self.metrics().answer_bytes.add(bytes as u64);
                answer
            }
            Err(bad) => {
                self.metrics().count_bad(&bad);
                None
            }
        }
    }

    fn answered(&self, id: AskId, answer: Result<Bytes, Unanswered>) {
        if answer.is_err() {
            self.metrics().unanswered.increment();
        }
        let read = self.change(|member| member.answered(id, answer, self.hub.now()));
        if let Err(bad) = read {
            self.metrics().count_bad(&bad);
        }
        self.nudged.notify_one();
    }

    fn bus(&self, up: bool, server: &str) {
        self.change(|member| member.bus(up, server, self.hub.now()));
        self.nudged.notify_one();
    }
}
