//! Who is online, on five nodes under faults: what every node and a follower of the feed say is what is true, and soon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::Deserialize;
use tempfile::TempDir;
use tengen_bus::presence::Follow;
use tengen_bus::testing::{NatsServer, Proxy};
use tengen_bus::{Bus, NatsOptions};
use tengen_protocol::subject::Subjects;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::crowd::{self, Crowd, Guest};
use crate::pace::Pace;
use crate::process::NodeProcess;
use crate::turns;
use crate::world::{scratch, within};

const NODES: usize = 5;
/// After a fault is over and the clients are where they will be, everybody says the same within this.
const AGREED: Duration = Duration::from_secs(5);
/// And half of the nodes within this.
const AGREED_MEDIAN: Duration = Duration::from_secs(2);
/// How long the users of a node that died are waited for: its time to live, their grace, and a
/// beat at either end.
const MOURNED: Duration = Duration::from_millis(6_000 + 5_500 + 2_000);
/// How much later than the nodes a follower of the feed may know it, when its teller died too.
const TOLD: Duration = Duration::from_secs(10);
/// How long a node is stopped.
const PAUSE: Duration = Duration::from_secs(20);
/// How long clients may take to be where they will be.
const SETTLED: Duration = Duration::from_secs(90);
/// Between two looks at a node's view.
const LOOK: Duration = Duration::from_millis(100);
/// The name of the test below: a crowd runs it too, see there.
const NAME: &str =
    "presence::who_is_online_is_right_on_five_nodes_whatever_happens_to_two_of_them_and_to_nats";

/// By user: over WebSocket, over polls.
type View = BTreeMap<String, (bool, bool)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_online_is_right_on_five_nodes_whatever_happens_to_two_of_them_and_to_nats() {
    if crowd::is_this() {
        return crowd::run().await;
    }
    let _turn = turns::of_a_crowd().await;
    let mut five = Five::start().await;
    let mut away = Away::default();
    five.settle("everybody came", &away, Instant::now(), AGREED)
        .await;

    // One node's clients find another door where there is one; the other's do not.
    five.doors[1].aim(&[
        five.nodes[0].address,
        five.nodes[3].address,
        five.nodes[4].address,
    ]);
    five.feed.lock().clear();
    let died = Instant::now();
    five.nodes[1].kill();
    five.nodes[2].kill();
    away.dead = BTreeSet::from([1, 2]);
    away.moved = BTreeSet::from([1]);
    five.settle("two nodes died", &away, died, MOURNED).await;
    five.nothing_told_of_others_than(&[1, 2]);

    five.doors[2].aim(&[five.nodes[2].address]);
    five.nodes[1].start_again();
    five.nodes[1].ready().await;
    away.dead = BTreeSet::from([2]);
    five.settle("one is back under its name", &away, Instant::now(), AGREED)
        .await;
    five.nodes[2].start_again();
    five.nodes[2].ready().await;
    away.dead.clear();
    five.settle("and the other", &away, Instant::now(), AGREED)
        .await;

    five.feed.lock().clear();
    five.nats.restart().await;
    for node in &five.nodes {
        node.ready().await;
    }
    five.settle("nats was restarted", &away, Instant::now(), AGREED)
        .await;
    five.nothing_told_of_others_than(&[]);

    five.feed.lock().clear();
    five.nodes[3].pause();
    tokio::time::sleep(PAUSE).await;
    five.nodes[3].resume();
    five.settle("one hung for a while", &away, Instant::now(), AGREED)
        .await;
    // Some who came through the first one's door are at this node.
    five.nothing_told_of_others_than(&[1, 3]);
    five.report();
}

/// Which clients cannot be where they were.
#[derive(Default)]
struct Away {
    /// Nodes that do not run.
    dead: BTreeSet<usize>,
    /// Those of them whose door leads elsewhere.
    moved: BTreeSet<usize>,
}

/// A client of the test.
struct Place {
    user: usize,
    node: usize,
    /// Through the node's door, which can lead elsewhere; else straight to the node.
    door: bool,
    poll: bool,
}

impl Place {
    /// Two of ten share a user, on two nodes.
    fn of(number: usize) -> Place {
        Place {
            user: if number % 10 == 9 { number - 1 } else { number },
            node: number % NODES,
            door: (number / NODES).is_multiple_of(NODES),
            poll: number % 4 == 3,
        }
    }

    fn is_open(&self, away: &Away) -> bool {
        !away.dead.contains(&self.node) || self.door && away.moved.contains(&self.node)
    }
}

