//! `cargo xtask sim`: the deterministic simulations of clients, nodes and the bus, and of presence, for as long as one likes.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::exec;
use crate::workspace::Workspace;

#[derive(Args)]
pub(crate) struct Options {
    /// Simulate presence: whole clusters and their users, instead of sessions.
    #[arg(long)]
    presence: bool,
    /// How many worlds to run; 2,000 (of presence 300) unless --minutes says for how long.
    #[arg(long)]
    seeds: Option<u64>,
    /// Run this one alone, with a log of all that happens.
    #[arg(long, conflicts_with_all = ["seeds", "minutes", "mutations"])]
    seed: Option<u64>,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run for so long.
    #[arg(long)]
    minutes: Option<u64>,
    /// Go on until so many worlds have failed.
    #[arg(long, default_value_t = 1)]
    failures: u64,
    /// Suspend each rule in turn and say after how many worlds that is noticed.
    #[arg(long)]
    mutations: bool,
    /// Only this rule, by its name.
    #[arg(long, requires = "mutations")]
    rule: Option<String>,
}

/// Runs it; a failing world is told by its seed, which replays it exactly.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let (simulation, whole) = if options.presence {
        (
            "presence",
            "every_view_feed_and_follower_is_the_truth_once_it_is_quiet",
        )
    } else {
        (
            "simulation",
            "nothing_is_lost_repeated_or_reordered_without_a_gap_and_every_promise_ends_once",
        )
    };
    let test = if options.mutations {
        "mutations::every_rule_is_missed_when_it_is_suspended"
    } else {
        whole
    };
    let mut cargo = command(workspace, &[simulation]);
    cargo.args(["--", "--exact", test, "--nocapture"]);
    let numbers = [
        ("TENGEN_SEED", options.seed),
        ("TENGEN_SEEDS", options.seeds),
        ("TENGEN_FIRST_SEED", Some(options.from)),
        ("TENGEN_MINUTES", options.minutes),
        ("TENGEN_FAILURES", Some(options.failures)),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            cargo.env(name, number.to_string());
        }
    }
    if options.mutations {
        cargo.env("TENGEN_MUTATIONS", "all");
    }
    if let Some(rule) = &options.rule {
        cargo.env("TENGEN_RULE", rule);
    }
    exec::run(&mut cargo)
}

/// The test binaries of the simulations, which alone are built with the feature to suspend rules.
pub(crate) fn command(workspace: &Workspace, simulations: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        // The whole workspace, so that what was compiled for the other tests serves here too.
        .args(["test", "--quiet", "--workspace"])
        // Three times as many worlds in the time; only this crate is compiled once more for it.
        .args([
            "--config",
            "profile.dev.package.tengen-protocol.opt-level=2",
        ])
        .args(["--features", "tengen-protocol/mutations"])
        .args(simulations.iter().flat_map(|it| ["--test", it]))
        .current_dir(&workspace.root);
    cargo
}
