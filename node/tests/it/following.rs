//! A page that is shown who is online, on which node and by which transport: the list, then what changes.

use std::collections::BTreeMap;

use serde_json::Value;
use tengen_client::{Client, TransportChoice};
use tengen_node::{AppError, Event, Handle, NodeBuilder};

use crate::cluster::{Cluster, Kind, eventually, metric};
use crate::heard::Heard;

crate::each_bus!(
    a_client_that_follows_is_shown_who_is_online_where_and_by_what,
    a_client_that_goes_on_at_another_node_asks_there_and_is_shown_everything_again,
);

fn followed(builder: NodeBuilder) -> NodeBuilder {
    builder
        .on("t/follow", async |event: Event, handle: Handle| {
            let shown = handle.watch_for(&event, "t/online");
            shown.map_err(|refusal| AppError::new(1000, refusal.message))
        })
        .on("t/reserved", async |event: Event, handle: Handle| {
            let shown = handle.watch_for(&event, "chsk/online");
            shown.map_err(|refusal| AppError::new(1000, refusal.message))
        })
        .on("t/leave", async |event: Event, handle: Handle| {
            handle.unwatch_for(&event);
        })
}

/// The list as a page would keep it: `uid` → `node ws`, `node poll`, …
struct List {
    heard: Heard,
    users: BTreeMap<String, Vec<String>>,
    resets: usize,
    last: Value,
}

impl List {
    async fn of(client: &Client) -> List {
        let heard = Heard::by(client);
        client.send("t/follow", &()).await.expect("handled");
        List {
            heard,
            users: BTreeMap::new(),
            resets: 0,
            last: Value::Null,
        }
    }

    async fn take(&mut self) {
        let told: Value = self.heard.data("t/online").await;
        if told["reset"] == true {
            self.resets += 1;
            self.users.clear();
        }
        for user in told["users"].as_array().expect("a list") {
            let mut places = Vec::new();
            for place in user["nodes"].as_array().expect("a list") {
                for by in ["ws", "poll"] {
                    if place[by] == true {
                        places.push(format!("{} {by}", place["node"].as_str().expect("a name")));
                    }
                }
            }
            let uid = user["uid"].as_str().expect("a text").to_owned();
            match places.is_empty() {
                true => self.users.remove(&uid),
                false => self.users.insert(uid, places),
            };
        }
        self.last = told;
    }

    /// Takes events until the list is this one.
    async fn until(&mut self, expected: &[(&str, &[&str])]) {
        let expected: BTreeMap<String, Vec<String>> = expected
            .iter()
            .map(|(uid, places)| {
                let places = places.iter().map(|place| (*place).to_owned());
                ((*uid).to_owned(), places.collect())
            })
            .collect();
        while self.users != expected {
            self.take().await;
        }
    }
}

async fn a_client_that_follows_is_shown_who_is_online_where_and_by_what(kind: Kind) {
    let cluster = Cluster::with(kind, 2, followed).await;
    for transport in [TransportChoice::Ws, TransportChoice::Poll] {
        let alice = cluster.builder(0, Some("alice")).transport(transport);
        let alice = alice.connect().await.expect("the client connects");
        let by: &[&str] = match transport {
            TransportChoice::Poll => &["n0 poll"],
            _ => &["n0 ws"],
        };
        let mut list = List::of(&alice).await;
        list.until(&[("alice", by)]).await;
        assert_eq!(list.last["listed"], true);

        let bob = cluster.client(1, Some("bob")).await;
        list.until(&[("alice", by), ("bob", &["n1 ws"])]).await;
        // The sets do not change, the places do.
        let again = cluster.client(0, Some("bob")).await;
        list.until(&[("alice", by), ("bob", &["n0 ws", "n1 ws"])])
            .await;
        drop(bob);
        list.until(&[("alice", by), ("bob", &["n0 ws"])]).await;
        let nobody = cluster.client(1, None).await;
        while list.last["count"]["anonymous"]["ws"] != 1 {
            list.take().await;
        }
        drop(again);
        list.until(&[("alice", by)]).await;
        assert_eq!(list.resets, 1, "it was told changes, not everything anew");

        alice.send("t/leave", &()).await.expect("handled");
        alice.close().await;
        nobody.close().await;
        eventually("alice has left", async || {
            !cluster.node(1).handle().is_online("alice")
                && !cluster.node(0).handle().is_online("alice")
                && cluster.node(0).handle().counts().anonymous == [0, 0]
        })
        .await;
    }
}

async fn a_client_that_goes_on_at_another_node_asks_there_and_is_shown_everything_again(
    kind: Kind,
) {
    let cluster = Cluster::with(kind, 2, followed).await;
    let proxy = cluster.proxy(&[0, 1]).await;
    let alice = cluster.through(&proxy, Some("alice"));
    let alice = alice.connect().await.expect("the client connects");
    let here = || alice.state().borrow().node.clone().expect("it is open");
    let (first, before) = (here(), |node: &str| format!("{node} ws"));
    let mut list = List::of(&alice).await;
    list.until(&[("alice", &[&before(first.as_str())])]).await;
    eventually("alice goes on at the other node", async || {
        alice.reconnect().await.expect("it reconnects");
        eventually("it is open", async || alice.state().borrow().open).await;
        here() != first
    })
    .await;
    alice.send("t/follow", &()).await.expect("handled");
    while list.resets < 2 {
        list.take().await;
    }
    list.until(&[("alice", &[&before(here().as_str())])]).await;
    // From there on she is shown what changes.
    let _bob = cluster.client(0, Some("bob")).await;
    list.until(&[("alice", &[&before(here().as_str())]), ("bob", &["n0 ws"])])
        .await;
    assert_eq!(list.resets, 2);
    // The first node has forgotten her.
    let followers = async |node| metric(&cluster, node, "tengen_online_followers ").await;
    eventually("one node has a follower", async || {
        followers(0).await + followers(1).await == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_does_not_read_is_told_everything_anew_and_not_closed() {
    let cluster = Cluster::with(Kind::Local, 1, followed).await;
    let proxy = cluster.proxy(&[0]).await;
    let alice = cluster.through(&proxy, Some("alice"));
    let alice = alice.connect().await.expect("the client connects");
    let mut list = List::of(&alice).await;
    list.until(&[("alice", &["n0 ws"])]).await;
    let link = proxy.links().pop().expect("alice's");
    link.stall();
    let handle = cluster.node(0).handle();
    let padding = "x".repeat(64 << 10);
    for _ in 0..8 {
        let pushed = handle.send_to_uid("alice", "t/large", &padding).await;
        pushed.expect("pushed");
    }
    let _bob = cluster.client(0, Some("bob")).await;
    eventually("it is noticed to be behind", async || {
        metric(&cluster, 0, "tengen_online_behind_total ").await == 1
    })
    .await;
    link.resume();
    loop {
        let (id, data) = list.heard.next().await;
        if id == "t/online" {
            let told: Value = data.to().expect("a value");
            if told["reset"] == true && told["users"].as_array().is_some_and(|it| it.len() == 2) {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_the_library_cannot_carry_the_list() {
    let cluster = Cluster::with(Kind::Local, 1, followed).await;
    let alice = cluster.client(0, Some("alice")).await;
    let mut heard = Heard::by(&alice);
    let sent = alice.send("t/reserved", &()).await;
    if sent.is_ok() {
        let told: Value = heard.data("chsk/error").await;
        assert_eq!(told["code"], 1000, "{told}");
    }
}
