//! A service's copy of who is online: right after loading, changes, losses, outages and another teller.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tengen_bus::presence::{Change, Follow};
use tengen_bus::{Bus, Delivery, Message, Publish, Subscribe};
use tengen_protocol::presence::{
    Epoch, Feed, Page, Said, Stream, Told as _, ToldPage, ToldRequest,
};
use tengen_protocol::subject::Subjects;
use tengen_protocol::{NodeId, Uid};
use tokio::task::JoinHandle;

use crate::world::{DEADLINE, World};

crate::promises! {
    a_copy_is_loaded_in_pages_and_kept_by_the_feed
    a_service_may_begin_before_any_node_does
    a_lost_change_shows_in_the_next_mark
    an_outage_of_the_service_is_made_good
    another_teller_is_followed
    another_teller_of_the_same_users_sends_none_of_them
    what_cannot_be_read_is_counted_and_changes_nothing
    a_service_that_does_not_listen_is_bounded_and_right_again_when_it_does
}

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a uid")
}

fn uids(texts: &[&str]) -> Vec<Uid> {
    texts.iter().map(|text| uid(text)).collect()
}

/// Says what a node that tells would say.
struct Teller {
    bus: Bus,
    state: Arc<Mutex<State>>,
    answering: JoinHandle<()>,
}

struct State {
    stream: Stream,
    n: u64,
    told: BTreeSet<Uid>,
    /// Users on the pages so far.
    sent: usize,
}

impl Teller {
    async fn start(bus: &Bus, name: &str, told: &[&str]) -> Teller {
        let state = Arc::new(Mutex::new(State {
            stream: Stream {
                teller: NodeId::parse(name).expect("a node id"),
                epoch: Epoch(7),
            },
            n: 3,
            told: uids(told).into_iter().collect(),
            sent: 0,
        }));
        let mut asked = bus
            .subscribe(&Subjects::default().presence_told(), Subscribe::default())
            .await
            .expect("subscribed");
        let (answers, pages) = (bus.clone(), Arc::clone(&state));
        let answering = tokio::spawn(async move {
            while let Some(delivery) = asked.recv().await {
                let Delivery::Message(Message { body, reply, .. }) = delivery else {
                    continue;
                };
                let request = ToldRequest::decode(&body).expect("what a follower asks");
                let page = pages.lock().expect("unpoisoned").page(&request);
                let reply = reply.expect("a request");
                // A bus that goes down meanwhile: it is asked again.
                let _ = answers.publish(Publish::new(reply, page.encode())).await;
            }
        });
        Teller {
            bus: bus.clone(),
            state,
            answering,
        }
    }

    /// Tells, and says so; or, when it is `lost`, only the former.
    async fn tell(&self, opens: &[&str], closes: &[&str], lost: bool) {
        let (opens, closes) = (uids(opens), uids(closes));
        let feed = {
            let mut state = self.state.lock().expect("unpoisoned");
            state.n += 1;
            state.told.extend(opens.iter().cloned());
            state.told.retain(|uid| !closes.contains(uid));
            state.message(Said::Change { opens, closes })
        };
        if !lost {
            self.say(&feed).await;
        }
    }

    async fn mark(&self) {
        let mark = self.state.lock().expect("unpoisoned").message(Said::Mark);
        self.say(&mark).await;
    }

    async fn reload(&self) {
        let reload = {
            let mut state = self.state.lock().expect("unpoisoned");
            state.n += 1;
            state.message(Said::Reload)
        };
        self.say(&reload).await;
    }

    async fn say(&self, feed: &Feed) {
        let subject = Subjects::default().presence_changes();
        let said = self.bus.publish(Publish::new(subject, feed.encode())).await;
        said.expect("published");
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

impl State {
    fn message(&self, said: Said) -> Feed {
        Feed {
            stream: self.stream.clone(),
            n: self.n,
            handled: self.n,
            said,
        }
    }

    /// Two at a time, so that there are pages; none for whoever has them all.
    fn page(&mut self, request: &ToldRequest) -> ToldPage {
        let has = request.have.as_ref().map(|have| have.all);
        let same = has == Some(self.told.told_sum());
        let Page { users, next } = match same {
            true => Page {
                users: Vec::new(),
                next: None,
            },
            false => self.told.told_page(request.after.as_ref(), 2),
        };
        self.sent += users.len();
        ToldPage {
            stream: self.stream.clone(),
            n: self.n,
            same,
            uids: users,
            next,
        }
    }
}

async fn follow(world: &World) -> Follow {
    let online = Follow::start(&world.b, &Subjects::default()).await;
    let online = online.expect("subscribed");
    world.settle().await;
    online
}

/// Follows until the copy is whole and exactly this; what changed until then, in order.
async fn becomes(online: &mut Follow, who: &[&str]) -> Vec<Change> {
    let mut changes = Vec::new();
    let follow = async {
        while !(online.is_whole() && online.iter().eq(&uids(who))) {
            changes.push(online.next().await.expect("the bus is there"));
        }
    };
    if tokio::time::timeout(DEADLINE, follow).await.is_err() {
        panic!("not {who:?} but {:?}", online.iter().collect::<Vec<_>>());
    }
    changes
}

fn came(changes: &[Change]) -> Vec<&str> {
    let opens = changes.iter().flat_map(|change| &change.opens);
    opens.map(Uid::as_str).collect()
}

fn went(changes: &[Change]) -> Vec<&str> {
    let closes = changes.iter().flat_map(|change| &change.closes);
    closes.map(Uid::as_str).collect()
}

async fn a_copy_is_loaded_in_pages_and_kept_by_the_feed(world: World) {
    let teller = Teller::start(&world.a, "n1", &["a", "b", "c", "d", "e"]).await;
    let mut online = follow(&world).await;
    let changes = becomes(&mut online, &["a", "b", "c", "d", "e"]).await;
    assert_eq!(came(&changes), ["a", "b", "c", "d", "e"]);
    assert!(online.contains(&uid("c")) && !online.contains(&uid("x")));
    teller.tell(&["f"], &["b"], false).await;
    teller.tell(&["b"], &[], false).await;
    let changes = becomes(&mut online, &["a", "b", "c", "d", "e", "f"]).await;
    assert_eq!(
        (came(&changes), went(&changes)),
        (vec!["f", "b"], vec!["b"])
    );
    // What is told again is no change.
    teller.tell(&["f"], &["x"], false).await;
    teller.tell(&[], &["f"], false).await;
    let changes = becomes(&mut online, &["a", "b", "c", "d", "e"]).await;
    assert_eq!((came(&changes), went(&changes)), (vec![], vec!["f"]));
    assert_eq!(online.len(), 5);
}

async fn a_service_may_begin_before_any_node_does(world: World) {
    let mut online = follow(&world).await;
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), online.next()).await;
    assert!(early.is_err(), "{early:?}");
    assert!(!online.is_whole() && online.is_empty());
    let teller = Teller::start(&world.a, "n1", &["a"]).await;
    teller.reload().await;
    becomes(&mut online, &["a"]).await;
}

