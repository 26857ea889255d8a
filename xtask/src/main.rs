//! `cargo xtask`: the project's entry points, one subcommand each.

mod exec;
mod tidy;
mod tools;
mod web;
mod workspace;

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

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let workspace = Workspace::find()?;
    match arguments.task {
        Task::Tidy => tidy::check(&workspace),
        Task::Tools => tools::fetch_all(&workspace),
        Task::Web { fast } => web::build(&workspace, fast),
    }
}
