//! Delivery reports of real nodes: over the bus, over HTTP and in process, once each, with the right numbers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tengen_bus::{Bus, Delivery, Publish, RequestError, Subscribe};
use tengen_client::Client;
use tengen_node::{Report, ReportError};
use tengen_protocol::NodeId;
use tengen_protocol::report::rendezvous;

use crate::cluster::{Cluster, Kind, PATIENCE, eventually, metric};
use crate::each_bus;

each_bus!(
    f63_a_request_over_the_bus_and_over_http_and_a_handle_get_one_report_each,
    f63_each_of_many_requests_gets_one_answer,
    f63c_a_repeated_push_is_told_what_became_of_the_first,
);

/// What a node answers within, whoever is silent.
const WITHIN: Duration = Duration::from_millis(300);

/// Three nodes that know each other: one user on none of them, one on one, one on all three with
/// two clients on the last.
struct Scene {
    cluster: Cluster,
    service: Bus,
    _clients: Vec<Client>,
}

impl Scene {
    async fn start(kind: Kind) -> Scene {
        let cluster = Cluster::start(kind, 3).await;
        let mut clients = Vec::new();
        for (node, uid) in [
            (1, "one"),
            (0, "three"),
            (1, "three"),
            (2, "three"),
            (2, "three"),
        ] {
            clients.push(cluster.client(node, Some(uid)).await);
        }
        let service = cluster.service().await;
        let scene = Scene {
            cluster,
            service,
            _clients: clients,
        };
        eventually("every node is ready and knows who is where", async || {
            for (uid, expected) in EXPECTED {
                if scene.ask(uid).await != Ok(expected.json()) {
                    return false;
                }
                for node in 0..3 {
                    if scene.handle(node, uid).await != Ok(expected.report()) {
                        return false;
                    }
                }
            }
            true
        })
        .await;
        scene
    }

    async fn ask(&self, uid: &str) -> Result<Value, RequestError> {
        ask(&self.service, uid).await
    }

    async fn handle(&self, node: usize, uid: &str) -> Result<Report, ReportError> {
        let handle = self.cluster.node(node).handle();
        handle.send_to_uid(uid, "a/b", &1).report().await
    }

