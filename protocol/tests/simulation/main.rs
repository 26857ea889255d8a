//! Both halves of a session, nodes, the bus between them and everything that goes wrong; thousands of seeded worlds, judged by a ledger.
//!
//! `cargo xtask sim` runs it; README.md beside this file says what is in it.

#![expect(clippy::unwrap_used, reason = "a broken simulation is to fail loudly")]

mod bus;
mod carrying;
mod chance;
mod ledger;
mod mutations;
mod node;
mod oddity;
mod plan;
mod pushing;
mod runner;
mod settling;
mod tab;
mod trouble;
mod web;
mod wire;
mod world;

use runner::Order;
use std::time::Duration;

/// What an ordinary test run covers.
const SEEDS: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_lost_repeated_or_reordered_without_a_gap_and_every_promise_ends_once() {
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
    // A simulation in which nothing happens proves nothing. Other worlds than the suite's may lack what is rare.
    if first == 0 && report.runs >= SEEDS {
        assert_eq!(report.totals.missing(), [""; 0], "{:?}", report.totals);
    }
}

#[test]
fn a_seed_replays_its_world_exactly() {
    for seed in 0..20 {
        let first = world::World::new(seed, false).run();
        let second = world::World::new(seed, false).run();
        assert_eq!(first, second, "seed {seed} gave two worlds");
    }
}