async fn a_lost_change_shows_in_the_next_mark(world: World) {
    let teller = Teller::start(&world.a, "n1", &["a"]).await;
    let mut online = follow(&world).await;
    becomes(&mut online, &["a"]).await;
    teller.tell(&["b"], &["a"], true).await;
    teller.mark().await;
    let changes = becomes(&mut online, &["b"]).await;
    assert_eq!((came(&changes), went(&changes)), (vec!["b"], vec!["a"]));
}

async fn an_outage_of_the_service_is_made_good(mut world: World) {
    let teller = Teller::start(&world.a, "n1", &["a"]).await;
    let mut online = follow(&world).await;
    becomes(&mut online, &["a"]).await;
    world.outage().await;
    // It knows that it does not know.
    let down = tokio::time::timeout(DEADLINE, online.next()).await;
    assert_eq!(down.expect("in time"), Some(Change::default()));
    assert!(!online.is_whole() && online.contains(&uid("a")));
    teller.tell(&["b"], &["a"], true).await;
    world.heal().await;
    let changes = becomes(&mut online, &["b"]).await;
    assert_eq!((came(&changes), went(&changes)), (vec!["b"], vec!["a"]));
}

async fn another_teller_is_followed(world: World) {
    let teller = Teller::start(&world.a, "n1", &["a", "b"]).await;
    let mut online = follow(&world).await;
    becomes(&mut online, &["a", "b"]).await;
    drop(teller);
    let teller = Teller::start(&world.a, "n2", &["b", "c"]).await;
    world.settle().await;
    teller.reload().await;
    becomes(&mut online, &["b", "c"]).await;
    teller.tell(&[], &["b"], false).await;
    becomes(&mut online, &["c"]).await;
}

async fn another_teller_of_the_same_users_sends_none_of_them(world: World) {
    let teller = Teller::start(&world.a, "n1", &["a", "b"]).await;
    let mut online = follow(&world).await;
    becomes(&mut online, &["a", "b"]).await;
    teller.tell(&["c"], &["a"], false).await;
    becomes(&mut online, &["b", "c"]).await;
    drop(teller);
    let teller = Teller::start(&world.a, "n2", &["b", "c"]).await;
    world.settle().await;
    teller.reload().await;
    while online.is_whole() {
        online.next().await.expect("the bus is there");
    }
    assert_eq!(becomes(&mut online, &["b", "c"]).await, [Change::default()]);
    assert_eq!(teller.state.lock().expect("unpoisoned").sent, 0);
    // And it goes on from there.
    teller.tell(&["d"], &[], false).await;
    becomes(&mut online, &["b", "c", "d"]).await;
}

async fn what_cannot_be_read_is_counted_and_changes_nothing(world: World) {
    let teller = Teller::start(&world.a, "n1", &["a"]).await;
    let mut online = follow(&world).await;
    becomes(&mut online, &["a"]).await;
    let subject = Subjects::default().presence_changes();
    for bad in [
        "",
        "{",
        r#"{"version":2,"teller":"n1","epoch":7,"n":4,"closes":["a"]}"#,
        r#"{"teller":"n1","epoch":7,"n":4,"closes":["a",""]}"#,
    ] {
        let said = teller.bus.publish(Publish::new(subject.clone(), bad)).await;
        said.expect("published");
    }
    teller.tell(&["b"], &[], false).await;
    becomes(&mut online, &["a", "b"]).await;
    assert_eq!(online.malformed(), 4);
}

async fn a_service_that_does_not_listen_is_bounded_and_right_again_when_it_does(world: World) {
    let teller = Teller::start(&world.a, "n1", &["a"]).await;
    let online = Follow::bounded(&world.b, &Subjects::default(), 1 << 20).await;
    let mut online = online.expect("subscribed");
    world.settle().await;
    becomes(&mut online, &["a"]).await;
    // 4 MiB of the longest names come and go; 1 MiB fits.
    let long: Vec<String> = (0..1_000).map(|n| format!("{n:0>250}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    for _ in 0..8 {
        teller.tell(&long, &[], false).await;
        teller.tell(&[], &long, false).await;
    }
    teller.tell(&["b"], &["a"], false).await;
    becomes(&mut online, &["b"]).await;
}
