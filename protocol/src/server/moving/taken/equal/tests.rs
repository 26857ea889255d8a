//! The memory of pushes without a name is bounded, and what is forgotten first is the oldest.

use super::{Equals, FIRST, MAX_CONTENTS};

/// Contents are hashes: their order says nothing of their age.
fn content(n: usize) -> u128 {
    (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

#[test]
fn of_more_pushes_than_are_remembered_the_newest_are_known() {
    let mut equals = Equals::default();
    for n in 0..MAX_CONTENTS * 2 {
        let index = equals.own(content(n), 1);
        equals.appended(content(n), index);
    }
    let newest = MAX_CONTENTS..MAX_CONTENTS * 2;
    assert!(newest.clone().all(|n| equals.has(content(n), FIRST)));
    assert!(!equals.has(content(newest.start - 1), FIRST));
    assert_eq!(equals.by_content.len(), MAX_CONTENTS);
    assert_eq!(equals.by_age.len(), MAX_CONTENTS);
}
