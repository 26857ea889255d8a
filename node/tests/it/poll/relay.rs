//! Any node serves any GET and POST: round robin over three, homes that stop or die, and what only looks like a relay.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tengen_bus::Publish;
use tengen_protocol::relay::{FromHome, RelayedPoll, ToHome};
use tengen_protocol::{NodeId, SessionId};

use super::{echo, push};
use crate::cluster::{Cluster, Kind, PATIENCE, eventually, metric, soon};
use crate::each_bus;
use crate::poller::{Poller, lines};

each_bus!(
    any_node_serves_any_get_and_post_without_loss_or_repetition,
    a_get_held_at_another_node_is_woken_by_a_push,
    a_home_that_is_gone_is_a_410_and_the_hello_begins_anew,
    a_session_that_no_node_has_is_a_410_at_every_node,
    f102_another_address_and_another_node_keep_receiving,
);

async fn any_node_serves_any_get_and_post_without_loss_or_repetition(kind: Kind) {
    let cluster = Cluster::with(kind, 3, echo).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    for turn in 0..9_u64 {
        let node = usize::try_from(turn % 3).expect("small");
        push(&cluster, node, "alice", json!(turn)).await;
        let asked = json!([2, turn, "a/echo", {"turn": turn}, 5000]);
        assert_eq!(tab.post((node + 1) % 3, &[asked]).await, turn + 1);
        let mut items = tab.take((node + 2) % 3).await;
        while items.len() < 2 {
            items.extend(tab.take(node).await);
        }
        assert_eq!(items.len(), 2, "{items:?}");
        assert!(items.contains(&json!([1, "x/y", turn])), "{items:?}");
        assert!(
            items.contains(&json!([3, turn, 0, {"turn": turn}])),
            "{items:?}"
        );
    }
    assert_eq!((tab.received, tab.posted), (18, 9));
    let home = metric(&cluster, 0, "tengen_poll_for_others_total").await;
    assert!(home >= 12, "{home} were relayed");
    // Only a hello moves a session, and this one named no other node.
    for node in 1..3 {
        assert_eq!(metric(&cluster, node, "tengen_hub_sessions ").await, 0);
    }
}

async fn a_get_held_at_another_node_is_woken_by_a_push(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    let held = tokio::spawn(async move { tab.take(1).await });
    // Held at both: at the one that has the request and at the one that has the session.
    for node in 0..2 {
        eventually("held", async || {
            metric(&cluster, node, "tengen_poll_parked").await == 1
        })
        .await;
    }
    push(&cluster, 2, "alice", json!("wake up")).await;
    let items = soon("the answer", held).await.expect("no panic");
    assert_eq!(items, [json!([1, "x/y", "wake up"])]);
    for node in 0..2 {
        assert_eq!(metric(&cluster, node, "tengen_poll_parked").await, 0);
    }
}

