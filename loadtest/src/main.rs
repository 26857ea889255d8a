//! `tengen-loadtest`: thousands of real connections to a node on this machine, measured and accounted for.
//!
//! A run, in reading order: [`options`] say which figure · [`node_process`] starts the node or
//! [`target`] finds it, on this machine only · [`figures`] opens the connections ([`lean`], read by
//! one thread; [`full`], the Rust client; or [`parked`] polls), [`push`]es numbered [`item`]s and waits until all were
//! read · each connection's [`ledger`] says what was lost, repeated or reordered · [`floor`] tells
//! what the kernel alone needs for the same bytes · [`report`] puts them next to each other.

mod compare;
mod figures;
mod floor;
mod full;
mod http;
mod item;
mod lean;
mod ledger;
mod node_process;
mod options;
mod parked;
mod process;
mod push;
mod relay;
mod report;
mod sockets;
mod target;

use std::process::ExitCode;

use clap::Parser as _;

/// Something kept the figure from being measured, in contrast to 1: measured, and bad.
const NOT_MEASURED: u8 = 2;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let options = options::Options::parse();
    match measure(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("not measured: {error:#}");
            ExitCode::from(NOT_MEASURED)
        }
    }
}

/// Measures and prints; whether all is well.
fn measure(options: &options::Options) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(figures::run(options))?;
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(report.clean && (report.budget_met || !options.enforce))
}
