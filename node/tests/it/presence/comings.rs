//! Users come and go, with one client or several, by one transport or both: told once, shown exactly.

use std::time::{Duration, Instant};

use tengen_client::Client;
use tengen_protocol::Codec;
use tengen_protocol::presence::Kinds;
use tokio::time::sleep;

use super::{Eavesdropper, grace, kinds};
use crate::cluster::{Cluster, Kind, eventually};
use crate::way::{By, Served, Way};

each_transport!(
    f52_f53_a_user_opens_once_with_the_first_client_and_closes_once_with_the_last,
    f54_a_reload_within_the_grace_is_told_to_nobody_on_the_same_node_or_another,
);

async fn f52_f53_a_user_opens_once_with_the_first_client_and_closes_once_with_the_last(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let online = Eavesdropper::start(&cluster).await;
    let first = cluster.client(0, Some("alice")).await;
    let second = cluster.client(1, Some("alice")).await;
    let third = cluster.client(1, Some("alice")).await;
    online.until_there("alice", "n0", kinds(way)).await;
    online.until_there("alice", "n1", kinds(way)).await;
    online.until_told("alice", &[true]).await;

    for (client, node) in [(first, None), (third, None), (second, Some("n1"))] {
        assert_eq!(online.told("alice"), [true], "somebody is still there");
        let closed = Instant::now();
        client.close().await;
        if let Some(node) = node {
            online.until_gone_from("alice", node).await;
            online.until_told("alice", &[true, false]).await;
            let took = online.told_at("alice") - closed;
            let (grace, late) = (grace(way), Duration::from_secs(3));
            assert!(took >= grace && took < grace + late, "{took:?}");
        } else {
            // The grace of one who is not the last.
            sleep(grace(way) + Duration::from_millis(500)).await;
        }
    }
    let expected = match way.by {
        By::Poll => Kinds::POLL,
        By::Ws | By::Auto => Kinds::WS,
    };
    let mut said = online.said("alice");
    said.sort_by(|one, other| one.0.cmp(&other.0));
    let of = |node: &str, kinds| (node.to_owned(), kinds);
    assert_eq!(
        said,
        [
            of("n0", expected),
            of("n0", Kinds::NONE),
            of("n1", expected),
            of("n1", Kinds::NONE)
        ],
        "no no-ops, nothing twice"
    );
    let _again = cluster.client(0, Some("alice")).await;
    online.until_told("alice", &[true, false, true]).await;
}

async fn f54_a_reload_within_the_grace_is_told_to_nobody_on_the_same_node_or_another(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let online = Eavesdropper::start(&cluster).await;
    let mut client = cluster.client(0, Some("alice")).await;
    online.until_there("alice", "n0", kinds(way)).await;
    for node in [0, 0, 1, 1, 0] {
        client.close().await;
        // A page takes its time to load.
        sleep(Duration::from_millis(700)).await;
        client = cluster.client(node, Some("alice")).await;
    }
    online.until_gone_from("alice", "n1").await;
    online.until_told("alice", &[true]).await;
    sleep(grace(way) + Duration::from_secs(1)).await;
    assert_eq!(online.told("alice"), [true]);
    assert!(online.was_never_gone("alice"), "{:?}", online.said("alice"));
    drop(client);
}

crate::each_bus!(f50_a_user_with_both_transports_is_there_by_both_and_by_each_as_long_as_it_lasts);

async fn f50_a_user_with_both_transports_is_there_by_both_and_by_each_as_long_as_it_lasts(
    bus: Kind,
) {
    let cluster = Cluster::start(bus, 1).await;
    let online = Eavesdropper::start(&cluster).await;
    let by = |by| Way {
        bus,
        by,
        codec: Codec::Json,
        served: Served::Own,
    };
    let connect = async |way: Way| -> Client {
        let builder = way.client(&cluster.node(0).url()).header("x-uid", "alice");
        builder.connect().await.expect("it connects")
    };
    let ws = connect(by(By::Ws)).await;
    online.until_there("alice", "n0", Kinds::WS).await;
    let poll = connect(by(By::Poll)).await;
    online.until_there("alice", "n0", Kinds::BOTH).await;
    ws.close().await;
    online.until_there("alice", "n0", Kinds::POLL).await;
    let ws = connect(by(By::Ws)).await;
    online.until_there("alice", "n0", Kinds::BOTH).await;
    poll.close().await;
    online.until_there("alice", "n0", Kinds::WS).await;
    ws.close().await;
    online.until_gone_from("alice", "n0").await;
    let how: Vec<Kinds> = online
        .said("alice")
        .iter()
        .map(|(_, kinds)| *kinds)
        .collect();
    let expected = [
        Kinds::WS,
        Kinds::BOTH,
        Kinds::POLL,
        Kinds::BOTH,
        Kinds::WS,
        Kinds::NONE,
    ];
    assert_eq!(how, expected, "any is always the union of the two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_clients_are_counted_by_transport_and_listed_nowhere() {
    let cluster = Cluster::start(Kind::Local, 1).await;
    let online = Eavesdropper::start(&cluster).await;
    let mut clients = Vec::new();
    for by in [By::Ws, By::Ws, By::Poll] {
        let way = Way {
            by,
            ..Way::from(Kind::Local)
        };
        let client = way.client(&cluster.node(0).url()).connect().await;
        clients.push(client.expect("it connects"));
    }
    let counted = |expected: [u64; 2]| {
        let heard = &online.heard;
        eventually("the beat counts them", async move || {
            let heard = heard.lock();
            heard.beats.get("n0").map(|beat| beat.anonymous) == Some(expected)
        })
    };
    counted([2, 1]).await;
    for client in clients {
        client.close().await;
    }
    counted([0, 0]).await;
    assert_eq!(online.heard.lock().deltas.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f55_f56_a_client_that_polls_on_and_on_is_there_without_a_break() {
    let way = Way {
        by: By::Poll,
        ..Way::from(Kind::Local)
    };
    let cluster = Cluster::with(way, 1, |node| {
        node.settings(|config| config.poll_timeout = Duration::from_millis(500))
    })
    .await;
    let online = Eavesdropper::start(&cluster).await;
    let client = cluster.client(0, Some("alice")).await;
    let handle = cluster.node(0).handle();
    // Twice the grace, GETs that end empty and GETs that end with a push.
    for _ in 0..11 {
        let pushed = handle.send_to_uid("alice", "t/n", &1).await;
        pushed.expect("it is accepted");
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(online.said("alice"), [("n0".to_owned(), Kinds::POLL)]);
    assert_eq!(online.told("alice"), [true]);
    drop(client);
}
