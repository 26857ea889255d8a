//! Fetches what the demo and the tests need: found on the machine, else built into `target/tools/`.
//!
//! Versions are pinned here. Nothing is downloaded but packages, by their registries' own clients.

mod balancers;
mod browser;
mod nats;
mod npm;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

pub(crate) use balancers::{Balancers, balancers};
pub(crate) use browser::{Browser, browser};
pub(crate) use nats::{nats_server, python_with_nats, python3};
pub(crate) use npm::npm_tool;

use crate::exec::{self, in_path, output, run};
use crate::workspace::Workspace;

const CARGO_DENY_VERSION: &str = "0.20.2";

/// Fetches everything, and says where it is.
pub(crate) fn fetch_all(workspace: &Workspace) -> Result<()> {
    wasm_target()?;
    let Browser {
        chromium,
        chromedriver,
    } = browser(workspace)?;
    let Balancers { nginx, haproxy } = balancers()?;
    for (name, path) in [
        ("curl", curl()?),
        ("python3", python3()?),
        ("nats-server", nats_server(workspace)?),
        ("wasm-bindgen", wasm_bindgen(workspace)?),
        ("wasm-opt", npm_tool(workspace, "wasm-opt")?),
        ("esbuild", npm_tool(workspace, "esbuild")?),
        ("tsc", npm_tool(workspace, "tsc")?),
        ("node", npm_tool(workspace, "node")?),
        ("python with nats-py", python_with_nats(workspace)?),
        ("cargo-deny", cargo_deny(workspace)?),
        ("chromium", chromium),
        ("chromedriver", chromedriver),
        ("nginx", nginx),
        ("haproxy", haproxy),
    ] {
        println!("{name:20} {}", path.display());
    }
    Ok(())
}

/// curl, with which the specification walks through the protocol.
pub(crate) fn curl() -> Result<PathBuf> {
    if let Some(found) = in_path("curl") {
        return Ok(found);
    }
    apt_install(&["curl"])?;
    in_path("curl").context("curl is installed but not in PATH")
}

/// Adds the wasm target to the toolchain in use when it is missing.
pub(crate) fn wasm_target() -> Result<()> {
    let library = output(Command::new("rustc").args([
        "--print",
        "target-libdir",
        "--target",
        "wasm32-unknown-unknown",
    ]))?;
    if PathBuf::from(library.trim()).is_dir() {
        return Ok(());
    }
    if in_path("rustup").is_none() {
        bail!("the target wasm32-unknown-unknown is missing and rustup is not there to add it");
    }
    run(Command::new("rustup").args(["target", "add", "wasm32-unknown-unknown"]))
}

/// The wasm-bindgen command of exactly the version of the library in the lock file: they must be equal.
pub(crate) fn wasm_bindgen(workspace: &Workspace) -> Result<PathBuf> {
    let version = workspace.locked_version("wasm-bindgen")?;
    // Without --locked: its own lock file names a prerelease that is no longer to be had. Without its
    // default feature, which is TLS for running tests in a browser elsewhere.
    let options = ["--no-default-features", "--bin", "wasm-bindgen"];
    cargo_install(
        workspace,
        "wasm-bindgen-cli",
        "wasm-bindgen",
        &version,
        &options,
    )
}

/// cargo-deny, which reads `deny.toml`.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    cargo_install(
        workspace,
        "cargo-deny",
        "cargo-deny",
        CARGO_DENY_VERSION,
        &["--locked"],
    )
}

/// The executable `name` of `package` at `version`: from `PATH` when it is that version, else built.
fn cargo_install(
    workspace: &Workspace,
    package: &str,
    name: &str,
    version: &str,
    options: &[&str],
) -> Result<PathBuf> {
    let built = workspace.tools_bin().join(name);
    for candidate in [Some(built.clone()), in_path(name)].into_iter().flatten() {
        if candidate.is_file()
            && output(Command::new(&candidate).arg("--version"))?.contains(version)
        {
            return Ok(candidate);
        }
    }
    let scratch = workspace.tools.join("build");
    run(Command::new("cargo")
        .args([
            "install",
            package,
            "--version",
            &format!("={version}"),
            "--debug",
            "--force",
        ])
        .arg("--root")
        .arg(&workspace.tools)
        .arg("--target-dir")
        .arg(&scratch)
        .args(options)
        // A tool that runs for a second is not worth optimising for two minutes.
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
        .env("CARGO_INCREMENTAL", "0")
        .current_dir(&workspace.root))?;
    // Hundreds of megabytes that nothing reads again.
    std::fs::remove_dir_all(&scratch).context("cannot remove the build folder of a tool")?;
    Ok(built)
}

/// Whether this process may install packages of the operating system.
fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Installs packages of Debian, if that is what runs here and we may.
fn apt_install(packages: &[&str]) -> Result<()> {
    if exec::in_path("apt-get").is_none() || !is_root() {
        bail!(
            "missing: {}; install them (on Debian: apt-get install {0})",
            packages.join(" ")
        );
    }
    run(Command::new("apt-get").args(["update", "-q"]))?;
    run(Command::new("apt-get")
        .args(["install", "-q", "-y", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}
