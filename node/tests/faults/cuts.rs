//! Connections that are cut, reset, stalled and swallowed: on the same node nothing is lost, repeated or out of order.

use std::time::Duration;

use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::pace::Pace;
use crate::pushing::Pushing;
use crate::visitors::Visitors;
use crate::witness::Witness;
use crate::world::World;

/// So many troubled connections show something.
const ENOUGH: u32 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f62_connections_cut_reset_stalled_and_swallowed_lose_repeat_and_reorder_nothing() {
    let world = World::start().await;
    let visitors = Visitors::enter(&world, 100, |node| world.doors[node].address()).await;
    let witness = Witness::of(&world);
    let url = world.nats.server(0).url();
    let pushing = Pushing::start(&url, &url, 50).await;

    // The same every time, as far as the choices go.
    let mut random = rand::rngs::SmallRng::seed_from_u64(62);
    let mut troubled = 0;
    let begun = tokio::time::Instant::now();
    let trouble = Pace::of_this_run().trouble;
    // A slow machine takes longer for enough of it.
    while begun.elapsed() < trouble || (begun.elapsed() < trouble * 4 && troubled <= ENOUGH) {
        let door = world.doors.choose(&mut random).expect("a door");
        if let Some(link) = door.links().choose(&mut random) {
            match random.random_range(0..4) {
                0 => link.cut(),
                1 => link.reset(),
                2 => link.blackhole(),
                _ => {
                    link.stall();
                    let link = link.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(1_500)).await;
                        link.resume();
                    });
                }
            }
            troubled += 1;
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert!(
        troubled > ENOUGH,
        "only {troubled} connections were troubled"
    );
    let ends = pushing.stop().await;
    let reports = visitors.leave(&world, &ends).await;
    witness.assert_whole(&reports);
}
