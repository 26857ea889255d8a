//! Links of the documents lead somewhere: to a file that is there, and to a heading that it has.

use std::path::{Component, Path, PathBuf};

use super::Source;

pub(super) fn check(sources: &[Source], root: &Path) -> Vec<String> {
    let documents = sources.iter().filter(|source| source.path.ends_with(".md"));
    let broken = documents.flat_map(|document| {
        let dead = targets(&document.text).filter(|target| !leads(document, target, sources, root));
        dead.map(|target| format!("{}: the link to {target} leads nowhere", document.path))
    });
    broken.collect()
}

/// Where links lead that stay in the repository.
pub(super) fn targets(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("](").skip(1);
    let targets = after.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains("://") && !target.contains(char::is_whitespace))
}

fn leads(from: &Source, target: &str, sources: &[Source], root: &Path) -> bool {
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = match path {
        "" => PathBuf::from(&from.path),
        path => beside(&from.path, path),
    };
    let page = sources
        .iter()
        .find(|source| Path::new(&source.path) == path);
    match page {
        Some(page) if !heading.is_empty() => anchors(&page.text).any(|anchor| anchor == heading),
        _ => heading.is_empty() && root.join(path).exists(),
    }
}

fn beside(document: &str, path: &str) -> PathBuf {
    let mut joined = Path::new(document)
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => {
                joined.pop();
            }
            part => joined.push(part),
        }
    }
    joined
}

/// What GitHub names the headings: small letters, spaces as hyphens, no other punctuation.
pub(super) fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = text.lines().filter_map(|line| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len()).then(|| heading.strip_prefix(' '))?
    });
    headings.map(|heading| {
        let kept = heading.trim().chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            letter => letter.is_alphanumeric().then_some(letter),
        });
        kept.flat_map(char::to_lowercase).collect()
    })
}
