//! The house rules as a check: each rule is a function from what it reads to what it found wrong.

mod files;
mod layers;
mod links;
mod packages;
mod promises;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::exec;
use crate::workspace::Workspace;

/// Fails when any rule is broken, naming every place.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let offences = offences(workspace)?;
    if offences.is_empty() {
        println!("tidy: every house rule holds");
        return Ok(());
    }
    for offence in &offences {
        eprintln!("tidy: {offence}");
    }
    bail!("{} house rules broken", offences.len());
}

fn offences(workspace: &Workspace) -> Result<Vec<String>> {
    let sources = sources(&workspace.root)?;
    let mut found = layers::check(&workspace.metadata);
    found.extend(packages::check(&workspace.metadata, &sources));
    found.extend(files::check(&sources));
    found.extend(links::check(&sources, &workspace.root));
    found.extend(promises::check(&sources));
    Ok(found)
}

/// One text file of the project.
struct Source {
    /// Relative to the root of the repository, with `/`.
    path: String,
    text: String,
}

/// Every text file that git tracks or would track.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let listing = exec::output(
        Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(root),
    )?;
    let mut sources = Vec::new();
    for path in listing.split('\0').filter(|path| !path.is_empty()) {
        let file: PathBuf = root.join(path);
        // A file deleted but not yet committed is still listed; a binary file has no lines to check.
        if let Ok(text) = std::fs::read_to_string(&file) {
            sources.push(Source {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(sources)
}
