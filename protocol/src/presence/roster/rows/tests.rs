//! The ordered map does what a plain one does, whatever the order of the calls, and stays compact.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{MAX_ROWS, Rows};

#[derive(Clone, Debug)]
enum Call {
    Set(String, u32),
    Remove(String),
    After(Option<String>),
    /// Takes out what is divisible.
    Sweep(Option<String>, usize, u32),
}

fn uid() -> impl Strategy<Value = String> {
    // Few enough to meet again, many enough to fill several blocks.
    prop_oneof![
        (0u32..2_000).prop_map(|n| format!("{n}")),
        // Much in common, and no difference among the first bytes behind it.
        (0u32..2_000).prop_map(|n| format!("tenant/of/many/users/user-{n:04}")),
        "[a-cé]{1,4}",
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let maybe = || proptest::option::of(uid());
    prop_oneof![
        60 => (uid(), any::<u32>()).prop_map(|(uid, n)| Call::Set(uid, n)),
        25 => uid().prop_map(Call::Remove),
        5 => maybe().prop_map(Call::After),
        1 => (maybe(), 1usize..400, 2u32..4).prop_map(|(a, n, by)| Call::Sweep(a, n, by)),
    ]
}

fn behind(after: Option<&str>) -> (Bound<&str>, Bound<&str>) {
    (
        after.map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Unbounded,
    )
}

fn check(calls: &[Call]) {
    let (mut ours, mut plain) = (Rows::new(), BTreeMap::new());
    for call in calls {
        match call {
            Call::Set(uid, n) => {
                *ours.entry(uid, 0) = *n;
                plain.insert(uid.clone(), *n);
            }
            Call::Remove(uid) => assert_eq!(ours.remove(uid), plain.remove(uid)),
            Call::After(after) => {
                let after = after.as_deref();
                let rest = plain.range::<str, _>(behind(after));
                let rest = rest.map(|(uid, n)| (uid.as_str(), n));
                assert!(ours.after(after).eq(rest), "{after:?}");
            }
            Call::Sweep(after, rows, by) => {
                let mut shown = Vec::new();
                let next = ours.sweep(after.as_deref(), *rows, |uid, n| {
                    shown.push(uid.to_owned());
                    !n.is_multiple_of(*by)
                });
                let rest = plain.range::<str, _>(behind(after.as_deref()));
                let rest: Vec<String> = rest.map(|(uid, _)| uid.clone()).collect();
                assert_eq!(shown, rest[..shown.len()], "{after:?}");
                match next {
                    Some(last) => {
                        assert!(shown.len() >= *rows && shown.len() < *rows + MAX_ROWS);
                        assert_eq!(shown.last().map(String::as_str), Some(&*last));
                    }
                    None => assert_eq!(shown.len(), rest.len()),
                }
                plain.retain(|uid, n| !shown.contains(uid) || !n.is_multiple_of(*by));
            }
        }
    }
    for (uid, n) in &plain {
        assert_eq!(ours.get(uid), Some(n));
    }
    let all = plain.iter().map(|(uid, n)| (uid.as_str(), n));
    assert!(ours.after(None).eq(all));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn blocks_hold_what_a_plain_map_holds(calls in vec(call(), 0..3_000)) {
        check(&calls);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn uids_that_all_begin_alike_are_found_too(calls in vec(call(), 0..2_000)) {
        let alike = |uid: String| format!("é/{uid}");
        let calls: Vec<Call> = calls.into_iter().map(|call| match call {
            Call::Set(uid, n) => Call::Set(alike(uid), n),
            Call::Remove(uid) => Call::Remove(alike(uid)),
            Call::After(after) => Call::After(after),
            Call::Sweep(after, rows, by) => Call::Sweep(after.map(alike), rows, by),
        }).collect();
        check(&calls);
    }
}

#[test]
fn what_comes_in_order_leaves_blocks_full() {
    let mut rows = Rows::new();
    for n in 0..10_000 {
        *rows.entry(&format!("{n:05}"), 0) = n;
    }
    let full = 10_000usize.div_ceil(MAX_ROWS - 1);
    assert!(rows.blocks.len() <= full, "{} blocks", rows.blocks.len());
}

#[test]
fn what_goes_leaves_no_empty_blocks_behind() {
    let mut rows = Rows::new();
    for n in 0..10_000 {
        *rows.entry(&format!("{n:05}"), 0) = n;
    }
    assert_eq!(rows.sweep(None, usize::MAX, |_, n| *n % 100 == 0), None);
    assert_eq!(rows.after(None).count(), 100);
    assert!(rows.blocks.len() < 10, "{} blocks", rows.blocks.len());
    for n in (0..10_000).step_by(100) {
        assert_eq!(rows.remove(&format!("{n:05}")), Some(n));
    }
    assert!(rows.blocks.len() < 3, "{} blocks", rows.blocks.len());
    assert_eq!(rows.after(None).count(), 0);
}

#[test]
fn the_longest_uids_fit_a_block() {
    let mut rows = Rows::new();
    for n in 0..1_000 {
        *rows.entry(&format!("{n:0>256}"), 0) = n;
    }
    assert!(rows.after(None).map(|(_, n)| *n).eq(0..1_000));
}
