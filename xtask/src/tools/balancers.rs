//! The balancers that people put before their nodes, for the fault tests.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::apt_install;
use crate::exec::in_path;

/// Two executables.
pub(crate) struct Balancers {
    pub(crate) nginx: PathBuf,
    pub(crate) haproxy: PathBuf,
}

/// Finds both, else installs Debian's packages.
pub(crate) fn balancers() -> Result<Balancers> {
    if let Some(found) = find() {
        return Ok(found);
    }
    apt_install(&["nginx-light", "haproxy"])?;
    find().context("nginx and haproxy are installed but not to be found")
}

fn find() -> Option<Balancers> {
    Some(Balancers {
        nginx: system("nginx")?,
        haproxy: system("haproxy")?,
    })
}

/// Debian keeps servers where the `PATH` of ordinary users does not lead.
fn system(name: &str) -> Option<PathBuf> {
    let aside = PathBuf::from("/usr/sbin").join(name);
    in_path(name).or_else(|| aside.is_file().then_some(aside))
}
