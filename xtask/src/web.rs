//! Builds the browser client into a package that `npm pack`, a bundler and a plain page can use.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::exec::{output, run};
use crate::tools;
use crate::workspace::Workspace;

const TARGET: &str = "wasm32-unknown-unknown";
const WASM: &str = "tengen_client_wasm.wasm";

/// Builds `client-wasm/pkg/`; `fast` skips what only makes it smaller.
pub(crate) fn build(workspace: &Workspace, fast: bool) -> Result<()> {
    tools::wasm_target()?;
    let bindgen = tools::wasm_bindgen(workspace)?;
    let profile = if fast { "dev" } else { "web" };
    run(Command::new("cargo")
        .args([
            "build",
            "--package",
            "tengen-client-wasm",
            "--lib",
            "--target",
            TARGET,
            "--profile",
            profile,
        ])
        .current_dir(&workspace.root))?;
    let built = workspace
        .target
        .join(TARGET)
        .join(if fast { "debug" } else { "web" })
        .join(WASM);

    let package = workspace.root.join("client-wasm/pkg");
    let stamp_file = workspace.target.join("web-package.stamp");
    let stamp = stamp(workspace, &built, fast)?;
    if package.is_dir() && std::fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        // Left as it is: a node that embeds it need not be compiled again.
        return sizes(&package);
    }

    // Assembled beside the old package and swapped in whole, so that a node built meanwhile never embeds half of one.
    let fresh = workspace.root.join("client-wasm/.pkg");
    remove(&fresh)?;
    run(Command::new(bindgen)
        .args(["--target", "web", "--out-name", "core", "--out-dir"])
        .arg(&fresh)
        .arg(&built))?;
    let wasm = fresh.join("core_bg.wasm");
    let before = size(&wasm)?;
    if !fast {
        run(Command::new(tools::npm_tool(workspace, "wasm-opt")?)
            .args(["-Oz", "-o"])
            .arg(&wasm)
            .arg(&wasm))?;
    }
    dress(workspace, &fresh)?;
    flatten(&fresh)?;
    remove(&package)?;
    std::fs::rename(&fresh, &package).context("cannot put the package in place")?;

    std::fs::write(stamp_file, stamp)?;
    println!("compiled and bound: {before} bytes, before it was made small");
    sizes(&package)
}

fn sizes(package: &Path) -> Result<()> {
    println!("client-wasm/pkg/ is ready");
    for file in [
        "core_bg.wasm",
        "core.js",
        "tengen.js",
        "values.js",
        "http.js",
    ] {
        let file_path = package.join(file);
        println!(
            "  {file:20} {:>8} bytes, {:>7} gzipped",
            size(&file_path)?,
            gzipped(&file_path)?
        );
    }
    Ok(())
}

/// What the package is made of: the same text means the same package.
fn stamp(workspace: &Workspace, built: &Path, fast: bool) -> Result<String> {
    let mut parts = vec![built.to_owned()];
    for entry in std::fs::read_dir(workspace.root.join("client-wasm/js"))? {
        parts.push(entry?.path());
    }
    parts.sort();
    let mut stamp = format!(
        "{} fast={fast}\n",
        workspace.locked_version("wasm-bindgen")?
    );
    for part in parts {
        let meta = part
            .metadata()
            .with_context(|| format!("{} is not there", part.display()))?;
        stamp += &format!("{} {} {:?}\n", part.display(), meta.len(), meta.modified()?);
    }
    Ok(stamp)
}

/// Adds what makes the folder a package: the hand-written entry, its typings, the manifest, the readme.
fn dress(workspace: &Workspace, package: &Path) -> Result<()> {
    for entry in std::fs::read_dir(workspace.root.join("client-wasm/js"))? {
        let file = entry?;
        std::fs::copy(file.path(), package.join(file.file_name()))?;
    }
    let manifest_path = package.join("package.json");
    let mut manifest: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&manifest_path)?)?;
    manifest["version"] = serde_json::Value::from(workspace.locked_version("tengen-client-wasm")?);
    std::fs::write(manifest_path, serde_json::to_string_pretty(&manifest)?)?;
    // Else npm would leave the package out of itself: it reads this file too.
    remove_file(&package.join(".gitignore"))
}

/// Puts the core's own copies of our modules aside: the entry and the core must share one `values.js`, else a
/// `Uuid` of the page would be no `Uuid` of the core. It also leaves one flat folder to serve.
fn flatten(package: &Path) -> Result<()> {
    let core = package.join("core.js");
    let text = std::fs::read_to_string(&core)?;
    let mut flat = String::with_capacity(text.len());
    let mut moved = false;
    for line in text.lines() {
        match line.split_once("'./snippets/") {
            Some((import, path)) => {
                let ours = path.rsplit('/').next().unwrap_or_default();
                let name = ours.trim_end_matches("';");
                if !package.join(name).is_file() {
                    bail!("core.js imports a snippet that nobody puts in place: {line}");
                }
                moved = true;
                flat.push_str(&format!("{import}'./{name}';\n"));
            }
            None => flat.extend([line, "\n"]),
        }
    }
    if !moved {
        bail!("core.js does not import our modules as expected");
    }
    std::fs::write(core, flat)?;
    // Projects that compile for an older library of types know no `Symbol.dispose`; nobody calls it.
    let typings = package.join("core.d.ts");
    let text = std::fs::read_to_string(&typings)?;
    let kept = text
        .lines()
        .filter(|line| !line.contains("[Symbol.dispose]"));
    std::fs::write(
        &typings,
        kept.flat_map(|line| [line, "\n"]).collect::<String>(),
    )?;
    remove(&package.join("snippets"))
}

fn remove_file(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn size(file: &Path) -> Result<u64> {
    Ok(file
        .metadata()
        .with_context(|| format!("{} is not there", file.display()))?
        .len())
}

/// What a visitor downloads; by gzip's own command, which every machine that builds this has.
fn gzipped(file: &Path) -> Result<usize> {
    Ok(output(
        Command::new("sh")
            .args(["-c", "gzip -9 -c \"$0\" | wc -c"])
            .arg(file),
    )?
    .trim()
    .parse()?)
}
