//! JavaScript tools from npm, in a folder of their own, each at one version.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::exec::{in_path, run};
use crate::workspace::Workspace;

/// binaryen shrinks the wasm, esbuild bundles the test project, typescript checks the typings,
/// wscat is the terminal that walks through the protocol's specification; node is the Node.js that
/// the browser client promises to run in, which a machine's own may be older than.
const PACKAGES: &[(&str, &str)] = &[
    ("binaryen", "132.0.0"),
    ("esbuild", "0.28.2"),
    ("node", "22.23.3"),
    ("typescript", "7.0.2"),
    ("wscat", "6.1.0"),
];

/// The executable `name` of one of the packages above.
pub(crate) fn npm_tool(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let home = workspace.tools.join("npm");
    let manifest = home.join("package.json");
    let wanted = serde_json::json!({
        "private": true,
        "dependencies": PACKAGES.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
    })
    .to_string();
    let tool = home.join("node_modules/.bin").join(name);
    if tool.is_file() && std::fs::read_to_string(&manifest).is_ok_and(|current| current == wanted) {
        return Ok(tool);
    }
    let npm =
        in_path("npm").context("npm is missing; install Node.js 20 or later, which brings it")?;
    std::fs::create_dir_all(&home)?;
    std::fs::write(&manifest, &wanted)?;
    let installed = run(Command::new(npm)
        .args([
            "install",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--loglevel=error",
        ])
        .current_dir(&home));
    if installed.is_err() {
        // Else the next run would take the half installed folder for a whole one.
        std::fs::remove_file(&manifest)?;
    }
    installed.map(|()| tool)
}
