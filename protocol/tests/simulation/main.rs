//! Both halves of a session, joined by a wire that delays, cuts and swallows; thousands of seeded runs, judged by a ledger.
//!
//! `TENGEN_SEED=n` runs one seed with a log, `TENGEN_SEEDS=n` another number of them.

#![expect(clippy::unwrap_used, reason = "a broken simulation is to fail loudly")]

mod chance;
mod ledger;
mod node;
mod wire;
mod world;

use world::World;

const SEEDS: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_lost_repeated_or_reordered_without_a_gap_and_every_promise_ends_once() {
    if let Some(seed) = number("TENGEN_SEED") {
        World::new(seed, true).run();
        return;
    }
    let mut totals = ledger::Totals::default();
    for seed in 0..number("TENGEN_SEEDS").unwrap_or(SEEDS) {
        let run = std::panic::catch_unwind(|| World::new(seed, false).run());
        match run {
            Ok(counted) => totals.add(&counted),
            Err(panic) => {
                eprintln!("failing seed: {seed} (run it alone with TENGEN_SEED={seed})");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{totals:?}");
    // A simulation in which nothing happens proves nothing.
    assert!(totals.everything_happened(), "{totals:?}");
}
