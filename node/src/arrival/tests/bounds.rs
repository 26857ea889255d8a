//! What sessions on their way between nodes may cost, and how they end: kicks, full nodes, shutdown, nonsense.

use std::time::Duration;

use bytes::Bytes;
use tengen_bus::{LocalNet, Publish};
use tengen_protocol::takeover::{Answer, Release, ToNode};
use tengen_protocol::{ClientId, CloseCode, Codec, NodeId, SessionId, Uid};

use super::fixture::{Losing, Node, eventually, hello, node, node_with};
use crate::hub::HelloRefused;

fn alice() -> Uid {
    Uid::parse("alice").expect("valid")
}

/// A session that never was, so that whoever looks for it has to ask everybody.
fn unknown(node: &str, last: char) -> SessionId {
    SessionId::parse(&format!("{node}.{}{last}", "A".repeat(21))).expect("valid")
}

#[tokio::test(start_paused = true)]
async fn more_sessions_than_may_arrive_at_once_are_sent_away_to_come_back() {
    let net = LocalNet::new();
    let b = node_with(&net, "b", |config| config.max_arriving = 2).await;
    let _a = node(&net, "a").await;
    let (one, two, three) = (unknown("a", 'A'), unknown("a", 'B'), unknown("a", 'C'));
    let (one, two, three) = tokio::join!(
        b.hello(1, Some(&one)),
        b.hello(1, Some(&two)),
        b.hello(1, Some(&three))
    );
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(three.err(), Some(HelloRefused::Full));
    assert_eq!(b.metrics.takeover.refused.value(), 1);
    // And the room is free again.
    assert!(b.hello(1, Some(&unknown("a", 'D'))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_pushed_meanwhile_counts_and_is_bounded() {
    let net = LocalNet::new();
    let faults = Losing::on(&net);
    let a = node(&net, "a").await;
    let b = node_with(&net, "b", |config| {
        config.bounds.max_queue_bytes = 100_000;
    })
    .await;
    let old = a.begin().await;
    let id = old.id();
    // The holder hears nothing, so the session is long on its way.
    faults.lose(net.id(&b.bus), ".node.a.takeover", usize::MAX);
    let pushing = async {
        eventually("it arrives", || b.metrics.takeover.arriving.value() == 1).await;
        let large = "x".repeat(40_000);
        let push = || b.handle.send_to_uid("alice", "t/large", &large);
        push().await.expect("accepted");
        eventually("it counts", || b.hub.counts().queue_bytes > 40_000).await;
        push().await.expect("accepted");
        push().await.expect("accepted");
    };
    let (greeted, ()) = tokio::join!(b.hello(2, Some(&id)), pushing);
    assert_eq!(greeted.err(), Some(HelloRefused::Ended(CloseCode::SLOW)));
    assert_eq!(b.hub.counts().sessions, 0);
    assert_eq!(b.hub.counts().queue_bytes, 0);
    assert_eq!(b.metrics.hub.slow.value(), 1);
}

#[tokio::test(start_paused = true)]
async fn f64_a_kick_reaches_sessions_on_their_way_and_where_they_were() {
    let net = LocalNet::new();
    let faults = Losing::on(&net);
    let (a, b) = (node(&net, "a").await, node(&net, "b").await);
    let old = a.begin().await;
    let id = old.id();
    faults.lose_after(1, net.id(&b.bus), ".node.a.takeover", usize::MAX);
    let kicking = async {
        eventually("it is frozen", || a.metrics.takeover.frozen.value() == 1).await;
        a.handle.kick("alice", "out").await.expect("accepted");
    };
    let (greeted, ()) = tokio::join!(b.hello(2, Some(&id)), kicking);
    assert_eq!(greeted.err(), Some(HelloRefused::Ended(CloseCode::KICKED)));
    eventually("nothing is left of it", || {
        a.hub.counts().sessions == 0 && b.hub.counts().sessions == 0
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_takeovers_under_way_and_every_task() {
    let net = LocalNet::new();
    let b = node(&net, "b").await;
    let _a = node(&net, "a").await;
    let id = unknown("a", 'A');
    let stopping = async {
        eventually("it arrives", || b.metrics.takeover.arriving.value() == 1).await;
        b.closing.cancel();
    };
    let (greeted, ()) = tokio::join!(b.hello(1, Some(&id)), stopping);
    assert_eq!(greeted.err(), Some(HelloRefused::NotOpen));
    b.stop.cancel();
    b.tasks.close();
    let ended = tokio::time::timeout(Duration::from_secs(10), b.tasks.wait()).await;
    assert!(ended.is_ok(), "a task is left");
    assert_eq!(b.hub.counts().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_gives_up_leaves_its_session_here() {
    let net = LocalNet::new();
    let faults = Losing::on(&net);
    let (a, b) = (node(&net, "a").await, node(&net, "b").await);
    let old = a.begin().await;
    let id = old.id();
    a.push(1).await;
    // The question has to be asked again, which takes a second.
    faults.lose(None, ".node.a.takeover", 1);
    {
        let hello = b.hello(2, Some(&id));
        tokio::pin!(hello);
        // Polled until its takeover is under way, and dropped.
        let begun = eventually("it begins", || b.metrics.takeover.begun.value() == 1);
        tokio::select! {
            _ = &mut hello => panic!("not so fast"),
            () = begun => {}
        }
    }
    eventually("it is here", || b.metrics.takeover.taken.value() == 1).await;
    let mut tab = b.tab(b.hello(3, Some(&id)).await.expect("resumed"));
    assert!(tab.resumed());
    tab.until(1).await;
    assert_eq!(tab.events, ["t/n 1"]);
}

async fn ask(from: &Node, to: &str, body: Bytes) -> tengen_bus::Message {
    let question = Publish::new(format!("tengen.node.{to}.takeover"), body);
    let answer = from.bus.request(question, Duration::from_secs(5)).await;
    answer.expect("an answer")
}

#[tokio::test(start_paused = true)]
async fn truncated_and_unknown_messages_are_counted_and_touch_nobody() {
    let net = LocalNet::new();
    let (a, b) = (node(&net, "a").await, node(&net, "b").await);
    let mut tab = a.begin().await;
    let release = Release {
        session: tab.id(),
        take: 7,
        attempt: 9,
        received: 0,
        uid: Some(alice()),
        client: ClientId::parse("tab").expect("valid"),
        codec: Codec::Json,
        by: b.hub.config().node.clone(),
        part: 0,
    };
    let good = ToNode::Release(release).encode();
    let mut other_version = good.to_vec();
    // `[1, …` becomes `[2, …`.
    other_version[1] = 2;
    let mut bad = 0;
    for body in [
        Bytes::new(),
        good.slice(..good.len() - 1),
        good.slice(..good.len() / 2),
        Bytes::from(other_version),
        Bytes::from_static(&[0xff; 100]),
    ] {
        let answer = ask(&b, "a", body.clone()).await;
        assert_eq!(answer.headers.first("Tengen-Error"), Some("5"));
        let forward = Publish::new("tengen.node.a.forward", body);
        b.bus.publish(forward).await.expect("up");
        bad += 2;
    }
    eventually("all are counted", || {
        a.metrics.peers.malformed.value() == bad
    })
    .await;
    assert_eq!(tab.look(), None, "its connection is still the one");
    a.push(1).await;
    tab.until(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_for_a_session_that_just_ended_has_its_answer() {
    let net = LocalNet::new();
    let (a, b) = (node(&net, "a").await, node(&net, "b").await);
    let session = unknown("a", 'A');
    let questions = [
        ToNode::Done {
            session: session.clone(),
            take: 7,
        },
        ToNode::Owed {
            session: session.clone(),
            by: NodeId::parse("b").unwrap(),
        },
    ];
    for question in questions {
        let answer = ask(&b, "a", question.encode()).await;
        assert_eq!(Answer::decode(&answer.body), Ok(Answer::NotMine));
    }
    assert_eq!(a.metrics.peers.malformed.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_hello_leaves_the_session_where_it_is() {
    let net = LocalNet::new();
    let (a, b) = (node(&net, "a").await, node(&net, "b").await);
    let mut tab = a.begin().await;
    let overheard = b.greet(hello("other", 9, Some(&tab.id()))).await;
    let fresh = b.tab(overheard.expect("a session of its own"));
    assert!(!fresh.resumed() && fresh.gap());
    assert_eq!(tab.look(), None);
    a.push(1).await;
    tab.until(1).await;
    assert_eq!(tab.events, ["t/n 1"]);
}
