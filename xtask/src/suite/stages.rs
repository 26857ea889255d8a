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
        // Tests of other crates start the real binary.
        run(cargo(workspace).args(["build", "--package", "tengen-node", "--bins"]))?;
        let mut tests = cargo(workspace);
        tests
            .args(["test", "--workspace", "--no-fail-fast"])
            .env("NATS_SERVER", server)
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
        .args(["clippy", "--package", "tengen-node", "--test", "browser"])
        .args(deny))?;
    run(cargo(workspace)
        .args(["clippy", "--package", "tengen-protocol"])
        .args(["--features", "mutations"])
        .args(["--test", "simulation", "--test", "presence"])
        .args(deny))?;
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
    run(cargo(workspace).args(["build", "--package", "tengen-node", "--bin", "tengen-node"]))?;
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
    run(cargo(workspace).args(["build", "--package", "tengen-node", "--bin", "tengen-node"]))?;
    let mut tests = cargo(workspace);
    tests
        .args([
            "test",
            "--package",
            "tengen-node",
            "--test",
            "browser",
            "--",
            "--test-threads=1",
        ])
        .env("TENGEN_XTASK", std::env::current_exe()?)
        .env("TENGEN_ESBUILD", tools::npm_tool(workspace, "esbuild")?)
        .env("NATS_SERVER", tools::nats_server(workspace)?)
        .env("CHROMIUM", &browser.chromium)
        .env("CHROMEDRIVER", &browser.chromedriver);
    tools::python_with_nats(workspace)?;
    counted(&mut tests, count)
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
