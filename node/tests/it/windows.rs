//! Batching windows: what they hold back and for how long, on each transport, and that a flush does not wait.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tengen_bus::{Bus, Publish};
use tengen_protocol::Uid;

use crate::bad_input::open_as;
use crate::cluster::{Cluster, Kind, eventually, metric, soon};
use crate::poller::Poller;

const WINDOW: Duration = Duration::from_secs(1);

/// A node with windows, and what pushes to it.
struct Fixture {
    cluster: Cluster,
    service: Bus,
    http: reqwest::Client,
}

async fn fixture() -> Fixture {
    let cluster = Cluster::with(Kind::Local, 1, |builder| {
        builder.settings(|config| {
            config.ws_window = WINDOW;
            config.poll_window = WINDOW;
        })
    })
    .await;
    Fixture {
        service: cluster.service().await,
        cluster,
        http: reqwest::Client::new(),
    }
}

/// The ways to push, each without and with a flush.
async fn push(fixture: &Fixture, way: &str, number: u64, flush: bool) {
    let cluster = &fixture.cluster;
    let (subjects, uid) = (cluster.subjects(), Uid::parse("alice").expect("a uid"));
    let event = json!(["x/y", number]).to_string();
    match way {
        "rust" => {
            let push = cluster.node(0).handle();
            let push = push.send_to_uid(&uid, "x/y", &number);
            let push = if flush { push.flush() } else { push };
            push.await.expect("pushed");
        }
        "bus" => {
            let mut message = Publish::new(subjects.send_to_uid(&uid), event);
            if flush {
                message = message.header("Tengen-Flush", "1");
            }
            fixture.service.publish(message).await.expect("published");
        }
        _ => {
            let url = format!("http://{}/v1/send-to-uid/alice", cluster.node(0).admin);
            let mut request = fixture.http.post(url).body(event);
            if flush {
                request = request.header("tengen-flush", "1");
            }
            let response = request.send().await.expect("an answer");
            assert_eq!(response.status(), 202);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f60_f61_a_window_gathers_pushes_to_a_websocket_and_a_flush_ends_it() {
    for way in ["rust", "bus", "http"] {
        let fixture = fixture().await;
        let cluster = &fixture.cluster;
        let mut ws = open_as(cluster, "alice").await;
        ws.hello("c", 1).await;
        let written = async || metric(cluster, 0, "tengen_edge_writes_total").await;
        let first = 0;
        let (begun, before) = (Instant::now(), written().await);
        for number in first..first + 3 {
            push(&fixture, way, number, false).await;
        }
        for number in first..first + 3 {
            let said = soon("a push", ws.text_that_begins("[1,")).await;
            assert_eq!(said, json!([1, "x/y", number]).to_string());
        }
        assert!(begun.elapsed() >= WINDOW, "{way}: {:?}", begun.elapsed());
        assert_eq!(written().await - before, 1, "{way}: one write");
        let begun = Instant::now();
        push(&fixture, way, first + 3, false).await;
        push(&fixture, way, first + 4, true).await;
        for number in first + 3..first + 5 {
            let said = soon("a push", ws.text_that_begins("[1,")).await;
            assert_eq!(said, json!([1, "x/y", number]).to_string());
        }
        assert!(begun.elapsed() < WINDOW, "{way}: {:?}", begun.elapsed());
    }
}

async fn taken(mut tab: Poller) -> (Poller, Vec<Value>) {
    let items = tab.take(0).await;
    (tab, items)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f60_f61_a_window_gathers_pushes_to_a_held_poll_and_a_flush_ends_it() {
    let fixture = fixture().await;
    let cluster = &fixture.cluster;
    let mut tab = Poller::open(cluster, 0, Some("alice")).await;
    let is_held = async || {
        eventually("held", async || {
            metric(cluster, 0, "tengen_poll_parked").await == 1
        })
        .await;
    };
    for (round, way) in ["rust", "bus", "http"].into_iter().enumerate() {
        let first = 10 * u64::try_from(round).expect("small");
        let of = |numbers: std::ops::Range<u64>| -> Vec<Value> {
            numbers.map(|number| json!([1, "x/y", number])).collect()
        };
        let getting = tokio::spawn(taken(tab));
        is_held().await;
        let begun = Instant::now();
        for number in first..first + 3 {
            push(&fixture, way, number, false).await;
        }
        let items;
        (tab, items) = soon("the answer", getting).await.expect("no panic");
        assert_eq!(items, of(first..first + 3));
        assert!(begun.elapsed() >= WINDOW, "{way}: {:?}", begun.elapsed());

        let getting = tokio::spawn(taken(tab));
        is_held().await;
        let begun = Instant::now();
        push(&fixture, way, first + 3, false).await;
        // Also when the first one has already begun the window.
        tokio::time::sleep(WINDOW / 10).await;
        push(&fixture, way, first + 4, true).await;
        let items;
        (tab, items) = soon("the answer", getting).await.expect("no panic");
        assert_eq!(items, of(first + 3..first + 5));
        assert!(begun.elapsed() < WINDOW, "{way}: {:?}", begun.elapsed());
    }
}
