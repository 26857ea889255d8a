//! What the documents say is shown by a test is shown by one: every name in their tables of promises is a function.

use super::Source;

/// Where promises are made.
const DOCUMENT: &str = "ARCHITECTURE.md";
const SECTION: &str = "## What is promised";
/// Shorter words in code type are no names of tests.
const SHORTEST: usize = 24;

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let document = sources.iter().find(|source| source.path == DOCUMENT);
    let Some(section) = document.and_then(|document| section(&document.text)) else {
        return vec![format!("{DOCUMENT}: has no section {SECTION:?}")];
    };
    let code = sources.iter().filter(|source| source.path.ends_with(".rs"));
    let code: Vec<&str> = code.map(|source| source.text.as_str()).collect();
    names(section)
        .filter(|name| {
            !code
                .iter()
                .any(|text| text.contains(&format!("fn {name}(")))
        })
        .map(|name| format!("{DOCUMENT}: names the test {name}, which is nowhere"))
        .collect()
}

fn section(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(SECTION)?;
    Some(
        rest.split_once("\n## ")
            .map_or(rest, |(section, _)| section),
    )
}

/// Words in code type that can only be tests: sentences with underscores.
pub(super) fn names(section: &str) -> impl Iterator<Item = &str> {
    section.split('`').skip(1).step_by(2).filter(|word| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        word.len() >= SHORTEST && word.chars().all(plain) && !word.starts_with("tengen_")
    })
}
