//! The packages the project promises to stand on are direct dependencies and really used (C5).

use cargo_metadata::{DependencyKind, Metadata};

use super::Source;

const PROMISED: &[&str] = &[
    "tokio",
    "axum",
    "fastwebsockets",
    "async-nats",
    "serde",
    "ciborium",
    "dashmap",
    "uuid",
    "tower-cookies",
    "opentelemetry",
    "tracing",
];

pub(super) fn check(metadata: &Metadata, sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for promised in PROMISED {
        let mut folders = Vec::new();
        for package in metadata.workspace_packages() {
            let direct = package.dependencies.iter().any(|dependency| {
                dependency.name == *promised && dependency.kind == DependencyKind::Normal
            });
            let folder = package.manifest_path.parent();
            let folder =
                folder.and_then(|folder| folder.strip_prefix(&metadata.workspace_root).ok());
            if let Some(folder) = folder.filter(|_| direct) {
                folders.push(format!("{folder}/src/"));
            }
        }
        if folders.is_empty() {
            found.push(format!(
                "{promised}: promised, but no crate depends on it directly"
            ));
        } else if !sources.iter().any(|source| {
            let inside = folders
                .iter()
                .any(|folder| source.path.starts_with(folder.as_str()));
            inside && !source.path.ends_with("tests.rs") && uses(&source.text, promised)
        }) {
            found.push(format!(
                "{promised}: a direct dependency that no source file uses"
            ));
        }
    }
    found
}

/// Whether code (not a comment) names a path into the package.
pub(super) fn uses(text: &str, package: &str) -> bool {
    let path = format!("{}::", package.replace('-', "_"));
    text.lines()
        .filter_map(|line| line.split("//").next())
        .any(|code| {
            code.match_indices(&path).any(|(at, _)| {
                // `my_tokio::` does not use tokio.
                !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
            })
        })
}
