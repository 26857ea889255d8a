//! A Chromium and the driver that steers it, for the browser test.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::apt_install;
use crate::exec::in_path;
use crate::workspace::Workspace;

/// The two executables of a browser test.
pub(crate) struct Browser {
    pub(crate) chromium: PathBuf,
    pub(crate) chromedriver: PathBuf,
}

/// Finds both in `PATH`, else installs Debian's packages: they come from one build and fit each other.
pub(crate) fn browser(_workspace: &Workspace) -> Result<Browser> {
    if let Some(found) = find() {
        return Ok(found);
    }
    // A font, because a machine without a screen has none and the page would show boxes.
    apt_install(&["chromium", "chromium-driver", "fonts-dejavu-core"])?;
    find().context("chromium and chromedriver are installed but not in PATH")
}

fn find() -> Option<Browser> {
    let chromium = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find_map(in_path)?;
    Some(Browser {
        chromium,
        chromedriver: in_path("chromedriver")?,
    })
}
