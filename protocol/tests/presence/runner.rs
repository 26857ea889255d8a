//! Runs seeds side by side, until a time or a number is reached, and says which failed and of what.

use crate::totals::Totals;
use crate::world::{Run, World};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tengen_protocol::presence::rules::{self, Rule};

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What many seeds gave.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) runs: u64,
    pub(crate) totals: Totals,
    /// What each failing seed says.
    pub(crate) failures: BTreeMap<u64, String>,
    /// Rules that somebody asked for.
    pub(crate) asked: Vec<Rule>,
}

/// What to run.
pub(crate) struct Order {
    pub(crate) seeds: Range<u64>,
    pub(crate) suspended: Option<Rule>,
    /// No seed begins later.
    pub(crate) within: Option<Duration>,
    /// No seed begins after so many have failed.
    pub(crate) enough: usize,
}

/// Keeps what a panic says to itself, instead of printing it.
pub(crate) fn be_quiet() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("no text");
        LAST_PANIC.with_borrow_mut(|last| *last = format!("{text} ({place})"));
    }));
}

/// Runs one seed; a broken promise is an error with what it says.
pub(crate) fn one(seed: u64, log: bool) -> Result<Run, String> {
    let run = std::panic::catch_unwind(|| World::new(seed, log).run());
    run.map_err(|_| LAST_PANIC.with_borrow_mut(std::mem::take))
}

/// Plays one script; a broken promise is an error with what it says.
pub(crate) fn script(play: fn(u64), seed: u64) -> Result<(), String> {
    let played = std::panic::catch_unwind(|| play(seed));
    played.map_err(|_| LAST_PANIC.with_borrow_mut(std::mem::take))
}

/// The first script that breaks without this rule, and how.
pub(crate) fn scripts_without(rule: Rule) -> Option<String> {
    rules::suspend(Some(rule));
    let broken = crate::scripts::all().find_map(|(name, play, seed)| {
        let what = script(play, seed).err()?;
        Some(format!("{name}: {what}"))
    });
    rules::suspend(None);
    broken
}

/// Runs them all, on all processors.
pub(crate) fn all(order: &Order) -> Report {
    let next = AtomicU64::new(order.seeds.start);
    let stop = AtomicBool::new(false);
    let report = Mutex::new(Report::default());
    let began = Instant::now();
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                rules::suspend(order.suspended);
                let mut mine = Report::default();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let late = order.within.is_some_and(|within| began.elapsed() > within);
                    if late || seed >= order.seeds.end {
                        break;
                    }
                    mine.runs += 1;
                    match one(seed, false) {
                        Ok(run) => mine.totals.add(&run.totals),
                        Err(what) => {
                            mine.failures.insert(seed, what);
                        }
                    }
                    stop.fetch_or(mine.failures.len() >= order.enough, Ordering::Relaxed);
                }
                rules::suspend(None);
                let asked = Rule::ALL.iter().filter(|rule| rules::was_asked(**rule));
                mine.asked = asked.copied().collect();
                report.lock().unwrap().add(mine);
            });
        }
    });
    report.into_inner().unwrap()
}

impl Report {
    fn add(&mut self, other: Report) {
        self.runs += other.runs;
        self.totals.add(&other.totals);
        self.failures.extend(other.failures);
        self.asked.extend(other.asked);
        self.asked.sort();
        self.asked.dedup();
    }

    /// The failures in words, with how to see each.
    pub(crate) fn complaints(&self) -> String {
        let lines = self.failures.iter().take(20).map(|(seed, what)| {
            format!(
                "seed {seed}: {what}\n  see it with: cargo xtask sim --presence --seed {seed}\n"
            )
        });
        lines.collect()
    }
}
