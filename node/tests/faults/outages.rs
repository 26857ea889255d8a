//! The bus goes away and comes back: what may have been lost is told, the rest comes once and in order.

use std::time::Duration;

use tengen_bus::testing::NatsCluster;

use crate::pushing::Pushing;
use crate::turns;
use crate::visitors::{Report, Visitors, assert_all};
use crate::world::{Nats, World};

/// Long enough for the stream to be steady.
const STEADY: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_server_that_restarts_costs_a_gap_and_nothing_untold() {
    let mut world = World::start().await;
    let visitors = Visitors::enter(&world, 99, |node| world.doors[node].address()).await;
    let url = world.nats.server(0).url();
    let pushing = Pushing::start(&url, &url, 50).await;
    tokio::time::sleep(STEADY).await;

    world.nats.server_mut(0).stop();
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.nats.server_mut(0).start_again().await;
    for node in &world.nodes {
        node.ready().await;
    }
    tokio::time::sleep(STEADY).await;

    let ends = pushing.stop().await;
    let reports = visitors.leave(&world, &ends).await;
    assert_all("told of the gap", &reports, |report| {
        report.pushed.gaps > 0 && report.pushed.is_honest()
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_of_three_that_dies_costs_the_clients_of_its_node_a_gap() {
    let turn = turns::among_few().await;
    let nats = Nats::Three(NatsCluster::start(3).await);
    let mut world = World::over(nats, &[], turn).await;
    let visitors = Visitors::enter(&world, 99, |node| world.doors[node].address()).await;
    let url = world.nats.server(0).url();
    let pushing = Pushing::start(&url, &url, 50).await;
    tokio::time::sleep(STEADY).await;

    world.nats.server_mut(1).stop();
    tokio::time::sleep(STEADY).await;
    for node in &world.nodes {
        node.ready().await;
    }
    world.nats.server_mut(1).start_again().await;
    tokio::time::sleep(STEADY).await;

    let ends = pushing.stop().await;
    let reports = visitors.leave(&world, &ends).await;
    let affected: Vec<Report>;
    let others: Vec<Report>;
    (affected, others) = reports.into_iter().partition(|report| report.node == 1);
    assert_all("told of the gap", &affected, |report| {
        report.pushed.gaps > 0 && report.pushed.is_honest()
    });
    assert_all("not touched", &others, |report| report.pushed.is_whole());
}
