//! Whole clusters and their users, the bus between them and everything that goes wrong; seeded worlds, judged against the truth.
//!
//! `cargo xtask sim --presence` runs it; README.md beside this file says what is in it.

#![expect(clippy::unwrap_used, reason = "a broken simulation is to fail loudly")]

mod book;
mod bus;
#[path = "../simulation/chance.rs"]
mod chance;
mod consumer;
mod judge;
mod mutations;
mod node;
mod people;
mod plan;
mod runner;
mod scripts;
mod stranger;
mod told;
mod totals;
mod trouble;
mod world;

use runner::Order;
use std::time::Duration;

/// What an ordinary test run covers.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_view_feed_and_follower_is_the_truth_once_it_is_quiet() {
    if let Some(seed) = number("TENGEN_SEED") {
        let run = world::World::new(seed, true).run();
        println!("{run:?}");
        return;
    }
    runner::be_quiet();
    let minutes = number("TENGEN_MINUTES");
    let seeds = number("TENGEN_SEEDS").unwrap_or(minutes.map_or(SEEDS, |_| u64::MAX));
    let first = number("TENGEN_FIRST_SEED").unwrap_or(0);
    let report = runner::all(&Order {
        seeds: first..first.saturating_add(seeds),
        suspended: None,
        within: minutes.map(|minutes| Duration::from_secs(minutes * 60)),
        enough: number("TENGEN_FAILURES").map_or(1, |enough| enough as usize),
    });
    println!("{} seeds: {:?}", report.runs, report.totals);
    if !report.failures.is_empty() {
        eprintln!("{}", report.complaints());
        eprintln!("{} of {} seeds failed", report.failures.len(), report.runs);
        std::process::exit(1);
    }
    // A simulation in which nothing happens proves nothing.
    if report.runs >= SEEDS {
        assert_eq!(report.totals.missing(), [""; 0], "{:?}", report.totals);
    }
}

#[test]
fn a_seed_replays_its_cluster_exactly() {
    for seed in 0..10 {
        let first = world::World::new(seed, false).run();
        let second = world::World::new(seed, false).run();
        assert_eq!(first, second, "seed {seed} gave two worlds");
    }
}

/// In an ordinary run a thousand users a node; `TENGEN_USERS` says how many otherwise.
#[test]
fn a_hundred_nodes_with_a_thousand_users_each_come_to_the_truth() {
    if number("TENGEN_SEED").is_some() {
        return;
    }
    let users = number("TENGEN_USERS").unwrap_or(1_000) as usize;
    let seed = number("TENGEN_FIRST_SEED").unwrap_or(0);
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
