//! How a file must look: its first line, its length, its name, and nothing of one machine in it.

use super::Source;

/// About a screen per function and what a reader keeps in mind of one file.
const MAX_LINES: usize = 400;

/// Tests are read case by case; a table of cases stays in one piece.
const MAX_TEST_LINES: usize = 800;

/// Files that may be longer, each with the reason.
const LONGER: &[(&str, &str)] = &[];

/// What makes a crate without I/O or clock stop being one; checked in `protocol/src/`.
const NOT_PURE: &[&str] = &[
    "tokio::",
    "std::net",
    "std::fs",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "rand::",
];

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    // The machine that runs the check is the one whose paths may have slipped in.
    let machine: Vec<String> = [std::env::var("HOME"), std::env::var("CARGO_HOME"), root()]
        .into_iter()
        .flatten()
        .filter(|path| path.len() > 3)
        .map(|path| format!("{}/", path.trim_end_matches('/')))
        .collect();
    sources
        .iter()
        .flat_map(|source| judge(&source.path, &source.text, &machine))
        .collect()
}

fn root() -> Result<String, std::env::VarError> {
    std::env::var("CARGO_MANIFEST_DIR").map(|folder| folder.trim_end_matches("/xtask").to_owned())
}

/// Judges one file; `machine` are the folders of the machine at hand.
pub(super) fn judge(path: &str, text: &str, machine: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for folder in machine
        .iter()
        .filter(|folder| text.contains(folder.as_str()))
    {
        found.push(format!("{path}: names {folder}, a folder of one machine"));
    }
    if !path.ends_with(".rs") {
        return found;
    }
    if path.ends_with("/mod.rs") {
        found.push(format!(
            "{path}: is called mod.rs; write foo.rs beside foo/"
        ));
    }
    let first = text.lines().next().unwrap_or_default();
    if first
        .strip_prefix("//! ")
        .is_none_or(|sentence| sentence.trim().is_empty())
    {
        found.push(format!(
            "{path}: the first line does not say, after `//!`, what the file is responsible for"
        ));
    }
    let lines = text.lines().count();
    let allowed = if is_test(path) {
        MAX_TEST_LINES
    } else {
        MAX_LINES
    };
    if lines > allowed && !LONGER.iter().any(|(longer, _)| *longer == path) {
        found.push(format!("{path}: {lines} lines, more than {allowed}"));
    }
    if text.contains(concat!("#[", "ignore")) {
        found.push(format!("{path}: ignores a test"));
    }
    if path.starts_with("protocol/src/") && !is_test(path) {
        let code = text.lines().filter_map(|line| line.split("//").next());
        for (number, line) in code.enumerate() {
            for impure in NOT_PURE.iter().filter(|impure| line.contains(**impure)) {
                found.push(format!(
                    "{path}:{}: {impure} in the crate without I/O, clock or chance",
                    number + 1
                ));
            }
        }
    }
    found
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}
