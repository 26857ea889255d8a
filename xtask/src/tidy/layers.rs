//! Which crate may import which: nothing points upward.

use cargo_metadata::{DependencyKind, Metadata};

/// A crate of the workspace, what it may import, and what its tests may import besides.
struct Layer {
    name: &'static str,
    may: &'static [&'static str],
    tests_may: &'static [&'static str],
}

/// The table of the house: a crate that is not in it fails the check, so a new one is placed on purpose.
const LAYERS: &[Layer] = &[
    Layer {
        name: "tengen-protocol",
        may: &[],
        tests_may: &["tengen-protocol"],
    },
    Layer {
        name: "tengen-bus",
        may: &["tengen-protocol"],
        tests_may: &["tengen-bus"],
    },
    Layer {
        name: "tengen-client",
        may: &["tengen-protocol"],
        tests_may: &[],
    },
    Layer {
        name: "tengen-client-wasm",
        may: &["tengen-protocol"],
        tests_may: &[],
    },
    Layer {
        name: "tengen-node",
        may: &["tengen-protocol", "tengen-bus"],
        tests_may: &["tengen-client", "tengen-node"],
    },
    Layer {
        name: "tengen-loadtest",
        may: &["tengen-protocol", "tengen-client", "tengen-bus"],
        tests_may: &["tengen-node"],
    },
    Layer {
        name: "xtask",
        may: &[],
        tests_may: &[],
    },
];

pub(super) fn check(metadata: &Metadata) -> Vec<String> {
    let ours: Vec<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut found = Vec::new();
    for package in metadata.workspace_packages() {
        let imports = package
            .dependencies
            .iter()
            .filter(|dependency| ours.contains(&dependency.name.as_str()))
            .map(|dependency| {
                (
                    dependency.name.as_str(),
                    dependency.kind == DependencyKind::Development,
                )
            });
        found.extend(judge(package.name.as_str(), imports));
    }
    found
}

/// Judges one crate by its imports inside the house, each with whether only its tests import it.
pub(super) fn judge<'a>(name: &str, imports: impl Iterator<Item = (&'a str, bool)>) -> Vec<String> {
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
        return vec![format!(
            "{name}: has no place in the layers (xtask/src/tidy/layers.rs)"
        )];
    };
    imports
        .filter(|(import, tests_only)| {
            !(layer.may.contains(import) || *tests_only && layer.tests_may.contains(import))
        })
        .map(|(import, _)| format!("{name}: may not import {import}; nothing points upward"))
        .collect()
}