fn uid(user: usize) -> String {
    format!("user{user}")
}

/// One message of the feed that says something of somebody.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(default)]
    opens: Vec<String>,
    #[serde(default)]
    closes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Page {
    ready: bool,
    uids: Vec<Row>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Row {
    uid: String,
    ws: bool,
    poll: bool,
}

/// Everything that runs.
struct Five {
    nodes: Vec<NodeProcess>,
    doors: Vec<Proxy>,
    places: Vec<Place>,
    crowds: Vec<Crowd>,
    /// What the feed has told since it was cleared.
    feed: Arc<Mutex<Vec<Told>>>,
    /// A service's copy of who is online, while it says that it is whole.
    copy: Arc<Mutex<Option<BTreeSet<String>>>>,
    following: [JoinHandle<()>; 2],
    /// What was done, and how long each node took to say what is true.
    times: Vec<(&'static str, Vec<Duration>)>,
    http: reqwest::Client,
    nats: NatsServer,
    _folder: TempDir,
}

impl Five {
    async fn start() -> Five {
        let pace = Pace::of_this_run();
        let (folder, nats) = (scratch(), NatsServer::start().await);
        // So many clients on a slow machine must not be given up for being slow.
        let settings = [
            ("TENGEN_PING", "5s".to_owned()),
            ("TENGEN_NATS_URL", nats.url()),
        ];
        let nodes: Vec<_> = (0..NODES)
            .map(|number| NodeProcess::start(&format!("n{number}"), folder.path(), &settings))
            .collect();
        let mut doors = Vec::with_capacity(NODES);
        for node in &nodes {
            node.ready().await;
            doors.push(Proxy::start(&[node.address]).await);
        }
        let (feed, listening) = listen(&nats.url()).await;
        let (copy, following) = follow(&nats.url()).await;
        let places: Vec<_> = (0..pace.crowd).map(Place::of).collect();
        let mut guests = Vec::with_capacity(places.len());
        for some in places.chunks(50) {
            let named = some.iter().map(async |place| Guest {
                uid: uid(place.user),
                cookie: nodes[0].log_in(&uid(place.user)).await,
                poll: place.poll,
                address: match place.door {
                    true => doors[place.node].address(),
                    false => nodes[place.node].address,
                },
            });
            guests.extend(join_all(named).await);
        }
        let crowds = guests.chunks(pace.crowd.div_ceil(pace.crowds));
        let crowds = crowds.map(|guests| Crowd::start(NAME, guests)).collect();
        Five {
            nodes,
            doors,
            places,
            crowds,
            feed,
            copy,
            following: [listening, following],
            times: Vec::new(),
            http: reqwest::Client::new(),
            nats,
            _folder: folder,
        }
    }

    /// Waits until the clients are where they can be, and every node says so. From the later of
    /// `since` and that moment on it may take `limit`.
    async fn settle(&mut self, what: &'static str, away: &Away, since: Instant, limit: Duration) {
        let open = self.places.iter().filter(|place| place.is_open(away));
        let open = open.count();
        let since = within(SETTLED, what, async {
            let mut at = since;
            loop {
                let now: usize = self.crowds.iter().map(Crowd::open).sum();
                if now == open {
                    return at;
                }
                at = Instant::now();
                tokio::time::sleep(LOOK / 4).await;
            }
        })
        .await;
        let truth = self.truth(away);
        let mut alive: Vec<_> = (0..NODES).collect();
        alive.retain(|number| !away.dead.contains(number));
        let agreeing = alive
            .iter()
            .map(|number| self.agree(what, *number, &truth, since, limit));
        let mut times: Vec<_> = join_all(agreeing).await;
        times.sort();
        let median = times[times.len() / 2];
        assert!(
            median <= limit.min(AGREED_MEDIAN) || limit > AGREED,
            "{what}: {times:?}"
        );
        self.times.push((what, times));
        let known: BTreeSet<_> = truth.into_keys().collect();
        within(limit + TOLD, what, async {
            while self.copy.lock().as_ref() != Some(&known) {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await;
    }

    fn truth(&self, away: &Away) -> View {
        let mut truth = View::new();
        for place in self.places.iter().filter(|place| place.is_open(away)) {
            let (ws, poll) = truth.entry(uid(place.user)).or_default();
            *ws |= !place.poll;
            *poll |= place.poll;
        }
        truth
    }

    /// How long it takes until the node says what is true.
    async fn agree(
        &self,
        what: &str,
        number: usize,
        truth: &View,
        since: Instant,
        limit: Duration,
    ) -> Duration {
        loop {
            let asked = Instant::now();
            let view = self.view(number).await;
            if view.as_ref() == Some(truth) {
                return asked.duration_since(since);
            }
            let late = asked.duration_since(since);
            if late > limit {
                let view = view.unwrap_or_default();
                let of = |a: &View, b: &View| -> Vec<_> {
                    let differing = a.iter().filter(|(uid, kinds)| b.get(*uid) != Some(kinds));
                    differing
                        .map(|(uid, kinds)| format!("{uid} {kinds:?}"))
                        .take(5)
                        .collect()
                };
                panic!(
                    "{what}: after {late:?} n{number} knows {} users of {}; true and not known: {:?}; known and not true: {:?}",
                    view.len(),
                    truth.len(),
                    of(truth, &view),
                    of(&view, truth),
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// All pages of a node's view; `None` = it did not answer, or does not vouch for it.
    async fn view(&self, number: usize) -> Option<View> {
        let mut view = View::new();
        let mut cursor = None;
        loop {
            // Names of users, plain ones here, need no encoding.
            let url = format!(
                "http://{}/v1/connected-uids?limit=1000{}",
                self.nodes[number].admin,
                cursor
                    .map(|uid: String| format!("&cursor={uid}"))
                    .unwrap_or_default()
            );
            let request = self.http.get(url).timeout(Duration::from_secs(5));
            let page: Page = request.send().await.ok()?.json().await.ok()?;
            if !page.ready {
                return None;
            }
            view.extend(
                page.uids
                    .into_iter()
                    .map(|row| (row.uid, (row.ws, row.poll))),
            );
            cursor = page.next;
            if cursor.is_none() {
                return Some(view);
            }
        }
    }

    /// Fails if the feed has said anything of a user none of whose clients was at one of `touched`.
    fn nothing_told_of_others_than(&self, touched: &[usize]) {
        let touched: BTreeSet<_> = self
            .places
            .iter()
            .filter(|place| touched.contains(&place.node))
            .map(|place| uid(place.user))
            .collect();
        let feed = self.feed.lock();
        let told = feed
            .iter()
            .flat_map(|told| told.opens.iter().chain(&told.closes));
        let wrong: Vec<_> = told.filter(|uid| !touched.contains(*uid)).collect();
        assert!(
            wrong.is_empty(),
            "{} events of users that nothing happened to, such as {:?}",
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
    }

    fn report(&self) {
        println!(
            "{} clients on {NODES} nodes, until all nodes agreed:",
            self.places.len()
        );
        for (what, times) in &self.times {
            let times: Vec<_> = times.iter().map(Duration::as_millis).collect();
            println!("  {what}: {times:?} ms");
        }
    }
}

impl Drop for Five {
    fn drop(&mut self) {
        self.following.iter().for_each(JoinHandle::abort);
    }
}

/// Keeps a copy as any service would.
async fn follow(url: &str) -> (Arc<Mutex<Option<BTreeSet<String>>>>, JoinHandle<()>) {
    let bus = Bus::nats(NatsOptions::new(url)).await.expect("a good url");
    let online = Follow::start(&bus, &Subjects::default()).await;
    let mut online = online.expect("subscribed");
    let copy: Arc<Mutex<Option<BTreeSet<String>>>> = Arc::default();
    let kept = Arc::clone(&copy);
    let following = tokio::spawn(async move {
        while online.next().await.is_some() {
            let users = online.iter().map(|uid| uid.as_str().to_owned());
            *kept.lock() = online.is_whole().then(|| users.collect());
        }
    });
    (copy, following)
}

/// Writes down what the feed tells.
async fn listen(url: &str) -> (Arc<Mutex<Vec<Told>>>, JoinHandle<()>) {
    let nats = async_nats::connect(url).await.expect("connected");
    let mut messages = nats
        .subscribe("tengen.presence.changes")
        .await
        .expect("subscribed");
    nats.flush().await.expect("flushed");
    let feed: Arc<Mutex<Vec<Told>>> = Arc::default();
    let told = Arc::clone(&feed);
    let following = tokio::spawn(async move {
        // Ends the connection with the task.
        let _nats = nats;
        while let Some(message) = messages.next().await {
            let what = serde_json::from_slice(&message.payload).expect("JSON on the feed");
            told.lock().push(what);
        }
    });
    (feed, following)
}
