//! Delivery reports between nodes that know each other: one answer in every case, with the right numbers.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tengen_bus::{Delivery, RequestError, Subscribe};
use tengen_protocol::report::rendezvous;

use super::*;
use crate::push::ReportError;
use crate::reports::Expect;

/// What all nodes of a test know of each other, in place of a roster.
#[derive(Default)]
struct Known {
    ready: Mutex<Vec<NodeId>>,
    having: Mutex<HashMap<Target, Vec<NodeId>>>,
}

impl Expect for Known {
    fn ready(&self) -> Vec<NodeId> {
        self.ready.lock().clone()
    }

    fn having(&self, target: &Target) -> Vec<NodeId> {
        match target {
            Target::Uid(_) => self.having.lock().get(target).cloned().unwrap_or_default(),
            Target::Anonymous | Target::All => self.ready(),
        }
    }
}

struct Scene {
    nodes: Vec<Node>,
    known: Arc<Known>,
    asker: Bus,
}

fn named(name: &str) -> NodeId {
    NodeId::parse(name).expect("valid")
}

fn uid(name: &str) -> Target {
    Target::Uid(Uid::parse(name).expect("valid"))
}

impl Scene {
    async fn of(nodes: usize) -> Scene {
        let (net, known) = (LocalNet::new(), Arc::<Known>::default());
        let mut scene = Scene {
            nodes: Vec::new(),
            known: Arc::clone(&known),
            asker: net.bus(),
        };
        for n in 1..=nodes {
            let name = format!("n{n}");
            let knows = Arc::clone(&known);
            let node = node(&net, &name).await;
            node.spine.reports.know(knows);
            scene.nodes.push(node);
            known.ready.lock().push(named(&name));
        }
        scene
    }

    /// `user` is connected to this node, by so many clients, and all know it.
    fn connect(&self, user: &str, node: usize, clients: usize) -> Vec<Tab> {
        let node_id = self.nodes[node].spine.hub.config().node.clone();
        let mut having = self.known.having.lock();
        having.entry(uid(user)).or_default().push(node_id);
        (0..clients)
            .map(|n| self.nodes[node].tab(Some(user), &format!("tab-{node}-{n}")))
            .collect()
    }

    async fn ask_with(&self, message: Publish) -> Result<Value, RequestError> {
        let answer = self.asker.request(message, Duration::from_secs(5)).await?;
        assert_eq!(answer.headers.first("Tengen-Error"), None);
        Ok(serde_json::from_slice(&answer.body).expect("json"))
    }

