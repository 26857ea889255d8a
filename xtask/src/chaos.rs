//! `cargo xtask chaos`: the fault tests with everything at its default, for as long as one likes.

use std::process::Command;

use anyhow::Result;

use crate::exec::run;
use crate::tools;
use crate::workspace::Workspace;

/// What the user asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// For how many minutes connections and nodes are treated badly; some tests take ten minutes anyhow.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Only the tests whose name contains this.
    filter: Option<String>,
}

/// Runs the fault tests at their full pace, most of them side by side: they wait more than they work.
pub(crate) fn chaos(workspace: &Workspace, options: &Options) -> Result<()> {
    let balancers = tools::balancers()?;
    run(Command::new("cargo")
        .args(["test", "--package", "tengen-node", "--test", "faults", "--"])
        .args(["--test-threads", "8"])
        .args(&options.filter)
        .env("TENGEN_CHAOS", options.minutes.to_string())
        .env("NATS_SERVER", tools::nats_server(workspace)?)
        .env("NGINX", balancers.nginx)
        .env("HAPROXY", balancers.haproxy)
        .current_dir(&workspace.root))
}
