//! Sessions that go from node to node: the taker shows its user before the holder lets go, and nobody is told.

use std::time::Duration;

use tengen_protocol::presence::Kinds;

use super::{Eavesdropper, grace, kinds};
use crate::cluster::Cluster;
use crate::takeover::Nomad;
use crate::way::Way;

each_transport!(
    f54_a_takeover_shows_the_user_at_the_taker_before_the_holder_lets_go_and_tells_nobody,
);

async fn f54_a_takeover_shows_the_user_at_the_taker_before_the_holder_lets_go_and_tells_nobody(
    way: Way,
) {
    let cluster = Cluster::start(way, 2).await;
    let online = Eavesdropper::start(&cluster).await;
    let nomad = Nomad::start(&cluster, way, Some("alice")).await;
    online.until_there("alice", "n0", kinds(way)).await;
    online.until_told("alice", &[true]).await;

    nomad.moves_to(&cluster, 1).await;
    online.until_gone_from("alice", "n0").await;
    let there = online.said_at("alice", "n1", kinds(way));
    let gone = online.said_at("alice", "n0", Kinds::NONE);
    let (after, soonest) = (gone - there, Duration::from_millis(400));
    assert!(after >= soonest && after < grace(way), "{after:?}");

    nomad.moves_to(&cluster, 0).await;
    online.until_gone_from("alice", "n1").await;
    tokio::time::sleep(grace(way) + Duration::from_secs(1)).await;
    assert!(online.was_never_gone("alice"), "{:?}", online.said("alice"));
    assert_eq!(online.told("alice"), [true]);
    assert_eq!(online.places("alice").len(), 1);
}
