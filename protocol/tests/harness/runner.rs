//! Runs seeds side by side, until a time or a number is reached, and says which failed and of what.

use crate::simulated::rules::{self, Rule};
use crate::simulated::{self, Run, Totals, World};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::UnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
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

/// A number that the command line hands over in the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What an ordinary test run covers, or what the command line asks for.
pub(crate) fn suite() {
    if let Some(seed) = number("TENGEN_SEED") {
        let run = World::new(seed, true).run();
        println!("{run:?}");
        return;
    }
    let minutes = number("TENGEN_MINUTES");
    let seeds = number("TENGEN_SEEDS").unwrap_or(minutes.map_or(simulated::SEEDS, |_| u64::MAX));
    let first = number("TENGEN_FIRST_SEED").unwrap_or(0);
    let report = all(&Order {
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
    // Other worlds than the suite's may lack what is rare.
    if first == 0 && report.runs >= simulated::SEEDS {
        assert_eq!(report.totals.missing(), [""; 0], "{:?}", report.totals);
    }
}

/// Runs the first seeds twice: whatever differs would make a failure one that nobody sees again.
pub(crate) fn replay(seeds: u64) {
    for seed in 0..seeds {
        let first = World::new(seed, false).run();
        let second = World::new(seed, false).run();
        assert_eq!(first, second, "seed {seed} gave two worlds");
    }
}

/// Plays what may panic; a broken promise is an error with what it says, and is not printed.
pub(crate) fn caught<T>(play: impl FnOnce() -> T + UnwindSafe) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let aloud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !CATCHING.get() {
                return aloud(panic);
            }
            let place = panic
                .location()
                .map(ToString::to_string)
                .unwrap_or_default();
            let text = panic.payload_as_str().unwrap_or("no text");
            LAST_PANIC.with_borrow_mut(|last| *last = format!("{text} ({place})"));
        }));
    });
    CATCHING.set(true);
    let played = std::panic::catch_unwind(play);
    CATCHING.set(false);
    played.map_err(|_| LAST_PANIC.with_borrow_mut(std::mem::take))
}

/// Runs one seed.
fn one(seed: u64) -> Result<Run, String> {
    caught(|| World::new(seed, false).run())
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
                    match one(seed) {
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
    fn complaints(&self) -> String {
        let command = simulated::COMMAND;
        let lines = self.failures.iter().take(20).map(|(seed, what)| {
            format!("seed {seed}: {what}\n  see it with: {command} --seed {seed}\n")
        });
        lines.collect()
    }
}
