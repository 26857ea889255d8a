//! What a client says of itself: every key of its state, one event for each change, a reason for each close.

use std::sync::Arc;

use serde_json::Value;
use tengen_client::{Client, CloseReason, State};
use tengen_node::NodeBuilder;
use tengen_protocol::{ClientFrame, ClientHello, ClientId};

use crate::cluster::{Cluster, eventually, metric, soon};
use crate::each_way;
use crate::way::{By, Way};

each_way!(
    f37_f38_the_state_is_watchable_and_each_change_is_one_event,
    f40_each_close_has_its_reason,
);

/// Every key that a state has, absent or not.
const KEYS: [&str; 15] = [
    "transport",
    "open",
    "ever_opened",
    "first_open",
    "uid",
    "session",
    "resumed",
    "gap",
    "handshake_data",
    "node",
    "last_close",
    "last_ws_close",
    "last_error",
    "downgrade",
    "next_reconnect_at",
];

async fn state(
    what: &str,
    client: &Client,
    mut condition: impl FnMut(&State) -> bool,
) -> Arc<State> {
    let mut watcher = client.state();
    let found = soon(what, watcher.wait_for(|state| condition(state))).await;
    found.expect("the client lives").clone()
}

fn greeting(node: NodeBuilder) -> NodeBuilder {
    node.handshake_data(async |_, _| Ok(serde_json::json!({"hello": 1})))
}

async fn f37_f38_the_state_is_watchable_and_each_change_is_one_event(way: Way) {
    let cluster = Cluster::with(way, 1, greeting).await;
    let client = cluster.builder(0, Some("alice")).idle();
    let client = client.expect("it is described");
    let mut stream = client.events();
    client.connect().await.expect("it lives");
    let opened = state("it opens", &client, |state| state.open).await;
    let transport = opened.transport.expect("it is open");
    assert_eq!(transport.name(), way.by.transport());
    assert!(opened.ever_opened && opened.first_open && !opened.resumed && !opened.gap);
    assert_eq!(opened.uid.as_ref().map(|uid| uid.as_str()), Some("alice"));
    assert_eq!(opened.node.as_ref().map(|node| node.as_str()), Some("n0"));
    let told = opened.handshake_data.as_ref().expect("it is open");
    assert_eq!(told.to::<Value>().expect("a map")["hello"], 1);

    client.break_connection(true).await.expect("it lives");
    state("it is back", &client, |state| state.open && state.resumed).await;
    client.disconnect().await.expect("it lives");
    let closed = state("it closes", &client, |state| !state.open).await;
    assert!(closed.ever_opened && !closed.first_open);
    assert_eq!(closed.transport, None);
    // A late watcher sees the current state first.
    let late = client.state().borrow().clone();
    assert_eq!(late, closed);
    client.inject("test/end", &()).await.expect("it lives");

    let (mut last, mut firsts) = (None::<Value>, 0);
    loop {
        let event = soon("an event", stream.recv()).await.expect("it lives");
        if event.id.as_str() == "test/end" {
            break;
        }
        if event.id.as_str() != "chsk/state" {
            continue;
        }
        let [old, new]: [Value; 2] = event.data.to().expect("two states");
        let names: Vec<&str> = new
            .as_object()
            .expect("a map")
            .keys()
            .map(String::as_str)
            .collect();
        for key in KEYS {
            assert!(names.contains(&key), "{key} is not in {names:?}");
        }
        assert_ne!(old, new, "a change");
        if let Some(last) = last {
            assert_eq!(last, old, "nothing changes untold");
        }
        firsts += u32::from(new["first_open"] == true);
        last = Some(new);
    }
    assert_eq!(firsts, 1);
    let last = last.expect("there were changes");
    assert_eq!(last["open"], false);
    assert_eq!(last["last_close"]["reason"], "requested-disconnect");
}

/// Why the client of `uid` was closed, once `close` has been at it.
async fn reason(cluster: &Cluster, uid: &str, close: impl AsyncFnOnce(&Client)) -> CloseReason {
    let client = cluster.builder(0, Some(uid)).client_id("tab").connect();
    let client = client.await.expect("it connects");
    close(&client).await;
    let closed = state(uid, &client, |state| state.last_close.is_some()).await;
    closed.last_close.as_ref().expect("just seen").reason
}

async fn f40_each_close_has_its_reason(way: Way) {
    let mut cluster = Cluster::start(way, 1).await;
    let broken = reason(&cluster, "alice", async |client| {
        client.break_connection(true).await.expect("it lives");
    });
    assert_eq!(broken.await, CloseReason::Unexpected);
    let disconnected = reason(&cluster, "alice", async |client| {
        client.disconnect().await.expect("it lives");
    });
    assert_eq!(disconnected.await, CloseReason::RequestedDisconnect);
    let reconnected = reason(&cluster, "alice", async |client| {
        client.reconnect().await.expect("it lives");
    });
    assert_eq!(reconnected.await, CloseReason::RequestedReconnect);
    let handle = cluster.node(0).handle();
    let kicked = reason(&cluster, "alice", async |_| {
        handle.kick("alice", "enough").await.expect("accepted");
    });
    assert_eq!(kicked.await, CloseReason::Kicked);
    let url = cluster.node(0).url().replacen("ws", "http", 1);
    let superseded = reason(&cluster, "bob", async |client| {
        duplicate_the_tab(&url, client).await;
    });
    assert_eq!(superseded.await, CloseReason::Superseded);

    let client = cluster.client(0, Some("alice")).await;
    if way.by == By::Poll {
        // Between two polls nothing can be said to a client.
        let waits = async || metric(&cluster, 0, "tengen_poll_parked").await > 0;
        eventually("its poll is held", waits).await;
    }
    cluster.take(0).stop().await;
    let closed = state("it is sent away", &client, |state| {
        state.last_close.is_some()
    })
    .await;
    let close = closed.last_close.as_ref().expect("just seen");
    assert_eq!(close.reason, CloseReason::Draining, "{closed:?}");
}

/// Says hello for the client's session with a later attempt, as a copy of it would.
async fn duplicate_the_tab(url: &str, client: &Client) {
    let hello = ClientFrame::Hello(ClientHello {
        client: ClientId::parse("tab").expect("a client id"),
        attempt: 1_000,
        session: client.state().borrow().session.clone(),
        received: Some(0),
        params: None,
    });
    let answer = reqwest::Client::new()
        .post(url)
        .header("x-uid", "bob")
        .header("content-type", client.codec().poll_content_type())
        .body(hello.encode(client.codec()))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
}
