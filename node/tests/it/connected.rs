//! Who is online, through every face of every node: the handle, the bus, the admin port.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tengen_bus::{Bus, Fate, Faults, HandleId, Message, Publish, RequestError};
use tengen_client::{Client, TransportChoice};
use tengen_node::{ConnectedUids, Kinds, NotReady};
use tengen_protocol::{Transport, Uid};

use crate::cluster::{Cluster, Kind, Net, PATIENCE, eventually, soon};

crate::each_bus!(
    f50_every_face_of_every_node_says_the_same_sets_by_transport,
    f51_a_watch_fires_on_each_change_and_on_no_no_op,
    f100_sessions_are_listed_with_all_that_helps_to_find_a_mistake,
);

/// A cluster in which every node knows all others, and services are answered.
async fn cluster(kind: Kind, nodes: usize) -> Cluster {
    let cluster = Cluster::start(kind, nodes).await;
    for number in 0..nodes {
        knows_all(&cluster, number).await;
    }
    // A node joins those who answer a moment after it is ready.
    let service = cluster.service().await;
    eventually("a node answers services", async || {
        ask(&service, r#"{"count": true}"#).await.is_ok()
    })
    .await;
    cluster
}

async fn knows_all(cluster: &Cluster, number: usize) {
    let handle = cluster.node(number).handle();
    eventually("the node hears the cluster", async || {
        handle.hears_cluster().is_ok()
    })
    .await;
}

async fn by(cluster: &Cluster, number: usize, uid: Option<&str>, poll: bool) -> Client {
    let transport = match poll {
        true => TransportChoice::Poll,
        false => TransportChoice::Ws,
    };
    let client = cluster.builder(number, uid).transport(transport);
    client.connect().await.expect("the client connects")
}

fn uids(names: &[&str]) -> BTreeSet<Uid> {
    names
        .iter()
        .map(|name| Uid::parse(name).expect("valid"))
        .collect()
}

fn sets(ws: &[&str], poll: &[&str]) -> ConnectedUids {
    let (ws, poll) = (uids(ws), uids(poll));
    ConnectedUids {
        any: ws.union(&poll).cloned().collect(),
        ws,
        poll,
    }
}

/// Waits until every node says the same, by its handle.
async fn everywhere(cluster: &Cluster, expected: &ConnectedUids) {
    for number in 0..cluster.size() {
        let handle = cluster.node(number).handle();
        eventually("all sets are equal", async || {
            handle.connected_uids() == *expected
        })
        .await;
    }
}

/// What the admin port of a node answers, and with which status.
async fn get(cluster: &Cluster, number: usize, path: &str) -> (u16, Value) {
    let url = format!("http://{}{path}", cluster.node(number).admin);
    let response = reqwest::get(url).await.expect("the admin port answers");
    assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
    let status = response.status().as_u16();
    let code = response.headers().get("tengen-error").cloned();
    let body: Value = response.json().await.expect("json");
    if status != 200 {
        let code = code.expect("a numbered error");
        assert_eq!(
            body["error"].to_string(),
            code.to_str().expect("a number"),
            "{path}"
        );
    }
    (status, body)
}

/// The same over the bus.
async fn ask(bus: &Bus, body: &str) -> Result<Message, RequestError> {
    let question = Publish::new("tengen.connected-uids", body.to_owned());
    bus.request(question, PATIENCE).await
}

/// What is the same in the answers of all nodes.
fn what(mut answer: Value) -> Value {
    let head = answer.as_object_mut().expect("an object");
    assert!(head.remove("node").is_some_and(|node| node.is_string()));
    assert_eq!(head.remove("ready"), Some(json!(true)));
    let as_of = head.remove("as_of").and_then(|as_of| as_of.as_u64());
    // Some time after this was written.
    assert!(as_of.is_some_and(|ms| ms > 1_750_000_000_000), "{as_of:?}");
    answer
}

async fn f50_every_face_of_every_node_says_the_same_sets_by_transport(kind: Kind) {
    let cluster = cluster(kind, 3).await;
    let _alice = by(&cluster, 0, Some("alice"), false).await;
    let bob = by(&cluster, 1, Some("bob"), true).await;
    let _carol = by(&cluster, 2, Some("carol"), false).await;
    let carols_phone = by(&cluster, 0, Some("carol"), true).await;
    let _nobody = by(&cluster, 1, None, false).await;
    let _nobodys_phone = by(&cluster, 2, None, true).await;
    everywhere(&cluster, &sets(&["alice", "carol"], &["bob", "carol"])).await;

    let service = cluster.service().await;
    let all = json!([
        {"uid": "alice", "ws": true, "poll": false},
        {"uid": "bob", "ws": false, "poll": true},
        {"uid": "carol", "ws": true, "poll": true},
    ]);
    let counts = json!({"ws": 2, "poll": 2, "any": 3, "anonymous": {"ws": 1, "poll": 1}});
    let carol = json!({"uid": "carol", "ws": true, "poll": true, "nodes": [
        {"node": "n0", "ws": false, "poll": true},
        {"node": "n2", "ws": true, "poll": false},
    ]});
    let dave = json!({"uid": "dave", "ws": false, "poll": false, "nodes": []});
    for number in 0..3 {
        let handle = cluster.node(number).handle();
        eventually("those without a uid are counted", async || {
            handle.counts().anonymous == [1, 1]
        })
        .await;
        let numbers = handle.counts();
        assert_eq!((numbers.ws, numbers.poll, numbers.any), (2, 2, 3));
        assert!(handle.is_online("bob") && !handle.is_online("dave") && !handle.is_online(""));
        let places = handle.places("carol");
        let places = places
            .iter()
            .map(|place| (place.node.as_str(), place.kinds));
        assert!(places.eq([("n0", Kinds::POLL), ("n2", Kinds::WS)]));

        for (query, body, expected) in [
            ("", "", json!({"uids": all})),
            ("?limit=3", r#"{"limit": 3}"#, json!({"uids": all})),
            (
                "?limit=1&cursor=alice",
                r#"{"limit": 1, "cursor": "alice"}"#,
                json!({"uids": [all[1]], "next": "bob"}),
            ),
            (
                "?cursor=carol",
                r#"{"cursor": "carol"}"#,
                json!({"uids": []}),
            ),
            (
                "?transport=poll",
                r#"{"transport": "poll"}"#,
                json!({"uids": [all[1], all[2]]}),
            ),
            ("?count=true", r#"{"count": true}"#, counts.clone()),
            ("?uid=carol", r#"{"uid": "carol"}"#, carol.clone()),
            ("/carol", r#"{"uid": "carol"}"#, carol.clone()),
            ("/dave", r#"{"uid": "dave"}"#, dave.clone()),
        ] {
            let path = format!("/v1/connected-uids{query}");
            let (status, answer) = get(&cluster, number, &path).await;
            assert_eq!((status, what(answer)), (200, expected.clone()), "{path}");
            let answer = ask(&service, body).await.expect("a node answers");
            let answer = serde_json::from_slice(&answer.body).expect("json");
            assert_eq!(what(answer), expected, "{body}");
        }
    }

    drop(bob);
    drop(carols_phone);
    everywhere(&cluster, &sets(&["alice", "carol"], &[])).await;
}

async fn f51_a_watch_fires_on_each_change_and_on_no_no_op(kind: Kind) {
    let cluster = cluster(kind, 3).await;
    let _alice = by(&cluster, 0, Some("alice"), false).await;
    everywhere(&cluster, &sets(&["alice"], &[])).await;
    let mut watch = cluster.node(2).handle().watch();
    let first = soon("the first update", watch.next())
        .await
        .expect("an update");
    assert!(first.reload && !first.loading, "{first:?}");
    let said = |update: &tengen_node::Update| -> Vec<(String, Kinds, Kinds)> {
        let changes = update.changes.iter();
        changes
            .map(|change| (change.uid.to_string(), change.before, change.now))
            .collect()
    };
    assert_eq!(said(&first), [("alice".into(), Kinds::NONE, Kinds::WS)]);

    // A second client by the same transport, on another node, changes nothing in the sets.
    let _again = by(&cluster, 1, Some("alice"), false).await;
    let handle = cluster.node(2).handle();
    eventually("the second client is known", async || {
        handle.places("alice").len() == 2
    })
    .await;
    let _phone = by(&cluster, 1, Some("alice"), true).await;
    let second = soon("the second update", watch.next())
        .await
        .expect("an update");
    assert_eq!(said(&second), [("alice".into(), Kinds::WS, Kinds::BOTH)]);
    assert!(!second.reload && second.n == first.n + 1, "{second:?}");

    let _bob = by(&cluster, 0, Some("bob"), true).await;
    let third = soon("the third update", watch.next())
        .await
        .expect("an update");
    assert_eq!(said(&third), [("bob".into(), Kinds::NONE, Kinds::POLL)]);
    assert_eq!(watch.try_next(), None);

    let mut online = ConnectedUids::default();
    for update in [&first, &second, &third] {
        online.apply(update);
    }
    assert_eq!(online, handle.connected_uids());
}

async fn f100_sessions_are_listed_with_all_that_helps_to_find_a_mistake(kind: Kind) {
    let cluster = cluster(kind, 2).await;
    let phone = cluster.builder(1, Some("alice")).client_id("phone");
    let phone = phone.transport(TransportChoice::Poll).connect().await;
    let phone = phone.expect("the client connects");
    let tab = cluster.builder(0, Some("alice")).client_id("tab");
    let tab = tab.connect().await.expect("the client connects");
    let _nobody = by(&cluster, 0, None, false).await;
    let handle = cluster.node(0).handle();
    eventually("both nodes are known to have alice", async || {
        handle.places("alice").len() == 2
    })
    .await;

    let (status, answer) = get(&cluster, 0, "/v1/sessions?uid=alice").await;
    assert_eq!(status, 200);
    let text = answer.to_string();
    for client in [&phone, &tab] {
        let session = client.state().borrow().session.clone().expect("it is open");
        assert!(!text.contains(session.as_str()), "a session id is shown");
    }
    let answer = what(answer);
    assert_eq!(answer["missing"], json!([]));
    let sessions = answer["sessions"].as_array().expect("a list");
    let seen = sessions.iter().map(|session| {
        assert_eq!(session["uid"], "alice");
        assert_eq!(session["attached"], true);
        assert_eq!(session["session"].as_str().map(str::len), Some(22));
        for number in ["age_ms", "idle_ms", "queue_items", "queue_bytes"] {
            assert!(session[number].is_u64(), "{number} of {session}");
        }
        let text = |name: &str| session[name].as_str().expect("a text").to_owned();
        (text("node"), text("client"), text("transport"))
    });
    let expected = [("n0", "tab", "ws"), ("n1", "phone", "poll")];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(seen.collect::<BTreeSet<_>>(), BTreeSet::from(expected));

    // The same, as an application asks.
    let clients = handle.clients("alice").await;
    assert!(clients.missing.is_empty());
    let clients = clients.clients.iter();
    let clients = clients.map(|(node, client)| (node.as_str(), client.transport));
    let expected = [("n0", Transport::Ws), ("n1", Transport::Poll)];
    assert_eq!(clients.collect::<Vec<_>>(), expected);
    assert!(handle.clients("nobody-here").await.clients.is_empty());

    // Without a uid: those of the node, in pages, those without a uid among them.
    let (_, first) = get(&cluster, 0, "/v1/sessions?limit=1").await;
    assert_eq!(first["sessions"][0]["client"], "tab");
    let next = first["next"].as_str().expect("there is more").to_owned();
    let (_, second) = get(&cluster, 0, &format!("/v1/sessions?limit=1&cursor={next}")).await;
    assert_eq!(second["sessions"][0]["uid"], Value::Null);
    assert_eq!(second.get("next"), None, "{second}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_question_has_a_status_and_a_numbered_error_on_http_and_on_the_bus() {
    let cluster = cluster(Kind::Local, 1).await;
    let long = "u".repeat(257);
    for (path, code) in [
        ("/v1/connected-uids?limit=0", 1),
        ("/v1/connected-uids?limit=1001", 1),
        ("/v1/connected-uids?limit=-1", 5),
        ("/v1/connected-uids?limit=ten", 5),
        ("/v1/connected-uids?cursor=", 2),
        ("/v1/connected-uids?cursor=a%0Ab", 2),
        (&format!("/v1/connected-uids?cursor={long}"), 2),
        ("/v1/connected-uids?transport=carrier-pigeon", 1),
        ("/v1/connected-uids?count=true&limit=1", 1),
        ("/v1/connected-uids?clients=true", 1),
        ("/v1/connected-uids?uid=alice&cursor=a", 1),
        ("/v1/connected-uids?page=2", 5),
        ("/v1/connected-uids?limit=1&limit=2", 5),
        (&format!("/v1/connected-uids/{long}"), 2),
        ("/v1/connected-uids/a%0Ab", 2),
        ("/v1/connected-uids/%FF", 2),
        ("/v1/connected-uids?cursor=%FF", 5),
        ("/v1/connected-uids?uid=alice%C3", 5),
        ("/v1/sessions?uid=%FF", 5),
        ("/v1/connected-uids/alice?limit=1", 5),
        ("/v1/sessions?uid=", 2),
        ("/v1/sessions?uid=alice&limit=1", 1),
        ("/v1/sessions?cursor=alice", 1),
        ("/v1/sessions?cursor=-1", 1),
        ("/v1/sessions?limit=0", 1),
        ("/v1/sessions?user=alice", 5),
    ] {
        let (status, body) = get(&cluster, 0, path).await;
        assert_eq!((status, &body["error"]), (400, &json!(code)), "{path}");
    }

    let service = cluster.service().await;
    let deep = "[".repeat(2_000);
    let large = format!(r#"{{"cursor": "{}"}}"#, "u".repeat(5_000));
    for (body, code) in [
        ("nonsense", "5"),
        ("[]", "5"),
        ("null", "5"),
        (r#"{"limit": "ten"}"#, "5"),
        (r#"{"page": 2}"#, "5"),
        (deep.as_str(), "5"),
        (large.as_str(), "6"),
        (r#"{"limit": 0}"#, "1"),
        (r#"{"limit": 100000}"#, "1"),
        (r#"{"cursor": ""}"#, "2"),
        (r#"{"uid": "a\nb"}"#, "2"),
        (r#"{"transport": "both"}"#, "1"),
        (r#"{"uid": "a", "count": true}"#, "1"),
    ] {
        let answer = ask(&service, body).await.expect("the node answers");
        let error = answer.headers.first("Tengen-Error");
        assert_eq!(error, Some(code), "{body:.60}");
        assert!(!answer.body.is_empty(), "{body:.60}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_in_cbor_is_answered_in_cbor() {
    let cluster = cluster(Kind::Local, 1).await;
    let _alice = by(&cluster, 0, Some("alice"), false).await;
    everywhere(&cluster, &sets(&["alice"], &[])).await;
    let service = cluster.service().await;
    let mut body = Vec::new();
    ciborium::into_writer(&json!({"uid": "alice", "clients": true}), &mut body).unwrap();
    let question = Publish::new("tengen.connected-uids", body);
    let question = question.header("Content-Type", "application/cbor");
    let answer = service.request(question, PATIENCE).await.expect("answered");
    assert_eq!(
        answer.headers.first("Content-Type"),
        Some("application/cbor")
    );
    let read: ciborium::Value = ciborium::from_reader(&*answer.body).expect("cbor");
    let mut plain = Vec::new();
    ciborium::into_writer(&read, &mut plain).unwrap();
    assert_eq!(answer.body, plain, "every map says its length");
    let answer: Value = ciborium::from_reader(&*answer.body).expect("cbor");
    let answer = what(answer);
    assert_eq!(answer["nodes"][0]["node"], "n0");
    assert_eq!(answer["sessions"][0]["transport"], "ws");

    let mut two = Vec::new();
    ciborium::into_writer(&json!({"count": true}), &mut two).unwrap();
    two.push(0);
    let question = Publish::new("tengen.connected-uids", two);
    let question = question.header("Content-Type", "application/cbor");
    let answer = service.request(question, PATIENCE).await.expect("answered");
    assert_eq!(answer.headers.first("Tengen-Error"), Some("5"));
}

/// Keeps everything about presence from one handle, while it is on.
struct Deaf {
    node: HandleId,
    on: AtomicBool,
}

impl Faults for Deaf {
    fn fate(&self, _: HandleId, to: HandleId, subject: &str) -> Fate {
        let lost = to == self.node && subject == "tengen.presence";
        match lost && self.on.load(Ordering::Relaxed) {
            true => Fate::Lose,
            false => Fate::Deliver,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_ready_leaves_the_questions_of_services_to_those_that_are() {
    let mut cluster = cluster(Kind::Local, 2).await;
    let Net::Local(net) = &cluster.net else {
        unreachable!("it runs in process")
    };
    let (net, bus) = (net.clone(), cluster.net.bus().await);
    let deaf = Arc::new(Deaf {
        node: net.id(&bus).expect("of this net"),
        on: AtomicBool::new(false),
    });
    net.set_faults(Some(Arc::<Deaf>::clone(&deaf)));
    cluster.join(bus).await;
    knows_all(&cluster, 2).await;
    let service = cluster.service().await;
    let answered_by = async || -> String {
        let answer = ask(&service, "").await.expect("somebody answers");
        let answer: Value = serde_json::from_slice(&answer.body).expect("json");
        assert_eq!(answer["ready"], true, "{answer}");
        answer["node"].as_str().expect("a name").to_owned()
    };
    eventually("the third node answers too", async || {
        answered_by().await == "n2"
    })
    .await;

    deaf.on.store(true, Ordering::Relaxed);
    let handle = cluster.node(2).handle();
    eventually("it notices that it is deaf", async || {
        handle.hears_cluster() == Err(NotReady::Deaf)
    })
    .await;
    // From now on each question that it is still given goes to the others: none is lost, and each
    // answer is of a node that is ready.
    for _ in 0..100 {
        assert_ne!(answered_by().await, "n2");
    }
    let (status, answer) = get(&cluster, 2, "/v1/connected-uids").await;
    assert_eq!((status, &answer["ready"]), (200, &json!(false)));
    let then = answer["as_of"].as_u64().expect("it was ready once");
    let (_, answer) = get(&cluster, 2, "/v1/connected-uids?count=true").await;
    assert_eq!(answer["as_of"].as_u64(), Some(then), "that time goes on");

    deaf.on.store(false, Ordering::Relaxed);
    knows_all(&cluster, 2).await;
    eventually("it answers again", async || answered_by().await == "n2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_node_is_left_a_service_is_told_at_once_that_nobody_answers() {
    let mut cluster = cluster(Kind::Local, 1).await;
    let service = cluster.service().await;
    eventually("it answers", async || ask(&service, "").await.is_ok()).await;
    cluster.take(0).stop().await;
    let asked = tokio::time::Instant::now();
    let answer = ask(&service, "").await;
    assert!(
        matches!(answer, Err(RequestError::NoResponders)),
        "{answer:?}"
    );
    assert!(asked.elapsed() < PATIENCE / 2, "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f51_a_watch_ends_with_its_node() {
    let mut cluster = cluster(Kind::Local, 1).await;
    let mut watch = cluster.node(0).handle().watch();
    assert!(soon("the first update", watch.next()).await.is_some());
    let ended = tokio::spawn(async move { watch.next().await });
    tokio::time::timeout(Duration::from_secs(30), cluster.take(0).stop())
        .await
        .expect("the node stops");
    assert_eq!(soon("the end", ended).await.expect("no panic"), None);
}
