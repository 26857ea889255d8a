//! The stages of the suite, cheapest first.

use std::process::Command;

use anyhow::{Result, bail};

use super::{Count, Suite};
use crate::exec::{run, watch};
use crate::workspace::Workspace;
use crate::{sim, tidy, tools, web};

pub(super) fn all(suite: &mut Suite<'_>) {
    suite.stage("tidy", |workspace, _| tidy::check(workspace));
    suite.stage("format", |workspace, _| {
        run(cargo(workspace).args(["fmt", "--all", "--check"]))
    });
    // Before anything that compiles a node: the node embeds the package.
    suite.stage("web", |workspace, _| web::build(workspace, false));
    suite.stage("clippy", clippy);
    suite.stage("docs", |workspace, _| {
        run(cargo(workspace)
            .args(["doc", "--workspace", "--no-deps", "--quiet"])
            .env(
                "RUSTDOCFLAGS",
                "-D warnings -A rustdoc::private_intra_doc_links",
            ))
    });
    match tools::cargo_deny(suite.workspace) {
        Ok(deny) => suite.stage("licences and bans", |workspace, _| {
            run(Command::new(deny)
                .args(["--all-features", "check", "bans", "licenses", "sources"])
                .current_dir(&workspace.root))
        }),
        Err(missing) => suite.skip("licences and bans", &missing),
    }
    suite.stage("rust tests", |workspace, count| {
        let server = tools::nats_server(workspace)?;
        let balancers = match tools::balancers() {
            Ok(balancers) => Some(balancers),
            Err(missing) if workspace.ci => return Err(missing),
            // The tests that need them say that they are left out.
            Err(_) => None,
        };
        tools::curl()?;
        tools::python3()?;
        let mut tests = cargo(workspace);
        tests
            .args(["test", "--workspace", "--no-fail-fast"])
            .env("RUST_TEST_THREADS", test_threads())
            .env("NATS_SERVER", server)
            // Tests of other crates start the real binary: cargo has built it before any test begins.
            .env(
                "TENGEN_NODE_BIN",
                workspace.target.join("debug/tengen-node"),
            )
            .env("WSCAT", tools::npm_tool(workspace, "wscat")?);
        if let Some(balancers) = balancers {
            tests
                .env("NGINX", balancers.nginx)
                .env("HAPROXY", balancers.haproxy);
        }
        counted(&mut tests, count)
    });
    suite.stage("simulation", |workspace, count| {
        counted(
            &mut sim::command(workspace, &["simulation", "presence"]),
            count,
        )
    });
    suite.stage("javascript tests", javascript);
    suite.stage("benches, small", |workspace, count| {
        counted(
            cargo(workspace).args(["test", "--workspace", "--bench", "*"]),
            count,
        )
    });
    match tools::browser(suite.workspace) {
        Ok(browser) => suite.stage("browser", |workspace, count| {
            in_a_browser(workspace, &browser, count)
        }),
        Err(missing) => suite.skip("browser", &missing),
    }
}

fn clippy(workspace: &Workspace, _: &mut Count) -> Result<()> {
    let deny = ["--", "-D", "warnings"];
    run(cargo(workspace)
        .args(["clippy", "--workspace", "--all-targets"])
        .args(deny))?;
    // Targets that an ordinary `cargo test` leaves out.
    run(cargo(workspace)
        .args(["clippy", "--workspace", "--test", "browser"])
        .args(deny))?;
    run(cargo(workspace)
        .args(["clippy", "--workspace"])
        .args(["--features", "tengen-protocol/mutations"])
        .args(["--test", "simulation", "--test", "presence"])
        .args(deny))?;
    // As people build it: everything above has the features that only tests ask for, and a program
    // that lacks one of its own would compile all the same.
    run(cargo(workspace).args(["clippy", "--workspace"]).args(deny))?;
    let wasm = [
        "clippy",
        "--package",
        "tengen-client-wasm",
        "--target",
        "wasm32-unknown-unknown",
    ];
    run(cargo(workspace).args(wasm).args(deny))
}

/// The built package from JavaScript: golden files, behaviour, typings, a bundler.
fn javascript(workspace: &Workspace, count: &mut Count) -> Result<()> {
    build_node(workspace)?;
    let mut tests = Command::new(tools::npm_tool(workspace, "node")?);
    tests
        // A failed test leaves its socket open, which would hold the process for ever.
        .args(["--test", "--test-reporter=tap", "--test-force-exit"])
        .arg("client-wasm/tests/*.test.js")
        .env(
            "TENGEN_NODE_BIN",
            workspace.target.join("debug/tengen-node"),
        )
        .env("TENGEN_ESBUILD", tools::npm_tool(workspace, "esbuild")?)
        .env("TENGEN_TSC", tools::npm_tool(workspace, "tsc")?)
        .current_dir(&workspace.root);
    counted(&mut tests, count)
}

/// The demo with three nodes, used by a real browser.
fn in_a_browser(workspace: &Workspace, browser: &tools::Browser, count: &mut Count) -> Result<()> {
    build_node(workspace)?;
    let mut tests = cargo(workspace);
    tests
        .args([
            "test",
            "--workspace",
            "--test",
            "browser",
            "--",
            "--test-threads=3",
        ])
        .env("TENGEN_XTASK", std::env::current_exe()?)
        .env("TENGEN_ESBUILD", tools::npm_tool(workspace, "esbuild")?)
        .env("NATS_SERVER", tools::nats_server(workspace)?)
        .env("CHROMIUM", &browser.chromium)
        .env("CHROMEDRIVER", &browser.chromedriver);
    tools::python_with_nats(workspace)?;
    counted(&mut tests, count)
}

/// The real binary, of the very crates that the tests are made of. By itself (`--package`) it has fewer
/// features, and with it nearly everything would be compiled a second time; naming a test is what makes
/// cargo count the features that only tests ask for.
fn build_node(workspace: &Workspace) -> Result<()> {
    run(cargo(workspace).args(["build", "--workspace"]).args([
        "--bin",
        "tengen-node",
        "--test",
        "browser",
    ]))
}

/// How many tests run at once: most of them wait for something most of the time.
fn test_threads() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores * 4).to_string()
}

/// Runs a test runner and adds up what it says it ran.
fn counted(command: &mut Command, count: &mut Count) -> Result<()> {
    let well = watch(command, |line| count.see(line))?;
    if !well {
        bail!(
            "{} of {} tests failed",
            count.failed,
            count.passed + count.failed
        );
    }
    if count.is_empty() {
        bail!("ran no test at all");
    }
    Ok(())
}

fn cargo(workspace: &Workspace) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&workspace.root);
    cargo
}
