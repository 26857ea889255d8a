//! Does the checker bite? Each rule, suspended, has to break a script or a world.

use crate::played;
use crate::runner::{self, Order, Report, number};
use crate::simulated::rules::Rule;
use crate::simulated::{ENOUGH_SEEDS, QUICK_SEEDS};
use std::time::{Duration, Instant};

/// Runs worlds without a rule until one breaks.
fn without(rule: Rule, seeds: u64) -> Report {
    runner::all(&Order {
        seeds: 0..seeds,
        suspended: Some(rule),
        within: Some(Duration::from_secs(600)),
        enough: 1,
    })
}

/// In an ordinary test run within few worlds, and with no exception.
#[test]
fn every_rule_is_missed_when_it_is_suspended() {
    let full = std::env::var_os("TENGEN_MUTATIONS").is_some();
    let only = std::env::var("TENGEN_RULE").ok();
    let seeds = if full {
        number("TENGEN_SEEDS").unwrap_or(ENOUGH_SEEDS)
    } else {
        QUICK_SEEDS
    };
    let mut unnoticed = Vec::new();
    for rule in Rule::ALL.iter().copied() {
        if only.as_ref().is_some_and(|only| only != rule.name()) {
            continue;
        }
        let began = Instant::now();
        let how = noticed(rule, seeds, full).unwrap_or_else(|how| {
            unnoticed.push(rule.name());
            how
        });
        println!(
            "| {} | {} | {how} | {:.1} s |",
            rule.name(),
            rule.words(),
            began.elapsed().as_secs_f64()
        );
    }
    assert!(
        unnoticed.is_empty(),
        "nobody misses {}",
        unnoticed.join(", ")
    );
}

/// After how many worlds, or in which script, or why not. Both are looked for when `both` says so.
fn noticed(rule: Rule, seeds: u64, both: bool) -> Result<String, String> {
    let script = played::without(rule)
        .map(|(script, what)| format!("script: {script}: {}", first_sentence(&what)));
    if let Some(script) = script.as_ref().filter(|_| !both) {
        return Ok(script.clone());
    }
    let report = without(rule, seeds);
    let world = report.failures.first_key_value();
    let world = world.map(|(seed, what)| format!("{}: {}", seed + 1, first_sentence(what)));
    let found: Vec<String> = world.into_iter().chain(script).collect();
    if !found.is_empty() {
        return Ok(found.join("; "));
    }
    Err(if report.asked.contains(&rule) {
        format!("not noticed in {}", report.runs)
    } else {
        "not asked for".to_owned()
    })
}

fn first_sentence(what: &str) -> &str {
    let end = what.find(" (").unwrap_or(what.len());
    what[..end].lines().next().unwrap_or_default()
}