    async fn http(&self, uid: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let url = format!("http://{}/v1/send-to-uid/{uid}", self.cluster.node(0).admin);
        let mut request = reqwest::Client::new().post(url).body(r#"["a/b", 1]"#);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("the admin port answers");
        let status = response.status().as_u16();
        (status, response.json().await.expect("json"))
    }
}

/// `nats request tengen.send-to.uid.<uid> '["a/b",1]'`.
async fn ask(bus: &Bus, uid: &str) -> Result<Value, RequestError> {
    let subject = format!("tengen.send-to.uid.{uid}");
    let push = Publish::new(subject, r#"["a/b",1]"#);
    let answer = bus.request(push, Duration::from_secs(3)).await?;
    assert_eq!(answer.headers.first("Tengen-Error"), None);
    Ok(serde_json::from_slice(&answer.body).expect("json"))
}

#[derive(Clone, Copy)]
struct Expected(u64, u32, u32);

const EXPECTED: [(&str, Expected); 3] = [
    ("nobody", Expected(0, 0, 0)),
    ("one", Expected(1, 1, 0)),
    ("three", Expected(4, 3, 0)),
];

impl Expected {
    fn json(self) -> Value {
        json!({"clients": self.0, "nodes": self.1, "missing": self.2})
    }

    /// On a machine with far too much to do a node may count too late; then the report says so.
    fn allows(self, report: &Value) -> bool {
        let of = |name: &str| report[name].as_u64().expect("a number");
        let all_told = of("nodes") + of("missing") == u64::from(self.1);
        all_told && (*report == self.json() || (of("missing") > 0 && of("clients") < self.0))
    }

    fn report(self) -> Report {
        Report {
            clients: self.0,
            nodes: self.1,
            missing: self.2,
        }
    }
}

async fn f63_a_request_over_the_bus_and_over_http_and_a_handle_get_one_report_each(kind: Kind) {
    let scene = Scene::start(kind).await;
    for (uid, expected) in EXPECTED {
        // Each way more than once, because a slow machine is no slow cluster.
        eventually("a request is answered rightly and soon", async || {
            let asked = Instant::now();
            scene.ask(uid).await == Ok(expected.json()) && asked.elapsed() < WITHIN
        })
        .await;
        for node in 0..3 {
            eventually("a handle is told", async || {
                scene.handle(node, uid).await == Ok(expected.report())
            })
            .await;
        }
        let mut answer = expected.json();
        answer["accepted"] = true.into();
        eventually("HTTP says it", async || {
            scene.http(uid, &[]).await == (202, answer.clone())
        })
        .await;
        let hurried = scene
            .http(uid, &[("Prefer", "wait=1, respond-async")])
            .await;
        assert_eq!(hurried, (202, json!({"accepted": true})), "{uid}");
    }
}

async fn f63_each_of_many_requests_gets_one_answer(kind: Kind) {
    let scene = Scene::start(kind).await;
    // While a node that was held up is not ready, nodes may disagree who answers: then, and only
    // then, none or two may. A machine with far too much to do gets three chances.
    let mut wrong = String::new();
    for attempt in 0..3 {
        match many_requests(&scene, attempt).await {
            Ok(()) => return,
            Err(why) => wrong = why,
        }
    }
    panic!("{wrong}");
}

async fn many_requests(scene: &Scene, attempt: usize) -> Result<(), String> {
    const MANY: usize = 100;
    let subject = format!("answers-{attempt}");
    let pattern = format!("{subject}.*");
    let replies = scene.service.subscribe(&pattern, Subscribe::default());
    let mut replies = replies.await.expect("subscribed");
    for n in 0..MANY {
        for (uid, _) in EXPECTED {
            let push = Publish::new(format!("tengen.send-to.uid.{uid}"), r#"["a/b",1]"#);
            let push = push.reply(format!("{subject}.{uid}-{n}"));
            scene.service.publish(push).await.expect("published");
        }
        let bad = Publish::new("tengen.send-to.uid.three", "[");
        let bad = bad.reply(format!("{subject}.bad-{n}"));
        scene.service.publish(bad).await.expect("published");
    }
    let mut answered = std::collections::BTreeSet::new();
    while answered.len() < 4 * MANY {
        let next = tokio::time::timeout(PATIENCE, replies.recv()).await;
        let Ok(next) = next else {
            return Err(format!("only {} answers", answered.len()));
        };
        let Some(Delivery::Message(answer)) = next else {
            panic!("only answers are awaited")
        };
        let to = answer.subject.to_string();
        let of = |uid: &str| to.starts_with(&format!("{subject}.{uid}-"));
        if of("bad") {
            assert_eq!(answer.headers.first("Tengen-Error"), Some("5"));
        } else {
            let (_, expected) = EXPECTED
                .into_iter()
                .find(|(uid, _)| of(uid))
                .expect("one of ours");
            let report: Value = serde_json::from_slice(&answer.body).expect("json");
            if !expected.allows(&report) {
                return Err(format!("{to}: {report}"));
            }
        }
        if !answered.insert(to.clone()) {
            return Err(format!("a second answer to {to}"));
        }
    }
    // Whatever would be said twice has been said by the time a later request is answered.
    let later = scene.ask("three").await;
    later.map_err(|error| error.to_string())?;
    match replies.try_recv() {
        None => Ok(()),
        Some(second) => Err(format!("a second answer: {second:?}")),
    }
}

async fn f63c_a_repeated_push_is_told_what_became_of_the_first(kind: Kind) {
    let scene = Scene::start(kind).await;
    let expected = (
        202,
        json!({"accepted": true, "clients": 4, "nodes": 3, "missing": 0}),
    );
    let mut repeats = 0;
    for _ in 0..3 {
        eventually("it is told", async || {
            repeats += 1;
            let headers = [("Idempotency-Key", "order-7")];
            scene.http("three", &headers).await == expected
        })
        .await;
    }
    let nodes = (0..3).map(|node| metric(&scene.cluster, node, "tengen_ingest_duplicates_total"));
    let duplicates = futures_util::future::join_all(nodes).await;
    assert_eq!(duplicates, [repeats - 1; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f63_a_dead_holder_is_missing_and_a_dead_collector_is_answered_for() {
    let mut scene = Scene::start(Kind::Local).await;
    let names = ["n0", "n1", "n2"].map(|name| NodeId::parse(name).expect("valid"));
    let collector = |uid: &str| {
        rendezvous(uid.as_bytes(), &names)
            .expect("one of them")
            .as_str()
    };
    // Users of n2 and n0 whose reports n0 puts together, and others whose reports n2 does.
    let find = |node: &str| {
        (0..)
            .map(|n| format!("user-{n}"))
            .find(|uid| collector(uid) == node)
    };
    let (orphan, lost) = (find("n0").expect("some"), find("n2").expect("some"));
    let mut clients = Vec::new();
    for uid in [&orphan, &lost] {
        for node in [0, 2] {
            clients.push(scene.cluster.client(node, Some(uid)).await);
        }
        eventually("all know it", async || {
            let places = (0..3).map(|node| scene.cluster.node(node).handle().places(uid).len());
            places.min() == Some(2) && scene.ask(uid).await == Ok(Expected(2, 2, 0).json())
        })
        .await;
    }
    // It says nothing any more: no bye, no beat, no count.
    drop(scene.cluster.take(2));
    let asked = Instant::now();
    assert_eq!(scene.ask(&orphan).await, Ok(Expected(1, 1, 1).json()));
    assert!(
        asked.elapsed() >= Duration::from_millis(200),
        "{:?}",
        asked.elapsed()
    );
    // The one that would have answered is gone: the next one does, whoever asks.
    let without = Expected(1, 1, 1);
    assert_eq!(scene.ask(&lost).await, Ok(without.json()));
    assert_eq!(scene.handle(0, &lost).await, Ok(without.report()));
    let mut answer = without.json();
    answer["accepted"] = true.into();
    assert_eq!(scene.http(&lost, &[]).await, (202, answer));
    let mut taken_over = 0;
    for node in 0..2 {
        taken_over += metric(&scene.cluster, node, "tengen_reports_taken_over_total").await;
    }
    assert_eq!(taken_over, 3);
    // Six seconds of silence and the grace later it is nobody's holder and collects nothing.
    for uid in [&orphan, &lost] {
        let given_up = async || scene.ask(uid).await == Ok(Expected(1, 1, 0).json());
        eventually("another one answers", given_up).await;
    }
}
