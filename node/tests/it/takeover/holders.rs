//! Who holds a session: the node in its id, another one, several that are asked at once, or nobody any more.

use std::time::{Duration, Instant};

use tengen_client::FailureKind;
use tengen_node::Answer;

use super::{Nomad, cluster_with, taken};
use crate::cluster::{Cluster, Kind, Net, eventually, metric, soon};
use crate::way::Way;

each_move!(
    the_holder_need_not_be_the_node_in_the_id,
    a_session_comes_back_to_the_node_it_began_on,
    a_dead_holder_means_a_fresh_session_with_a_gap,
    what_a_dead_holder_owed_is_closed_and_never_hangs,
);

async fn the_holder_need_not_be_the_node_in_the_id(way: Way) {
    let cluster = Cluster::start(way, 3).await;
    let mut alice = Nomad::start(&cluster, way, Some("alice")).await;
    alice.moves_to(&cluster, 1).await;
    // Node 0 is named in the id and has it no more.
    alice.moves_to(&cluster, 2).await;
    let handle = cluster.node(0).handle();
    handle
        .send_to_uid("alice", "t/x", &7)
        .await
        .expect("accepted");
    assert_eq!(alice.heard.data::<u64>("t/x").await, 7);
    assert_eq!((taken(&cluster, 1).await, taken(&cluster, 2).await), (1, 1));
    // What was moved away is soon forgotten.
    for node in [0, 1] {
        let given = metric(&cluster, node, "tengen_takeover_given_total").await;
        assert_eq!(given, 1, "node {node}");
    }
}

async fn a_session_comes_back_to_the_node_it_began_on(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let mut alice = Nomad::start(&cluster, way, Some("alice")).await;
    let handle = cluster.node(1).handle();
    for (n, to) in (0_u64..).zip([1, 0, 1, 0]) {
        alice.moves_to(&cluster, to).await;
        handle
            .send_to_uid("alice", "t/n", &n)
            .await
            .expect("accepted");
        assert_eq!(alice.heard.data::<u64>("t/n").await, n);
    }
    assert_eq!((taken(&cluster, 0).await, taken(&cluster, 1).await), (2, 2));
}

/// Ends node 0 as a crash would: its bus is gone, its sockets are closed.
fn kill_first(cluster: &mut Cluster) {
    drop(cluster.take(0));
}

async fn a_dead_holder_means_a_fresh_session_with_a_gap(way: Way) {
    let mut cluster = Cluster::start(way, 2).await;
    let mut alice = Nomad::start(&cluster, way, Some("alice")).await;
    let session = alice.client.state().borrow().session.clone();
    let there = cluster.node(1).address;
    kill_first(&mut cluster);
    alice.cut_and_aim(there).await;
    alice.until_open_on(1).await;
    let state = alice.client.state().borrow().clone();
    assert_ne!(state.session, session);
    assert!(state.gap && !state.resumed, "what was lost is told");
    assert_eq!(alice.heard.next().await.0, "chsk/gap");
    let handle = cluster.node(0).handle();
    handle
        .send_to_uid("alice", "t/x", &7)
        .await
        .expect("accepted");
    assert_eq!(alice.heard.data::<u64>("t/x").await, 7);
}

async fn what_a_dead_holder_owed_is_closed_and_never_hangs(way: Way) {
    let never = async || {
        std::future::pending::<()>().await;
        Answer(())
    };
    let mut cluster = cluster_with(way, 2, |node| node.on("t/never", never)).await;
    let alice = Nomad::start(&cluster, way, Some("alice")).await;
    let asked = alice.client.request::<()>("t/never", &());
    let asked = asked.timeout(Duration::from_secs(60)).queue().await;
    let asked = asked.expect("it is sent");
    // Answered after it: so the holder has begun it.
    let items = "tengen_handlers_items_total";
    eventually("it is asked", async || {
        metric(&cluster, 0, items).await == 1
    })
    .await;
    alice.moves_to(&cluster, 1).await;
    kill_first(&mut cluster);
    let begun = Instant::now();
    let failure = tokio::time::timeout(Duration::from_secs(30), asked).await;
    let failure = failure
        .expect("long before its deadline")
        .expect_err("nobody answers");
    assert_eq!(failure.kind, FailureKind::Closed, "{failure:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_whose_bus_is_down_is_given_up_and_ends_what_it_held() {
    let mut cluster = Cluster::start(Kind::Local, 0).await;
    let Net::Local(net) = &cluster.net else {
        panic!("it is local")
    };
    let net = net.clone();
    let lonely = net.bus();
    cluster.join(lonely.clone()).await;
    cluster.join(net.bus()).await;
    let way = Way::from(Kind::Local);
    let mut alice = Nomad::start(&cluster, way, Some("alice")).await;
    net.take_down(&lonely, "test");
    alice.cut_and_aim(cluster.node(1).address).await;
    alice.until_open_on(1).await;
    let state = alice.client.state().borrow().clone();
    assert!(state.gap && !state.resumed, "what was lost is told");
    assert_eq!(alice.heard.next().await.0, "chsk/gap");
    let handle = cluster.node(1).handle();
    let push = handle.send_to_uid("alice", "t/x", &7);
    soon("accepted", push.into_future())
        .await
        .expect("accepted");
    assert_eq!(alice.heard.data::<u64>("t/x").await, 7);
}
