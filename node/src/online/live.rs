//! Shows sessions who is online, as ordinary events: a list at first, then what changes, gathered and bounded.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tengen_protocol::presence::Roster;
use tengen_protocol::server::{Pushed, Standing as Home};
use tengen_protocol::takeover::Identity;
use tengen_protocol::{Codec, Data, EventId, OutFrame, RawEvent, SessionId, Uid};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::said::{Counted, OnNode};
use super::watching::Cursor;
use super::{Online, places};
use crate::hub::port::Port;
use crate::hub::touched::Touched;

/// Changes are gathered for so long: the same session is told at most five times a second.
const GATHER: Duration = Duration::from_millis(200);
/// How often counts are compared that tell no change, those of clients without a uid, and sessions
/// that are gone forgotten.
const LOOK: Duration = Duration::from_secs(1);
/// Users that are shown one by one. Where there are more, only their numbers are.
const MAX_SHOWN: usize = 1_000;
/// Where there were more, they are shown again from here on.
const LISTED_AGAIN: usize = 900;
/// Users in one event: with the longest uids 150 KiB.
const PER_EVENT: usize = 250;
/// A session with more than this in its queue is told nothing further until it has read, and then
/// everything anew.
const MAX_BACKLOG_BYTES: usize = 256 << 10;

/// The sessions of this node that follow who is online.
#[derive(Default)]
pub(crate) struct Live {
    followers: Mutex<HashMap<SessionId, Follower>>,
    joined: Notify,
}

struct Follower {
    port: Weak<Port>,
    /// The event by which it is told.
    id: EventId,
    /// It has the list, and everything since.
    up_to_date: bool,
}

/// What an event carries. The numbers are always those of all.
#[derive(Serialize)]
struct Shown<'a> {
    /// Forget the list: it begins anew with this.
    reset: bool,
    /// Users are shown one by one. False = there are too many.
    listed: bool,
    ready: bool,
    count: Counted,
    /// How each of these is there now; gone, if on no node.
    users: &'a [User],
}

#[derive(Serialize)]
struct User {
    uid: String,
    nodes: Vec<OnNode>,
}

/// Events with the same content, encoded when the first session of an event id and codec needs them.
struct Said {
    bodies: Vec<Data>,
    frames: HashMap<(EventId, Codec), Vec<OutFrame>>,
}

impl Live {
    /// Tells the session behind `port` by the event `id`, from now until it ends or leaves this
    /// node. One that is told already begins anew.
    pub(crate) fn follow(&self, port: &Arc<Port>, id: EventId) {
        let follower = Follower {
            port: Arc::downgrade(port),
            id,
            up_to_date: false,
        };
        self.followers.lock().insert(port.id.clone(), follower);
        self.joined.notify_one();
    }

    /// Tells it no more.
    pub(crate) fn leave(&self, session: &SessionId) {
        self.followers.lock().remove(session);
    }

    fn is_empty(&self) -> bool {
        self.followers.lock().is_empty()
    }
}

/// What was last told, to see what is not worth telling.
struct Teller {
    online: Arc<Online>,
    cursor: Cursor,
    changed: BTreeSet<Uid>,
    told: Option<(Counted, bool)>,
    listed: bool,
}

