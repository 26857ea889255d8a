//! Who is online: what nodes say of their users, and what the feed tells, as the bus hears it.

/// Makes of `async fn f52_name(way: Way)` one test for each transport and bus, side by side: what
/// they do most is wait.
macro_rules! each_transport {
    ($($name:ident),+ $(,)?) => {
        mod each_transport {
            $(#[test]
            fn $name() {
                $crate::way::run(Box::pin(async {
                    let ways = $crate::presence::ways().map(async |way| {
                        super::$name(way).await;
                        // Shown when the test fails: the one that is missing is to blame.
                        println!("passed: {way:?}");
                    });
                    futures_util::future::join_all(ways).await;
                }));
            })+
        }
    };
}

mod bad_input;
mod comings;
mod consumers;
mod departures;
mod identities;
mod moves;
mod tellers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tengen_bus::{Bus, Delivery, Subscribe, Subscription};
use tengen_protocol::Codec;
use tengen_protocol::presence::{Beat, Feed, Kinds, Message, Said};

use crate::cluster::{Cluster, Kind, eventually};
use crate::way::{By, Way};

/// Each transport on each bus.
fn ways() -> impl Iterator<Item = Way> {
    let all = [
        (Kind::Local, By::Ws, Codec::Cbor),
        (Kind::Local, By::Poll, Codec::Json),
        (Kind::Nats, By::Ws, Codec::Json),
        (Kind::Nats, By::Poll, Codec::Cbor),
    ];
    all.into_iter().map(|(bus, by, codec)| Way {
        by,
        codec,
        ..Way::from(bus)
    })
}

/// The grace of a way's transport, its margin included.
fn grace(way: Way) -> Duration {
    Duration::from_millis(match way.by {
        By::Ws | By::Auto => 3_000,
        By::Poll => 5_500,
    })
}

/// By what a client of this way is there.
fn kinds(way: Way) -> Kinds {
    match way.by {
        By::Ws | By::Auto => Kinds::WS,
        By::Poll => Kinds::POLL,
    }
}

/// Everything that is said of users, from before the first of them came.
struct Eavesdropper {
    heard: Arc<Mutex<Heard>>,
    _bus: Bus,
}

#[derive(Default)]
struct Heard {
    /// What nodes said of their users: when, which node, whom, how.
    deltas: Vec<(Instant, String, String, Kinds)>,
    /// What the feed said: when, whom, whether there.
    told: Vec<(Instant, String, bool)>,
    beats: BTreeMap<String, Beat>,
    byes: Vec<String>,
    /// Whoever spoke last on the feed.
    teller: Option<String>,
}

impl Heard {
    fn presence(&mut self, message: Message) {
        let now = Instant::now();
        match message {
            Message::Delta(delta) => {
                let node = delta.node.to_string();
                let changes = delta.changes.into_iter();
                self.deltas.extend(
                    changes.map(|(uid, kinds)| (now, node.clone(), uid.to_string(), kinds)),
                );
            }
            Message::Beat(beat) => {
                self.beats.insert(beat.node.to_string(), beat);
            }
            Message::Bye { node, .. } => self.byes.push(node.to_string()),
        }
    }

    fn changes(&mut self, feed: Feed) {
        let now = Instant::now();
        self.teller = Some(feed.stream.teller.to_string());
        if let Said::Change { opens, closes } = feed.said {
            let opens = opens.into_iter().map(|uid| (now, uid.to_string(), true));
            let closes = closes.into_iter().map(|uid| (now, uid.to_string(), false));
            self.told.extend(opens.chain(closes));
        }
    }
}