    async fn ask(&self, subject: &str) -> Value {
        let asked = Publish::new(subject, r#"["t/x",1]"#);
        self.ask_with(asked).await.expect("a report")
    }

    /// The node that collects the reports of this user.
    fn first(&self, user: &str) -> &Node {
        let ready = self.known.ready.lock();
        let first = rendezvous(user.as_bytes(), ready.iter()).expect("somebody");
        let mut nodes = self.nodes.iter();
        nodes
            .find(|node| node.spine.hub.config().node == *first)
            .expect("it runs")
    }
}

fn report(clients: u64, nodes: u64, missing: u64) -> Value {
    json!({"clients": clients, "nodes": nodes, "missing": missing})
}

#[tokio::test(flavor = "multi_thread")]
async fn f63_a_request_is_answered_once_for_users_on_0_1_and_3_nodes() {
    let scene = Scene::of(3).await;
    let mut tabs = Vec::new();
    // Enough users that each node collects for some of them.
    for n in 0..6 {
        tabs.extend(scene.connect(&format!("one-{n}"), n % 3, 2));
        for node in 0..3 {
            tabs.extend(scene.connect(&format!("three-{n}"), node, node + 1));
        }
    }
    let replies = "answers.here";
    let mut answers = scene
        .asker
        .subscribe(replies, Subscribe::default())
        .await
        .expect("subscribed");
    for n in 0..6 {
        for (who, expected) in [
            (format!("none-{n}"), report(0, 0, 0)),
            (format!("one-{n}"), report(2, 1, 0)),
            (format!("three-{n}"), report(6, 3, 0)),
        ] {
            let subject = format!("tengen.send-to.uid.{who}");
            assert_eq!(scene.ask(&subject).await, expected, "{who}");
            let published = Publish::new(subject, r#"["t/x",1]"#).reply(replies);
            scene.asker.publish(published).await.expect("published");
        }
    }
    let mut got = Vec::new();
    while got.len() < 18 {
        let next = tokio::time::timeout(Duration::from_secs(5), answers.recv()).await;
        if let Some(Delivery::Message(message)) = next.expect("one answer for each") {
            got.push(message);
        }
    }
    let asked = |node: &Node| node.metrics.reports.asked.value();
    assert_eq!(scene.nodes.iter().map(asked).sum::<u64>(), 36);
    assert!(scene.nodes.iter().all(|node| asked(node) > 0));
    // Nothing is under way that could still bring a second one, and none has come.
    eventually("all reports are done", || {
        let under_way = |node: &Node| node.spine.reports.under_way();
        scene.nodes.iter().map(under_way).sum::<usize>() == 0
    })
    .await;
    let answered = |node: &Node| node.metrics.reports.answered.value();
    assert_eq!(scene.nodes.iter().map(answered).sum::<u64>(), 36);
    // Who asked got its report, and the clients their pushes.
    for tab in &mut tabs {
        tab.until("both pushes", |tab| tab.events.len() == 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f63_a_plain_publish_asks_nobody_anything() {
    let scene = Scene::of(3).await;
    let mut tabs = scene.connect("alice", 1, 1);
    for _ in 0..20 {
        scene.nodes[0]
            .publish("tengen.send-to.uid.alice", r#"["t/x",1]"#)
            .await;
    }
    let pushed = scene.nodes[0]
        .handle
        .send_to_uid("alice", "t/last", &1)
        .await;
    pushed.expect("pushed");
    tabs[0].next("t/last").await;
    for node in &scene.nodes {
        let told = &node.metrics.peers.told;
        assert_eq!((node.metrics.reports.asked.value(), told.value()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f63_a_silent_holder_is_missing_and_the_answer_comes_all_the_same() {
    let scene = Scene::of(3).await;
    let _tabs = scene.connect("alice", 0, 1);
    scene
        .known
        .having
        .lock()
        .entry(uid("alice"))
        .or_default()
        .push(named("gone"));
    let asked = Instant::now();
    assert_eq!(scene.ask("tengen.send-to.uid.alice").await, report(1, 1, 1));
    assert!(
        asked.elapsed() >= Duration::from_millis(240),
        "{:?}",
        asked.elapsed()
    );
    let missing = |node: &Node| node.metrics.reports.missing.value();
    assert_eq!(scene.nodes.iter().map(missing).sum::<u64>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn f63_when_the_node_that_collects_is_gone_the_next_one_answers_with_what_all_have_counted() {
    let scene = Scene::of(3).await;
    scene.known.ready.lock().push(named("gone"));
    let is_orphan = |user: &String| {
        let ready = scene.known.ready.lock();
        rendezvous(user.as_bytes(), ready.iter()) == Some(&named("gone"))
    };
    let orphans = (0..).map(|n| format!("user-{n}")).filter(is_orphan);
    let [nowhere, here, both, new] = orphans.take(4).collect::<Vec<_>>().try_into().expect("4");
    let _tabs = [&here, &both].map(|user| {
        let there = (0..3).map(|node| scene.connect(user, node, node + 1));
        there.collect::<Vec<_>>()
    });
    let known = &scene.known.having;
    let expects = |user| {
        known
            .lock()
            .entry(uid(user))
            .or_default()
            .push(named("gone"))
    };
    expects(&both);
    let replies = "answers.here";
    let mut answers = scene
        .asker
        .subscribe(replies, Subscribe::default())
        .await
        .expect("subscribed");
    for (user, expected) in [
        (&nowhere, report(0, 0, 0)),
        (&here, report(6, 3, 0)),
        (&both, report(6, 3, 1)),
    ] {
        let published = Publish::new(format!("tengen.send-to.uid.{user}"), r#"["t/x",1]"#);
        let published = published.reply(replies);
        scene.asker.publish(published).await.expect("published");
        let answer = tokio::time::timeout(Duration::from_secs(5), answers.recv()).await;
        let Ok(Some(Delivery::Message(answer))) = answer else {
            panic!("{user} is answered");
        };
        let answer: Value = serde_json::from_slice(&answer.body).expect("json");
        assert_eq!(answer, expected, "{user}");
    }
    let told = scene.nodes[0]
        .handle
        .send_to_uid(&here, "t/x", &1)
        .report()
        .await;
    assert_eq!(told.map(|told| (told.clients, told.missing)), Ok((6, 0)));
    let sum = |of: fn(&Node) -> u64| scene.nodes.iter().map(of).sum::<u64>();
    assert_eq!(sum(|node| node.metrics.reports.taken_over.value()), 4);
    eventually("nothing is under way", || {
        sum(|node| node.spine.reports.under_way() as u64) == 0
    })
    .await;
    assert_eq!(sum(|node| node.metrics.reports.answered.value()), 4);
    assert!(answers.try_recv().is_none(), "one answer each");

    // One whom the roster does not have yet: then all are asked, and have 50 ms, in which a busy
    // machine may not get round to it.
    let _new = [0, 1, 2].map(|node| scene.nodes[node].tab(Some(&new), "tab"));
    let mut tries = 0;
    while scene.ask(&format!("tengen.send-to.uid.{new}")).await != report(3, 3, 0) {
        tries += 1;
        assert!(tries < 10, "it is never found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f63_a_user_whom_the_roster_still_has_where_nobody_is_counts_as_none_and_not_as_missing() {
    let scene = Scene::of(3).await;
    let _tabs = scene.connect("alice", 0, 1);
    let gone = scene.connect("alice", 1, 0);
    assert!(gone.is_empty());
    assert_eq!(scene.ask("tengen.send-to.uid.alice").await, report(1, 2, 0));
    // And one that the roster does not have yet counts.
    let _new = scene.nodes[2].tab(Some("bob"), "tab");
    assert_eq!(scene.ask("tengen.send-to.uid.bob").await, report(1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn f63_filters_and_repeats_are_reported_as_what_was_queued() {
    let scene = Scene::of(2).await;
    let _tabs = (scene.connect("alice", 0, 2), scene.connect("alice", 1, 2));
    let push = |body: &'static str| Publish::new("tengen.send-to.uid.alice", body);
    let only = push(r#"["t/x",1]"#).header("Tengen-Only", "tab-0-1");
    assert_eq!(scene.ask_with(only).await, Ok(report(1, 2, 0)));
    let except = push(r#"["t/x",1]"#).header("Tengen-Except", "tab-0-1");
    assert_eq!(scene.ask_with(except).await, Ok(report(3, 2, 0)));
    // The second one is delivered to nobody, and told what became of the first.
    for _ in 0..2 {
        let named = push(r#"["t/once",1]"#).header("Nats-Msg-Id", "only-once");
        assert_eq!(scene.ask_with(named).await, Ok(report(4, 2, 0)));
    }
    assert_eq!(scene.nodes[0].metrics.ingest.duplicates.value(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn f63_pushes_to_all_and_to_the_anonymous_are_reported_by_every_node() {
    let scene = Scene::of(3).await;
    let _tabs = (scene.connect("alice", 0, 2), scene.connect("bob", 1, 1));
    let _nobody = (scene.nodes[0].tab(None, "a"), scene.nodes[2].tab(None, "b"));
    for _ in 0..3 {
        assert_eq!(scene.ask("tengen.send-to.all").await, report(5, 3, 0));
        assert_eq!(scene.ask("tengen.send-to.anonymous").await, report(2, 3, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f63_a_handle_and_a_batch_that_ask_are_told_and_nobody_else() {
    let scene = Scene::of(3).await;
    let _tabs = (scene.connect("alice", 0, 1), scene.connect("alice", 2, 2));
    for node in &scene.nodes {
        for _ in 0..5 {
            let reported = node.handle.send_to_uid("alice", "t/x", &1).report().await;
            let reported = reported.expect("reported");
            assert_eq!(
                (reported.clients, reported.nodes, reported.missing),
                (3, 2, 0)
            );
            let nobody = node.handle.send_to_uid("nobody", "t/x", &1).report().await;
            assert_eq!(nobody, Ok(tengen_protocol::report::Report::default()));
        }
        let refused = node.handle.send_to_uid("alice", "bad", &1).report().await;
        assert!(matches!(
            refused,
            Err(ReportError::Push(PushError::Refused(_)))
        ));
    }

    let mut reports = scene
        .asker
        .subscribe("tengen.report.*", Subscribe::default())
        .await
        .expect("subscribed");
    let mut pushes: Vec<_> = ["alice", "nobody", "alice"]
        .map(|to| Push::new(uid(to), Codec::Json, Bytes::from_static(br#"["t/x",1]"#)))
        .into();
    pushes[0].report = true;
    pushes[2].report = true;
    let body = batch::encode(0xab, 1, &pushes);
    scene
        .asker
        .publish(Publish::new("tengen.send-to.batch", body))
        .await
        .expect("published");
    let mut told = Vec::new();
    while told.len() < 2 {
        let next = tokio::time::timeout(Duration::from_secs(5), reports.recv()).await;
        let Some(Delivery::Message(message)) = next.expect("a report") else {
            panic!("only reports are awaited")
        };
        assert_eq!(&*message.subject, format!("tengen.report.{:032x}", 0xab));
        told.push(serde_json::from_slice::<Value>(&message.body).expect("json"));
    }
    told.sort_by_key(|report| report[1].as_u64());
    assert_eq!(told, [json!([1, 0, 3, 2, 0]), json!([1, 2, 3, 2, 0])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn f63_a_malformed_push_that_asks_gets_its_error_from_one_node() {
    let scene = Scene::of(3).await;
    let mut answers = scene
        .asker
        .subscribe("answers.*", Subscribe::default())
        .await
        .expect("subscribed");
    let _tabs = scene.connect("alice", 0, 1);
    for n in 0..20 {
        let bad = Publish::new("tengen.send-to.uid.alice", "[").reply(format!("answers.{n}"));
        scene.asker.publish(bad).await.expect("published");
        let nobody = Publish::new("tengen.send-to.uid.bob", "[").reply(format!("answers.b{n}"));
        scene.asker.publish(nobody).await.expect("published");
    }
    // Its report comes last: what is answered before it was all there was.
    scene.ask("tengen.send-to.uid.alice").await;
    eventually("every node has heard all", || {
        let heard = |node: &Node| node.metrics.ingest.malformed.value();
        scene.nodes.iter().all(|node| heard(node) == 40)
    })
    .await;
    let mut by_reply = HashMap::<String, u32>::new();
    while by_reply.len() < 40 {
        let next = tokio::time::timeout(Duration::from_secs(5), answers.recv()).await;
        if let Some(Delivery::Message(message)) = next.expect("an answer for each") {
            assert_eq!(message.headers.first("Tengen-Error"), Some("5"));
            *by_reply.entry(message.subject.to_string()).or_default() += 1;
        }
    }
    assert!(answers.try_recv().is_none());
    assert!(by_reply.values().all(|count| *count == 1), "{by_reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_node_is_ready_pushes_arrive_and_nobody_makes_a_report_up() {
    let scene = Scene::of(2).await;
    let mut tabs = scene.connect("alice", 0, 1);
    scene.known.ready.lock().clear();
    let asked = Publish::new("tengen.send-to.uid.alice", r#"["t/x",1]"#);
    let answer = scene.asker.request(asked, Duration::from_millis(400)).await;
    assert!(matches!(answer, Err(RequestError::Timeout)));
    let silent = scene.nodes[0]
        .handle
        .send_to_uid("alice", "t/y", &1)
        .report()
        .await;
    assert_eq!(silent, Err(ReportError::Silent));
    tabs[0].next("t/y").await;
    assert_eq!(tabs[0].ids(), ["t/x", "t/y"]);
    assert_eq!(scene.nodes[1].metrics.reports.unready.value(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_with_counts_that_cannot_be_read_are_counted_and_change_nothing() {
    let scene = Scene::of(2).await;
    let _tabs = scene.connect("alice", 0, 1);
    let first = scene.first("alice");
    let door = Subjects::default().node(&first.spine.hub.config().node, "counted");
    for body in [&b"nonsense"[..], &[0x82, 2, 24, 48], &[0x82, 1, 3], &[]] {
        let told = Publish::new(door.as_str(), body.to_vec());
        scene.asker.publish(told).await.expect("published");
    }
    eventually("all are counted", || {
        let reports = &first.metrics.reports;
        (reports.malformed.value(), reports.unknown_version.value()) == (3, 1)
    })
    .await;
    assert_eq!(scene.ask("tengen.send-to.uid.alice").await, report(1, 1, 0));
}
