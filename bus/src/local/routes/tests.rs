//! The tree of tokens against the plain rule of NATS.

use std::sync::Arc;

use proptest::prelude::*;

use super::Routes;

/// The rule, token by token.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    for token in pattern.split('.') {
        match (token, subject.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

proptest! {
    #[test]
    fn the_tree_finds_what_the_rule_says_and_forgets_what_is_removed(
        patterns in proptest::collection::vec("([ab*]\\.){0,3}[ab*>]", 1..20),
        subjects in proptest::collection::vec("([abc]\\.){0,4}[abc]", 1..20),
        removed in proptest::collection::vec(any::<bool>(), 20),
    ) {
        let mut routes = Routes::default();
        let entries: Vec<_> =
            patterns.iter().enumerate().map(|(number, pattern)| (pattern, Arc::new(number))).collect();
        for (pattern, entry) in &entries {
            routes.insert(pattern, Arc::clone(entry));
        }
        let mut left = entries.clone();
        for round in 0..3 {
            for subject in &subjects {
                let mut found = Vec::new();
                routes.matching(subject, &mut |entry| found.push(**entry));
                found.sort_unstable();
                let expected: Vec<_> = left
                    .iter()
                    .filter(|(pattern, _)| matches(pattern, subject))
                    .map(|(_, entry)| **entry)
                    .collect();
                prop_assert_eq!(found, expected);
            }
            let mut all = 0;
            routes.all(&mut |_| all += 1);
            prop_assert_eq!(all, left.len());
            left.retain(|(pattern, entry)| {
                let keep = round == 0 && !removed[**entry];
                if !keep {
                    routes.remove(pattern, entry);
                }
                keep
            });
        }
        prop_assert!(routes.is_empty());
    }
}