impl Eavesdropper {
    async fn start(cluster: &Cluster) -> Eavesdropper {
        let (bus, subjects) = (cluster.service().await, cluster.subjects());
        let heard = Arc::<Mutex<Heard>>::default();
        let hear = async |subject: String| {
            let subscription = bus.subscribe(&subject, Subscribe::default()).await;
            subscription.expect("it is a subject")
        };
        let mut presence = hear(subjects.presence()).await;
        let mut changes = hear(subjects.presence_changes()).await;
        let log = Arc::clone(&heard);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    body = next(&mut presence) => {
                        let Some(body) = body else { return };
                        // Some tests talk nonsense here.
                        if let Ok(message) = Message::decode(&body) {
                            log.lock().presence(message);
                        }
                    }
                    body = next(&mut changes) => {
                        let Some(body) = body else { return };
                        if let Ok(feed) = Feed::decode(&body) {
                            log.lock().changes(feed);
                        }
                    }
                }
            }
        });
        Eavesdropper { heard, _bus: bus }
    }

    /// What the feed said of a user, in order.
    fn told(&self, uid: &str) -> Vec<bool> {
        let heard = self.heard.lock();
        let of = heard.told.iter().filter(|(_, of, _)| of == uid);
        of.map(|(_, _, there)| *there).collect()
    }

    /// Who tells.
    fn teller(&self) -> String {
        let teller = self.heard.lock().teller.clone();
        teller.expect("something was told")
    }

    /// When the feed said the last thing of a user.
    fn told_at(&self, uid: &str) -> Instant {
        let heard = self.heard.lock();
        let mut of = heard.told.iter().filter(|(_, of, _)| of == uid);
        of.next_back().expect("something was told").0
    }

    /// What nodes said of a user, in order.
    fn said(&self, uid: &str) -> Vec<(String, Kinds)> {
        let heard = self.heard.lock();
        let of = heard.deltas.iter().filter(|(_, _, of, _)| of == uid);
        of.map(|(_, node, _, kinds)| (node.clone(), *kinds))
            .collect()
    }

    /// When a node said this of a user, the last time.
    fn said_at(&self, uid: &str, node: &str, kinds: Kinds) -> Instant {
        let heard = self.heard.lock();
        let mut of = heard.deltas.iter();
        let said = of.rfind(|(_, at, of, how)| of == uid && at == node && *how == kinds);
        said.expect("it was said").0
    }

    /// How a user is there, node by node, by what was said last.
    fn places(&self, uid: &str) -> BTreeMap<String, Kinds> {
        let mut places = BTreeMap::new();
        for (node, kinds) in self.said(uid) {
            places.insert(node, kinds);
        }
        places.retain(|_, kinds| !kinds.is_none());
        places
    }

    /// After the first word about a user they were never gone.
    fn was_never_gone(&self, uid: &str) -> bool {
        let mut places = BTreeMap::new();
        self.said(uid).into_iter().all(|(node, kinds)| {
            places.insert(node, kinds);
            places.values().any(|kinds| !kinds.is_none())
        })
    }

    async fn until_there(&self, uid: &str, node: &str, kinds: Kinds) {
        eventually("the node says so", async || {
            self.places(uid).get(node) == Some(&kinds)
        })
        .await;
    }

    async fn until_gone_from(&self, uid: &str, node: &str) {
        eventually("the node says so", async || {
            !self.places(uid).contains_key(node)
        })
        .await;
    }

    async fn until_told(&self, uid: &str, expected: &[bool]) {
        // Two patiences: a cluster that has just begun takes six seconds until it has a teller.
        for _ in 0..2 {
            if tokio::time::timeout(crate::cluster::PATIENCE, async {
                while self.told(uid) != expected {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await
            .is_ok()
            {
                return;
            }
        }
        panic!("of {uid} was told {:?}", self.told(uid));
    }
}

async fn next(subscription: &mut Subscription) -> Option<bytes::Bytes> {
    loop {
        match subscription.recv().await? {
            Delivery::Message(message) => return Some(message.body),
            Delivery::Shed(shed) => panic!("a test that cannot keep up: {shed:?}"),
            Delivery::Interrupted => {}
        }
    }
}
