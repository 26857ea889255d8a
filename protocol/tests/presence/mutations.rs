//! Does the checker bite? Each rule of presence, suspended, has to break a world.

use crate::runner::{self, Order, Report};
use std::time::{Duration, Instant};
use tengen_protocol::presence::rules::Rule;

/// A rule whose absence is not noticed within so many worlds is not checked at all.
const ENOUGH_SEEDS: u64 = 600;

/// Rules that are missed in a script or within the first few dozen worlds: an ordinary test run shows
/// it of these.
const QUICK: &[Rule] = &[
    Rule::UsurpedGoesAbove,
    Rule::DuplicateExits,
    Rule::NewEpochSyncs,
    Rule::GraceBeforeDelta,
    Rule::PollGraceIsLonger,
    Rule::MoveWaitsForOpen,
    Rule::MoveIsBounded,
    Rule::BeatAheadSyncs,
    Rule::SnapshotReplaces,
    Rule::MismatchBacksOff,
    Rule::SilenceIsDeath,
    // Of these the scripts show it.
    Rule::EpochAboveHeard,
    Rule::LowerEpochIgnored,
    Rule::SwitchShowsAtOnce,
    Rule::NoNoOps,
    Rule::OldIgnored,
    Rule::GapSyncs,
    Rule::DigestIsCompared,
    Rule::BeatsGoOn,
    Rule::NothingIsQueued,
    Rule::DeltasAreBuffered,
    Rule::RingReplays,
    Rule::OldStaysUntilReplaced,
    Rule::PartsCarryFirstSeq,
    Rule::RetryFromMissingPart,
    Rule::TwoOutgoing,
    Rule::HearOneself,
    Rule::LateTickFreezes,
    Rule::FullTtlAfterFreeze,
    Rule::AnyMessageIsLife,
    Rule::ByeEnds,
    Rule::LostWaitGrace,
    Rule::MinorityIsNotReady,
    Rule::HalfNeedsLowest,
    Rule::ByeDoesNotCount,
    Rule::ReadyAfterTwoBeats,
    Rule::ReadyWhenSynced,
    Rule::ColdClusterIsReady,
    Rule::LowestEpochTells,
    Rule::HigherTellerYields,
    Rule::NewTellerWaits,
    Rule::NewTellerReloads,
    Rule::LevelTriggered,
    Rule::AllFollow,
    Rule::MarksGoOn,
    Rule::DiffersIsNamed,
    Rule::NamedIsToldAgain,
    Rule::BaseByTellerAlone,
    Rule::FeedOverBase,
    Rule::FeedGapRestarts,
    Rule::ReloadRestarts,
    Rule::ReconnectRestarts,
    Rule::SecondTellerRestarts,
    Rule::BasePageReplaces,
];
/// What "few dozen" means.
const QUICK_SEEDS: u64 = 60;

/// Runs worlds without a rule until one breaks.
fn without(rule: Rule, seeds: u64) -> Report {
    runner::all(&Order {
        seeds: 0..seeds,
        suspended: Some(rule),
        within: Some(Duration::from_secs(600)),
        enough: 1,
    })
}

#[test]
fn every_rule_is_missed_when_it_is_suspended() {
    let full = std::env::var_os("TENGEN_MUTATIONS").is_some();
    let only = std::env::var("TENGEN_RULE").ok();
    runner::be_quiet();
    let enough = crate::number("TENGEN_SEEDS").unwrap_or(ENOUGH_SEEDS);
    let (rules, seeds) = if full {
        (Rule::ALL, enough)
    } else {
        (QUICK, QUICK_SEEDS)
    };
    let mut unnoticed = Vec::new();
    for rule in rules.iter().copied() {
        if only.as_ref().is_some_and(|only| only != rule.name()) {
            continue;
        }
        let began = Instant::now();
        if let Some(what) = runner::scripts_without(rule) {
            println!(
                "| {} | {} | script: {} |",
                rule.name(),
                rule.words(),
                first_sentence(&what)
            );
            continue;
        }
        let report = without(rule, seeds);
        let how = match report.failures.first_key_value() {
            Some((seed, what)) => format!("{} | {}", seed + 1, first_sentence(what)),
            None if !report.asked.contains(&rule) => "not asked for".to_owned(),
            None => format!("not noticed in {}", report.runs),
        };
        if report.failures.is_empty() {
            unnoticed.push(rule.name());
        }
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

fn first_sentence(what: &str) -> &str {
    let end = what.find(" (").unwrap_or(what.len());
    what[..end].lines().next().unwrap_or_default()
}
