//! Plays scripts: small worlds in which one fixed trouble comes at a fixed moment, with a question of their own.

use crate::runner;
use crate::simulated::rules::{self, Rule};
use crate::simulated::{SCRIPT_SEEDS, SCRIPTS};

/// What happens, and the world of a seed in which it does.
pub(crate) type Script = (&'static str, fn(u64));

/// Every script with every seed.
fn all() -> impl Iterator<Item = (&'static str, fn(u64), u64)> {
    let scripts = SCRIPTS.iter().copied().flatten();
    scripts.flat_map(|(name, play)| (0..SCRIPT_SEEDS).map(move |seed| (*name, *play, seed)))
}

/// The first script that breaks without this rule, and how.
pub(crate) fn without(rule: Rule) -> Option<(&'static str, String)> {
    rules::suspend(Some(rule));
    let broken = all().find_map(|(name, play, seed)| {
        let what = runner::caught(|| play(seed)).err()?;
        Some((name, what))
    });
    rules::suspend(None);
    broken
}

#[test]
fn each_scripted_trouble_ends_as_the_rules_have_it() {
    let mut broken = Vec::new();
    for (name, play, seed) in all() {
        if let Err(what) = runner::caught(|| play(seed)) {
            broken.push(format!("{name}, seed {seed}: {what}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
