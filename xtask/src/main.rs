//! `cargo xtask`: the project's entry points, one subcommand each.

mod chaos;
mod demo;
mod exec;
mod sim;
mod suite;
mod tidy;
mod tools;
mod web;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tengen's entry points")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start Tengen on this machine and print how to push to the page.
    Demo(demo::Options),
    /// Run every check there is; the last line is the sum.
    Test {
        /// Only the stages whose name contains one of these words.
        only: Vec<String>,
    },
    /// Measure: the benches at full size.
    Bench {
        /// Only the benches whose name contains this.
        filter: Option<String>,
    },
    /// The fault tests with every timing at its default, and as long as you like.
    Chaos(chaos::Options),
    /// Simulate clients, nodes and the bus, or presence, under every kind of trouble; a seed replays a world.
    Sim(sim::Options),
    /// Check the house rules: layers, file lengths, first lines, the packages in use.
    Tidy,
    /// Fetch everything the demo and the tests need into target/tools/.
    Tools,
    /// Build the browser client into client-wasm/pkg/ and print its size.
    Web {
        /// Compile quickly instead of small; for working on the client itself.
        #[arg(long)]
        fast: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let workspace = Workspace::find()?;
    match arguments.task {
        Task::Demo(options) => demo::demo(&workspace, &options),
        Task::Test { only } => return Ok(suite::run(&workspace, &only)),
        Task::Bench { filter } => exec::run(
            std::process::Command::new("cargo")
                .args(["bench", "--workspace", "--bench", "*", "--"])
                .args(filter)
                .current_dir(&workspace.root),
        ),
        Task::Chaos(options) => chaos::chaos(&workspace, &options),
        Task::Sim(options) => sim::run(&workspace, &options),
        Task::Tidy => tidy::check(&workspace),
        Task::Tools => tools::fetch_all(&workspace),
        Task::Web { fast } => web::build(&workspace, fast),
    }?;
    Ok(ExitCode::SUCCESS)
}
