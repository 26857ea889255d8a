//! Nodes that die or hang: every client who may have missed something is told, and nobody else.

use std::time::Duration;

use crate::pushing::Pushing;
use crate::visitors::{Report, Visitors, assert_all};
use crate::world::{World, eventually};

/// Long enough for the stream to be steady.
const STEADY: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_costs_its_own_clients_a_gap_and_nobody_anything_untold() {
    let mut world = World::start().await;
    let visitors = Visitors::enter(&world, 99, |node| world.doors[node].address()).await;
    let url = world.nats.server(0).url();
    let pushing = Pushing::start(&url, &url, 50).await;
    tokio::time::sleep(STEADY).await;

    world.doors[1].aim(&[world.nodes[0].address, world.nodes[2].address]);
    world.nodes[1].kill();
    eventually("the clients of the killed node are back", async || {
        let mut affected = visitors.all.iter().filter(|visitor| visitor.node == 1);
        affected.all(|visitor| {
            let state = visitor.client.state().borrow().clone();
            state.open
                && state
                    .node
                    .as_ref()
                    .is_some_and(|node| node.as_str() != "n1")
        })
    })
    .await;
    world.nodes[1].start_again();
    world.nodes[1].ready().await;
    tokio::time::sleep(STEADY).await;

    let ends = pushing.stop().await;
    let reports = visitors.leave(&world, &ends).await;
    let affected: Vec<Report>;
    let others: Vec<Report>;
    (affected, others) = reports.into_iter().partition(|report| report.node == 1);
    assert_eq!(affected.len(), 33);
    assert_all("told of the gap", &affected, |report| {
        report.pushed.gaps > 0 && report.is_honest()
    });
    assert_all("not touched", &others, Report::is_whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_for_a_while_loses_repeats_and_reorders_nothing() {
    let world = World::start().await;
    let visitors = Visitors::enter(&world, 99, |node| world.doors[node].address()).await;
    let url = world.nats.server(0).url();
    let pushing = Pushing::start(&url, &url, 50).await;
    tokio::time::sleep(STEADY).await;

    world.nodes[1].pause();
    // Longer than the patience of its clients, shorter than NATS's with a consumer that does not read.
    tokio::time::sleep(Duration::from_secs(6)).await;
    world.nodes[1].resume();
    tokio::time::sleep(STEADY).await;

    let ends = pushing.stop().await;
    let reports = visitors.leave(&world, &ends).await;
    assert_all("whole in both directions", &reports, Report::is_whole);
}