async fn a_home_that_is_gone_is_a_410_and_the_hello_begins_anew(kind: Kind) {
    let mut cluster = Cluster::with(kind, 3, echo).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    assert_eq!(tab.post(1, &[json!([2, 1, "a/echo", 1, 5000])]).await, 1);
    assert_eq!(tab.take(2).await, [json!([3, 1, 0, 1])]);
    drop(cluster.take(0));
    // What was asked while it died may have been for nobody to answer: 503, ask again.
    eventually("the home is known to be gone", async || {
        tab.get(1).await.status == 410
    })
    .await;
    let begun = Instant::now();
    for node in [1, 2] {
        tab.get(node).await.is_refusal(410, "12");
        let posted = tab.post_at(node, 2, "[1,\"a/b\"]\n").await;
        posted.is_refusal(410, "12");
    }
    assert!(begun.elapsed() < PATIENCE, "nobody waits for the dead");
    let hello = tab.hello(1).await;
    assert_eq!(
        (&hello["resumed"], &hello["gap"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(tab.post(2, &[json!([2, 2, "a/echo", 2, 5000])]).await, 1);
    assert_eq!(tab.take(2).await, [json!([3, 2, 0, 2])]);
}

async fn a_session_that_no_node_has_is_a_410_at_every_node(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    let own = tab.session.clone();
    for id in [
        "n0.AAAAAAAAAAAAAAAAAAAAAA",
        "n2.AAAAAAAAAAAAAAAAAAAAAA",
        "nowhere.AAAAAAAAAAAAAAAAAAAAAA",
    ] {
        tab.session = id.to_owned();
        tab.get(1).await.is_refusal(410, "12");
        let posted = tab.post_at(1, 1, "[1,\"a/b\"]\n").await;
        posted.is_refusal(410, "12");
    }
    // Another user's, at a node that is not its home.
    tab.session = own;
    let mut mallory = tab.clone();
    mallory.uid = Some("mallory".to_owned());
    mallory.get(2).await.is_refusal(410, "12");
    push(&cluster, 0, "alice", json!(1)).await;
    assert_eq!(tab.take(2).await, [json!([1, "x/y", 1])]);
}

async fn f102_another_address_and_another_node_keep_receiving(kind: Kind) {
    let cluster = Cluster::start(kind, 2).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    push(&cluster, 0, "alice", json!(1)).await;
    assert_eq!(tab.take(0).await, [json!([1, "x/y", 1])]);
    // The same tab from elsewhere: other sockets, another source, another way in.
    let mut moved = tab.on_address([127, 0, 0, 9]);
    push(&cluster, 1, "alice", json!(2)).await;
    assert_eq!(moved.take(1).await, [json!([1, "x/y", 2])]);
    push(&cluster, 0, "alice", json!(3)).await;
    assert_eq!(moved.take(0).await, [json!([1, "x/y", 3])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relayed_post_keeps_its_errors_bounds_and_bytes() {
    let cluster = Cluster::with(Kind::Nats, 2, echo).await;
    let mut tab = Poller::open(&cluster, 0, None).await;
    let limit = 512 << 10;
    let of_length = |length: usize| {
        let around = json!([2, 1, "a/echo", "", 5000]).to_string().len();
        json!([2, 1, "a/echo", "x".repeat(length - around), 5000])
    };
    let item = of_length(limit);
    assert_eq!(tab.post(1, std::slice::from_ref(&item)).await, 1);
    assert_eq!(tab.take(1).await, [json!([3, 1, 0, item[3]])]);
    let larger = lines(&[of_length(limit + 64 * 1_024)]);
    tab.post_at(1, 2, &larger).await.is_refusal(413, "6");
    let cbor = [("content-type", "application/cbor-seq")];
    let other = tab.request(1, "POST", "?first=2", &cbor, b"\x81\x06".to_vec());
    other.await.is_refusal(400, "4507");
    let mut old = tab.clone();
    old.attempt = 0;
    old.get(1).await.is_refusal(409, "4505");
    let undecodable = tab.post_at(1, 2, "nonsense\n").await.frames();
    assert_eq!(undecodable[0][1], 2);
    let error = tab.take(1).await;
    assert_eq!(error[0][1], "chsk/error");
    assert_eq!(error[0][2]["code"], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_one_message_of_the_bus_is_relayed_all_the_same() {
    let cluster = Cluster::with(Kind::Nats, 2, echo).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    // A control character is one byte in CBOR and six in JSON, so the frame has 1.5 MiB.
    let text = "\u{1}".repeat(250 << 10);
    push(&cluster, 0, "alice", json!(text)).await;
    push(&cluster, 0, "alice", json!("after it")).await;
    for expected in [json!(text), json!("after it")] {
        let items = soon("the answer", tab.take(1)).await;
        assert!(items == [json!([1, "x/y", expected])], "{}", items.len());
    }
    assert_eq!(metric(&cluster, 1, "tengen_hub_sessions ").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_get_at_another_node_is_answered_in_time() {
    let timeout = Duration::from_millis(700);
    let cluster = Cluster::with(Kind::Local, 2, |builder| {
        builder.settings(|config| config.poll_timeout = timeout)
    })
    .await;
    let mut tab = Poller::open(&cluster, 0, None).await;
    let begun = Instant::now();
    assert_eq!(tab.get(1).await.frames(), Vec::<Value>::new());
    let held = begun.elapsed();
    assert!(held >= timeout, "{held:?}");
    assert!(held < timeout + Duration::from_secs(3), "{held:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_answers_the_gets_it_holds_for_another() {
    let mut cluster = Cluster::start(Kind::Local, 2).await;
    let mut tab = Poller::open(&cluster, 0, None).await;
    let mut waiting = tab.clone();
    let held = tokio::spawn(async move { waiting.get(1).await });
    eventually("held", async || {
        metric(&cluster, 1, "tengen_poll_parked").await == 1
    })
    .await;
    soon("the node stops", cluster.take(1).stop()).await;
    let answer = soon("the answer", held).await.expect("no panic");
    assert_eq!(answer.frames(), Vec::<Value>::new());
    // The session is where it was.
    assert_eq!(tab.post(0, &[json!([1, "a/b"])]).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_bus_other_nodes_sessions_are_a_503_at_once_and_come_back() {
    let mut cluster = Cluster::with(Kind::Nats, 2, echo).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    let mut waiting = tab.clone();
    let held = tokio::spawn(async move { waiting.get(1).await });
    eventually("held", async || {
        metric(&cluster, 0, "tengen_poll_parked").await == 1
    })
    .await;
    cluster.stop_nats();
    let held = soon("the held one", held).await.expect("no panic");
    held.is_refusal(503, "13");
    tab.n = 1;
    tab.get(1).await.is_refusal(503, "13");
    // At its home the session goes on.
    assert_eq!(tab.post(0, &[json!([2, 1, "a/echo", 1, 5000])]).await, 1);
    cluster.start_nats().await;
    for node in 0..2 {
        cluster.ready(node).await;
    }
    let items = tab.take_many(2).await;
    assert!(items.contains(&json!([3, 1, 0, 1])), "{items:?}");
    let gap = items.iter().find(|item| item[1] == "chsk/gap");
    assert!(gap.is_some(), "{items:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay_messages_that_are_none_are_counted_and_change_nothing() {
    let cluster = Cluster::start(Kind::Local, 2).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    let (service, subjects) = (cluster.service().await, cluster.subjects());
    let home = NodeId::parse("n0").expect("an id");
    let good = ToHome::Poll(RelayedPoll {
        session: SessionId::parse(&tab.session).expect("an id"),
        uid: None,
        attempt: 1,
        n: 1,
        received: 0,
        hold_ms: 0,
    })
    .encode();
    let ask = async |what: &str, body: Bytes| {
        let message = Publish::new(subjects.node(&home, what), body);
        service.request(message, PATIENCE).await.expect("an answer")
    };
    for what in ["poll", "post"] {
        for end in [0, 1, 2, good.len() / 2, good.len() - 1] {
            let answer = ask(what, good.slice(..end)).await;
            assert_eq!(answer.headers.first("Tengen-Error"), Some("5"), "{end}");
        }
        let mut later = good.to_vec();
        later[1] = 2;
        let answer = ask(what, later.into()).await;
        assert_eq!(answer.headers.first("Tengen-Error"), Some("5"));
    }
    let unknown = metric(&cluster, 0, "tengen_poll_relay_unknown_version_total").await;
    assert_eq!(unknown, 2);
    let malformed = metric(&cluster, 0, "tengen_poll_relay_malformed_total").await;
    assert_eq!(malformed, 10);
    // The rest of an answer that was never begun, and asked for where nobody keeps any.
    let rest = ToHome::Rest { id: 1, from: 0 }.encode();
    let answer = ask("poll", rest.clone()).await;
    let unknown = FromHome::decode(&answer.body).expect("an answer");
    assert_eq!(unknown, FromHome::NotMine);
    let answer = ask("post", rest).await;
    assert_eq!(answer.headers.first("Tengen-Error"), Some("5"));
    // A good one for somebody else's session, and for one that has just ended.
    let answer = ask("poll", good).await;
    let refused = FromHome::decode(&answer.body).expect("an answer");
    assert!(
        matches!(refused, FromHome::Refused(410, 12, _)),
        "{refused:?}"
    );
    tab.post_at(1, 1, "[7,1000,\"done\"]\n").await.frames();
    tab.get(1).await.is_refusal(410, "12");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_that_stops_tells_the_gets_that_others_hold_and_takes_no_more() {
    let mut cluster = Cluster::start(Kind::Local, 2).await;
    let mut tab = Poller::open(&cluster, 0, None).await;
    let mut waiting = tab.clone();
    let held = tokio::spawn(async move { waiting.get(1).await });
    eventually("held", async || {
        metric(&cluster, 0, "tengen_poll_parked").await == 1
    })
    .await;
    soon("the node stops", cluster.take(0).stop()).await;
    let told = soon("the answer", held).await.expect("no panic").frames();
    assert_eq!((&told[0][0], &told[0][1]), (&json!(7), &json!(4003)));
    tab.n = 1;
    tab.get(1).await.is_refusal(410, "12");
}
