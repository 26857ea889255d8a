//! Clients that come back on another node each time: the session goes with them.

use std::time::Duration;

use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tengen_bus::testing::Proxy;

use crate::pace::Pace;
use crate::pushing::Pushing;
use crate::visitors::{Report, Visitors, assert_all};
use crate::witness::Witness;
use crate::world::{World, eventually};

/// So many sessions that went to another node show something.
const ENOUGH: u64 = 20;

/// How many have gone.
async fn taken(world: &World) -> u64 {
    let mut taken = 0;
    for node in &world.nodes {
        taken += node.metric("tengen_takeover_taken_total").await;
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f62_clients_that_hop_from_node_to_node_lose_repeat_and_reorder_nothing() {
    let world = World::start().await;
    let addresses: Vec<_> = world.nodes.iter().map(|node| node.address).collect();
    let gate = Proxy::start(&addresses).await;
    let visitors = Visitors::enter(&world, 100, |_| gate.address()).await;
    let witness = Witness::of(&world);
    let url = world.nats.server(0).url();
    let pushing = Pushing::start(&url, &url, 50).await;

    // The same every time, as far as the choices go.
    let mut random = rand::rngs::SmallRng::seed_from_u64(62);
    let begun = tokio::time::Instant::now();
    let trouble = Pace::of_this_run().trouble;
    // On a slow machine it takes longer until enough of them have gone to another node.
    while begun.elapsed() < trouble
        || (begun.elapsed() < trouble * 4 && taken(&world).await <= ENOUGH)
    {
        if let Some(link) = gate.links().choose(&mut random) {
            match random.random_range(0..4) {
                0 => link.cut(),
                1 => link.reset(),
                2 => link.blackhole(),
                _ => link.stall(),
            }
        }
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    for link in gate.links() {
        link.resume();
    }
    let ends = pushing.stop().await;
    let reports = visitors.leave(&world, &ends).await;
    let taken = taken(&world).await;
    assert!(taken > ENOUGH, "only {taken} sessions went to another node");
    witness.assert_whole(&reports);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_hangs_costs_its_clients_a_gap_and_nobody_anything_untold() {
    let world = World::start().await;
    let visitors = Visitors::enter(&world, 99, |node| world.doors[node].address()).await;
    let url = world.nats.server(0).url();
    let pushing = Pushing::start(&url, &url, 50).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    world.doors[1].aim(&[world.nodes[0].address, world.nodes[2].address]);
    world.nodes[1].pause();
    for link in world.doors[1].links() {
        link.reset();
    }
    eventually(
        "the clients of the hanging node are elsewhere",
        async || {
            let mut affected = visitors.all.iter().filter(|visitor| visitor.node == 1);
            affected.all(|visitor| {
                let state = visitor.client.state().borrow().clone();
                state.open
                    && state
                        .node
                        .as_ref()
                        .is_some_and(|node| node.as_str() != "n1")
            })
        },
    )
    .await;
    // It wakes up with sessions that have gone on without it.
    world.nodes[1].resume();
    tokio::time::sleep(Duration::from_secs(3)).await;

    let ends = pushing.stop().await;
    let reports = visitors.leave(&world, &ends).await;
    let affected: Vec<Report>;
    let others: Vec<Report>;
    (affected, others) = reports.into_iter().partition(|report| report.node == 1);
    // What they had sent and heard nothing of may be handled when the node wakes, behind what they
    // have sent since.
    assert_all("told of the gap", &affected, |report| {
        report.pushed.gaps > 0 && report.pushed.is_honest()
    });
    assert_all("not touched", &others, Report::is_whole);
}
