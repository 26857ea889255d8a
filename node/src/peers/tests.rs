//! Tests of questions and tellings between nodes on one local bus.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tengen_bus::{LocalNet, Publish};
use tengen_protocol::subject::Subjects;
use tengen_protocol::{ErrorCode, NodeId, Refusal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;

const SOON: Duration = Duration::from_secs(10);

struct Node {
    peers: Peers,
    metrics: Arc<Metrics>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

async fn node(net: &LocalNet, name: &str, doors: Doors) -> Node {
    let metrics = Arc::<Metrics>::default();
    let id = NodeId::parse(name).expect("valid");
    let peers = Peers::new(net.bus(), Subjects::default(), id, Arc::clone(&metrics));
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    peers
        .listen(doors, &tracker, &stop)
        .await
        .expect("subscribed");
    Node {
        peers,
        metrics,
        tracker,
        stop,
    }
}

fn id(name: &str) -> NodeId {
    NodeId::parse(name).expect("valid")
}

async fn eventually(done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("it comes");
}

fn undecodable() -> Refusal {
    Refusal::new(ErrorCode::UNDECODABLE, "of another version")
}

/// Answers what begins with `1` by what follows, and cannot read anything else.
fn echo(message: &Message) -> Result<Answering, Refusal> {
    match message.body.first() {
        Some(b'1') => {
            let body = message.body.slice(1..);
            Ok(Box::pin(async move { Some(body) }))
        }
        _ => Err(undecodable()),
    }
}

fn echoing() -> Doors {
    let mut doors = Doors::default();
    doors.on_question("echo", 8, echo);
    doors
}

#[tokio::test]
async fn a_question_goes_to_its_door_and_its_answer_comes_back() {
    let net = LocalNet::new();
    let (asker, _other) = (
        node(&net, "a", Doors::default()).await,
        node(&net, "b", echoing()).await,
    );
    let answer = asker.peers.ask(&id("b"), "echo", "1hi".into(), SOON).await;
    assert_eq!(answer, Ok(Bytes::from("hi")));
}

#[tokio::test]
async fn a_node_that_is_not_there_is_known_at_once() {
    let net = LocalNet::new();
    let asker = node(&net, "a", Doors::default()).await;
    let answer = asker.peers.ask(&id("b"), "echo", "1".into(), SOON).await;
    assert_eq!(answer, Err(Unanswered::Nobody));
    assert_eq!(asker.metrics.peers.unanswered.value(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_counted_answered_by_a_number_and_harmless() {
    let net = LocalNet::new();
    let (asker, other) = (
        node(&net, "a", Doors::default()).await,
        node(&net, "b", echoing()).await,
    );
    for (what, body, code) in [
        ("echo", "2hi", ErrorCode::UNDECODABLE),
        ("echo", "", ErrorCode::UNDECODABLE),
        ("nothing", "1hi", ErrorCode::NO_HANDLER),
    ] {
        let answer = asker.peers.ask(&id("b"), what, body.into(), SOON).await;
        let Err(Unanswered::Refused(refusal)) = answer else {
            panic!("{what} {body}: {answer:?}");
        };
        assert_eq!(refusal.code, code);
    }
    assert_eq!(other.metrics.peers.malformed.value(), 3);
    let answer = asker.peers.ask(&id("b"), "echo", "1on".into(), SOON).await;
    assert_eq!(answer, Ok(Bytes::from("on")));
}

#[tokio::test]
async fn of_all_nodes_only_the_one_concerned_answers() {
    let net = LocalNet::new();
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        let mut doors = Doors::default();
        doors.on_everyones_question(8, |message| {
            (message.body == "another")
                .then_some(())
                .ok_or_else(undecodable)?;
            Ok(Box::pin(async { None }))
        });
        doors.on_everyones_question(8, move |message| {
            (message.body == "b")
                .then_some(())
                .ok_or_else(undecodable)?;
            let answer = (name == "b").then(|| Bytes::from("me"));
            Ok(Box::pin(async { answer }))
        });
        nodes.push(node(&net, name, doors).await);
    }
    let answer = nodes[0].peers.ask_everyone("b".into(), SOON).await;
    assert_eq!(answer, Ok(Bytes::from("me")));
    // A malformed one is answered by nobody: the asker would take the first refusal for the answer.
    let short = Duration::from_millis(20);
    let answer = nodes[0].peers.ask_everyone("?".into(), short).await;
    assert_eq!(answer, Err(Unanswered::Late));
    eventually(|| nodes[2].metrics.peers.malformed.value() == 1).await;
}

#[tokio::test]
async fn what_is_told_arrives_in_order() {
    let net = LocalNet::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (all, sink) = (Arc::new(Notify::new()), Arc::clone(&heard));
    let mut doors = Doors::default();
    let done = Arc::clone(&all);
    doors.on_told("note", move |message| {
        sink.lock().push(message.body.clone());
        if message.body == "99" {
            done.notify_one();
        }
        Ok(())
    });
    let _hearer = node(&net, "b", doors).await;
    let teller = node(&net, "a", Doors::default()).await;
    for number in 0..100 {
        let body = number.to_string().into();
        let told = teller.peers.tell(&id("b"), "note", body).await;
        told.expect("the bus is up");
    }
    tokio::time::timeout(SOON, all.notified())
        .await
        .expect("all arrive");
    let expected: Vec<_> = (0..100).map(|n| Bytes::from(n.to_string())).collect();
    assert_eq!(*heard.lock(), expected);
}

#[tokio::test]
async fn questions_beyond_a_doors_room_are_refused_and_the_door_stays_open() {
    let net = LocalNet::new();
    let hold = Arc::new(Notify::new());
    let held = Arc::clone(&hold);
    let mut doors = Doors::default();
    doors.on_question("slow", 1, move |_| {
        let held = Arc::clone(&held);
        Ok(Box::pin(async move {
            held.notified().await;
            Some(Bytes::new())
        }))
    });
    let other = node(&net, "b", doors).await;
    let asker = node(&net, "a", Doors::default()).await;
    // One of them gets in and is held; of the others every one is refused.
    let ask = || {
        let peers = asker.peers.clone();
        async move { peers.ask(&id("b"), "slow", Bytes::new(), SOON).await }
    };
    let (first, second) = (tokio::spawn(ask()), tokio::spawn(ask()));
    while other.metrics.peers.busy.value() == 0 {
        tokio::task::yield_now().await;
    }
    hold.notify_one();
    let answers = [
        first.await.expect("no panic"),
        second.await.expect("no panic"),
    ];
    let refused = answers.iter().filter(|answer| {
        matches!(answer, Err(Unanswered::Refused(refusal)) if refusal.code == ErrorCode::RATE)
    });
    assert_eq!(refused.count(), 1, "{answers:?}");
    assert!(answers.contains(&Ok(Bytes::new())), "{answers:?}");
    hold.notify_one();
    assert_eq!(ask().await, Ok(Bytes::new()));
}

#[tokio::test]
async fn a_node_that_stops_leaves_no_question_behind() {
    let net = LocalNet::new();
    let mut doors = Doors::default();
    doors.on_question("never", 8, |_| Ok(Box::pin(std::future::pending())));
    let other = node(&net, "b", doors).await;
    let asker = node(&net, "a", Doors::default()).await;
    let question = asker.peers.clone();
    let question = tokio::spawn(async move {
        question
            .ask(&id("b"), "never", Bytes::new(), Duration::from_millis(300))
            .await
    });
    while other.metrics.peers.messages.value() == 0 {
        tokio::task::yield_now().await;
    }
    other.stop.cancel();
    other.tracker.close();
    tokio::time::timeout(SOON, other.tracker.wait())
        .await
        .expect("every task ends");
    assert_eq!(question.await.expect("no panic"), Err(Unanswered::Late));
}

#[tokio::test]
async fn a_message_of_anybody_else_on_the_bus_does_no_harm() {
    let net = LocalNet::new();
    let other = node(&net, "b", echoing()).await;
    let stranger = net.bus();
    let subjects = Subjects::default();
    for body in [&b""[..], &[0xff; 64], &[0x9f; 1024]] {
        let message = Publish::new(subjects.node(&id("b"), "echo"), Bytes::from_static(body));
        stranger.publish(message).await.expect("up");
        let message = Publish::new(subjects.session(), Bytes::from_static(body));
        stranger.publish(message).await.expect("up");
    }
    let asker = node(&net, "a", Doors::default()).await;
    let answer = asker.peers.ask(&id("b"), "echo", "1on".into(), SOON).await;
    assert_eq!(answer, Ok(Bytes::from("on")));
    eventually(|| other.metrics.peers.malformed.value() == 6).await;
}
