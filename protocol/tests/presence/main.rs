//! Whole clusters and their users, the bus between them and everything that goes wrong; seeded worlds, judged against the truth.
//!
//! `cargo xtask sim --presence` runs it; README.md beside this file says what is in it.

#![expect(clippy::unwrap_used, reason = "a broken simulation is to fail loudly")]

mod book;
mod bus;
#[path = "../harness/chance.rs"]
mod chance;
mod consumer;
#[path = "../harness/counters.rs"]
mod counters;
mod judge;
#[path = "../harness/mutations.rs"]
mod mutations;
mod node;
mod people;
mod plan;
#[path = "../harness/played.rs"]
mod played;
#[path = "../harness/runner.rs"]
mod runner;
mod scripts;
mod simulated;
mod stranger;
mod told;
mod totals;
mod trouble;
mod world;

#[test]
fn every_view_feed_and_follower_is_the_truth_once_it_is_quiet() {
    runner::suite();
}

#[test]
fn a_seed_replays_its_cluster_exactly() {
    runner::replay(10);
}

/// In an ordinary run a thousand users a node; `TENGEN_USERS` says how many otherwise.
#[test]
fn a_hundred_nodes_with_a_thousand_users_each_come_to_the_truth() {
    if runner::number("TENGEN_SEED").is_some() {
        return;
    }
    let users = runner::number("TENGEN_USERS").unwrap_or(1_000) as usize;
    let seed = runner::number("TENGEN_FIRST_SEED").unwrap_or(0);
    let began = std::time::Instant::now();
    let plan = plan::Plan::large(100, 100 * users);
    let run = world::World::of(plan, seed, chance::Chance::new(seed), false).run();
    println!(
        "100 nodes, {users} users each: {:.1} s, {} MB at most; {:?}",
        began.elapsed().as_secs_f64(),
        peak_memory() >> 20,
        run.totals
    );
}

/// The most bytes that this process has had in memory, as Linux tells it.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
