//! Clients that leave without a word, nodes that leave with one: gone when the grace is over, and not before.

use std::time::{Duration, Instant};

use tengen_bus::testing::{Admission, Gate, Shape, Whom};
use tengen_protocol::presence::Kinds;

use super::{Eavesdropper, grace, kinds};
use crate::cluster::{Cluster, eventually};
use crate::side_by_side;
use crate::way::{By, Way};

side_by_side!(
    f27_a_client_whose_connection_breaks_is_offline_after_the_grace,
    f27_a_client_in_a_black_hole_is_offline_after_its_silence_and_the_grace,
    the_users_of_a_node_that_leaves_wait_the_grace_out_and_some_are_elsewhere_by_then,
);

async fn f27_a_client_whose_connection_breaks_is_offline_after_the_grace(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let online = Eavesdropper::start(&cluster).await;
    let proxy = cluster.proxy(&[0]).await;
    for (round, reset) in [false, true].into_iter().enumerate() {
        proxy.admit(Whom::Everybody, Admission::Pass);
        let client = cluster.through(&proxy, Some("alice")).connect().await;
        let client = client.expect("it connects");
        online.until_there("alice", "n0", kinds(way)).await;
        let mut story = [true, false].repeat(round);
        story.push(true);
        online.until_told("alice", &story).await;

        proxy.admit(Whom::Everybody, Admission::Reset);
        let cut = Instant::now();
        for link in proxy.links() {
            if reset { link.reset() } else { link.cut() }
        }
        story.push(false);
        online.until_told("alice", &story).await;
        let gone = online.said_at("alice", "n0", Kinds::NONE) - cut;
        // A GET that had just been answered is missed a second later, at the next sweep.
        let (grace, late) = (grace(way), Duration::from_millis(3_500));
        assert!(gone >= grace && gone < grace + late, "{gone:?}");
        drop(client);
    }
}

async fn f27_a_client_in_a_black_hole_is_offline_after_its_silence_and_the_grace(way: Way) {
    let cluster = Cluster::with(way, 1, |node| {
        node.settings(|config| {
            config.ping = Duration::from_secs(1);
            config.poll_timeout = Duration::from_secs(1);
        })
    })
    .await;
    let online = Eavesdropper::start(&cluster).await;
    let proxy = cluster.proxy(&[0]).await;
    let client = cluster.through(&proxy, Some("alice")).connect().await;
    let client = client.expect("it connects");
    online.until_there("alice", "n0", kinds(way)).await;
    let lost = Instant::now();
    proxy.shape(Shape {
        gate: Gate::Blackholed,
        ..Shape::default()
    });
    let silence = match way.by {
        // Two pings of a second and five more, found by a sweep. 35 s at the defaults.
        By::Ws | By::Auto => Duration::from_secs(7),
        // The GET that is held, answered into the void; the next one does not come.
        By::Poll => Duration::ZERO,
    };
    let deadline = silence + grace(way) + Duration::from_secs(5);
    while online.places("alice").contains_key("n0") {
        assert!(lost.elapsed() < deadline, "still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let gone = online.said_at("alice", "n0", Kinds::NONE) - lost;
    assert!(
        gone + Duration::from_secs(2) >= silence + grace(way),
        "{gone:?}"
    );
    drop(client);
}

async fn the_users_of_a_node_that_leaves_wait_the_grace_out_and_some_are_elsewhere_by_then(
    way: Way,
) {
    let mut cluster = Cluster::start(way, 2).await;
    let online = Eavesdropper::start(&cluster).await;
    let moves = cluster.client(1, Some("alice")).await;
    let leaves = cluster.client(1, Some("bob")).await;
    for uid in ["alice", "bob"] {
        online.until_there(uid, "n1", kinds(way)).await;
        online.until_told(uid, &[true]).await;
    }
    let left = Instant::now();
    cluster.take(1).stop().await;
    eventually("it said bye", async || online.heard.lock().byes == ["n1"]).await;
    let said = online.said("bob");
    assert_eq!(said.len(), 1, "a bye is no close: {said:?}");
    drop((moves, leaves));
    let there = cluster.client(0, Some("alice")).await;
    online.until_told("bob", &[true, false]).await;
    let took = online.told_at("bob") - left;
    // The longest of both: the receivers do not tell them apart.
    let (grace, late) = (Duration::from_millis(5_500), Duration::from_secs(4));
    assert!(took >= grace && took < grace + late, "{took:?}");
    assert_eq!(online.told("alice"), [true], "she only moved");
    drop(there);
}
