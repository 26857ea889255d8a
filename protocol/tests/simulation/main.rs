//! Both halves of a session, nodes, the bus between them and everything that goes wrong; thousands of seeded worlds, judged by a ledger.
//!
//! `cargo xtask sim` runs it; README.md beside this file says what is in it.

#![expect(clippy::unwrap_used, reason = "a broken simulation is to fail loudly")]

mod bus;
mod carrying;
#[path = "../harness/chance.rs"]
mod chance;
#[path = "../harness/counters.rs"]
mod counters;
mod ledger;
#[path = "../harness/mutations.rs"]
mod mutations;
mod node;
mod oddity;
mod plan;
#[path = "../harness/played.rs"]
mod played;
mod pushing;
#[path = "../harness/runner.rs"]
mod runner;
mod scripts;
mod settling;
mod simulated;
mod tab;
mod trouble;
mod web;
mod wire;
mod world;

#[test]
fn nothing_is_lost_repeated_or_reordered_without_a_gap_and_every_promise_ends_once() {
    runner::suite();
}

#[test]
fn a_seed_replays_its_world_exactly() {
    runner::replay(20);
}

#[test]
fn the_worlds_in_which_a_promise_was_once_broken_keep_it() {
    for seed in simulated::ONCE_FAILED {
        let run = runner::caught(|| world::World::new(*seed, false).run());
        assert!(run.is_ok(), "seed {seed}: {:?}", run.err());
    }
}