/// Tells all followers of `online` until the node ends. Costs nothing while there are none.
pub(crate) async fn run(online: Arc<Online>) {
    let stop = online.stop.clone();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let work = async {
        loop {
            if online.live.is_empty() {
                online.live.joined.notified().await;
            }
            // Not before somebody follows: as long as it is there, changes are kept for it.
            let mut changed = online.view.watching().changed();
            let mut teller = Teller::new(&online);
            while !online.live.is_empty() {
                let next = Instant::now() + GATHER;
                teller.tell();
                tokio::select! {
                    changed = changed.changed() => if changed.is_err() { return },
                    () = online.live.joined.notified() => {}
                    _ = looks.tick() => {}
                }
                sleep_until(next).await;
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

impl Teller {
    fn new(online: &Arc<Online>) -> Teller {
        Teller {
            cursor: Cursor::of_places(online.view.watching()),
            online: Arc::clone(online),
            changed: BTreeSet::new(),
            told: None,
            listed: true,
        }
    }

    /// Tells each follower what it lacks.
    fn tell(&mut self) {
        let current = self.gather();
        let ready = self.online.standing().ready;
        let count = self.online.counted();
        // Some room between, or a number that goes to and fro would be a list each time.
        let listed = count.any <= if self.listed { MAX_SHOWN } else { LISTED_AGAIN };
        let all_anew = !current || listed != self.listed;
        let news = !self.changed.is_empty() || self.told != Some((count, ready));
        let mut changes = (news && !all_anew).then(|| {
            let users = if listed {
                self.changed_users()
            } else {
                Vec::new()
            };
            Said::new(&users, false, listed, ready, count)
        });
        self.changed.clear();
        self.told = Some((count, ready));
        self.listed = listed;

        let mut list = None;
        let mut touched = Touched::with_window(self.online.hub.window.is_open());
        let mut followers = self.online.live.followers.lock();
        let metrics = &self.online.hub.metrics().online;
        followers.retain(|_, follower| {
            follower.up_to_date &= !all_anew;
            let Some(port) = follower.port.upgrade() else {
                return false;
            };
            match readiness(&port) {
                Readiness::Gone => return false,
                Readiness::Busy => {
                    if std::mem::take(&mut follower.up_to_date) {
                        metrics.behind.increment();
                    }
                    return true;
                }
                Readiness::Ready => {}
            }
            let said = if follower.up_to_date {
                match &mut changes {
                    Some(changes) => changes,
                    None => return true,
                }
            } else {
                list.get_or_insert_with(|| self.list(listed, ready, count))
            };
            follower.up_to_date = true;
            let frames = said.frames(&follower.id, port.codec);
            frames.iter().all(|frame| {
                let identity = Identity::Message(rand::random::<u128>().max(1));
                let bounds = self.online.hub.bounds();
                port.push_at_home(frame, &identity, bounds, &mut touched) == Pushed::Queued
            })
        });
        metrics.followers.set(followers.len() as u64);
        drop(followers);
        self.online.hub.settle(&mut touched);
    }

    /// Notes who has changed; false = that is not known any more.
    fn gather(&mut self) -> bool {
        let watching = self.online.view.watching();
        loop {
            let cursor = &mut self.cursor;
            let update = self.online.view.see(|roster| cursor.step(watching, roster));
            let Some(update) = update else { return true };
            if update.reload {
                self.cursor = Cursor::of_places(watching);
                return false;
            }
            let changes = update.changes.into_iter();
            self.changed.extend(changes.map(|change| change.uid));
        }
    }

    fn changed_users(&self) -> Vec<User> {
        let view = &self.online.view;
        let user = |roster: &Roster, uid: &Uid| User::new(roster, uid);
        let changed: Vec<&Uid> = self.changed.iter().collect();
        let parts = changed.chunks(PER_EVENT).flat_map(|part| {
            view.see(|roster| -> Vec<User> { part.iter().map(|uid| user(roster, uid)).collect() })
        });
        parts.collect()
    }

    /// Everybody, and the numbers.
    fn list(&self, listed: bool, ready: bool, count: Counted) -> Said {
        let (mut users, mut after) = (Vec::new(), None);
        while listed && users.len() < 2 * MAX_SHOWN {
            after = self.online.view.see(|roster| {
                let page = roster.page(after.as_ref(), PER_EVENT, None);
                let there = page.users.iter();
                users.extend(there.map(|(uid, _)| User::new(roster, uid)));
                page.next
            });
            if after.is_none() {
                break;
            }
        }
        Said::new(&users, true, listed, ready, count)
    }
}

enum Readiness {
    Ready,
    /// It has not read what it was told, or is on its way to another node.
    Busy,
    /// It has ended, or is at another node.
    Gone,
}

fn readiness(port: &Port) -> Readiness {
    port.with(|inner| match inner.session.standing() {
        _ if inner.session.is_over() => Readiness::Gone,
        Home::Moved => Readiness::Gone,
        Home::Home if inner.session.queue_bytes() <= MAX_BACKLOG_BYTES => Readiness::Ready,
        Home::Home | Home::Arriving | Home::Frozen => Readiness::Busy,
    })
}

impl User {
    fn new(roster: &Roster, uid: &Uid) -> User {
        User {
            uid: uid.as_str().to_owned(),
            nodes: places(roster, uid).iter().map(OnNode::from).collect(),
        }
    }
}

impl Said {
    fn new(users: &[User], reset: bool, listed: bool, ready: bool, count: Counted) -> Said {
        let mut parts: Vec<&[User]> = users.chunks(PER_EVENT).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let bodies = parts.iter().enumerate().filter_map(|(number, users)| {
            let shown = Shown {
                reset: reset && number == 0,
                listed,
                ready,
                count,
                users,
            };
            // Texts, numbers and truth values: nothing that could not be said.
            Data::from(Codec::Cbor, &shown).ok()
        });
        Said {
            bodies: bodies.collect(),
            frames: HashMap::new(),
        }
    }

    fn frames(&mut self, id: &EventId, codec: Codec) -> &[OutFrame] {
        let bodies = &self.bodies;
        self.frames.entry((id.clone(), codec)).or_insert_with(|| {
            let frames = bodies.iter().filter_map(|data| {
                let event = RawEvent::new(Codec::Cbor, id, data).ok()?;
                event.to_frame(codec).ok()
            });
            frames.collect()
        })
    }
}
