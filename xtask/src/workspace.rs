//! Where things are: the repository, its build folder, and the folder of fetched tools.

use std::path::PathBuf;

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand};

/// The checkout that `cargo xtask` was started in.
pub(crate) struct Workspace {
    /// Every package of the dependency graph, as cargo resolved it.
    pub(crate) metadata: Metadata,
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's build folder.
    pub(crate) target: PathBuf,
    /// Where fetched tools go; survives until `cargo clean`.
    pub(crate) tools: PathBuf,
    /// Set by CI: nothing may be skipped.
    pub(crate) ci: bool,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
            .exec()
            .context("cannot read cargo metadata")?;
        let target = metadata.target_directory.clone().into_std_path_buf();
        Ok(Self {
            root: metadata.workspace_root.clone().into_std_path_buf(),
            tools: target.join("tools"),
            target,
            metadata,
            ci: std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false"),
        })
    }

    /// The version that the lock file has for `package`.
    pub(crate) fn locked_version(&self, package: &str) -> Result<String> {
        self.metadata
            .packages
            .iter()
            .find(|candidate| candidate.name.as_str() == package)
            .map(|found| found.version.to_string())
            .with_context(|| format!("{package} is not in Cargo.lock"))
    }

    /// The folder of executables among the fetched tools.
    pub(crate) fn tools_bin(&self) -> PathBuf {
        self.tools.join("bin")
    }
}
