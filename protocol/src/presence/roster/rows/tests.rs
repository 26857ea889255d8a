//! The ordered map does what a plain one does, whatever the order of the calls, and stays compact.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{MAX_ROWS, Row, Rows};

/// Odd ones differ; zero is nobody.
impl Row for u32 {
    const VACANT: u32 = 0;

    fn is_vacant(&self) -> bool {
        *self == 0
    }

    fn differs(&self) -> bool {
        self % 2 == 1
    }
}

#[derive(Clone, Debug)]
enum Call {
    Set(String, u32),
    Remove(String),
    After(Option<String>),
    Differing,
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
        60 => (uid(), 1u32..9).prop_map(|(uid, n)| Call::Set(uid, n)),
        25 => uid().prop_map(Call::Remove),
        5 => maybe().prop_map(Call::After),
        1 => Just(Call::Differing),
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
                let before = ours.change(uid, |row| std::mem::replace(row, *n));
                assert_eq!(before, plain.insert(uid.clone(), *n).unwrap_or(0));
            }
            Call::Remove(uid) => {
                let before = ours.change(uid, std::mem::take);
                assert_eq!(before, plain.remove(uid).unwrap_or(0));
            }
            Call::After(after) => {
                let after = after.as_deref();
                let rest = plain.range::<str, _>(behind(after));
                let rest = rest.map(|(uid, n)| (uid.as_str(), n));
                assert!(ours.after(after).eq(rest), "{after:?}");
            }
            Call::Differing => {
                let odd = plain.iter().filter(|(_, n)| n.differs());
                let odd = odd.map(|(uid, n)| (uid.as_str(), n));
                assert!(ours.differing().eq(odd));
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
            Call::Differing => Call::Differing,
        }).collect();
        check(&calls);
    }
}

fn in_order(users: u32) -> Rows<u32> {
    let mut rows = Rows::new();
    for n in 0..users {
        rows.change(&format!("{n:05}"), |row| *row = n + 1);
    }
    rows
}

#[test]
fn what_comes_in_order_leaves_blocks_full() {
    let rows = in_order(10_000);
    let full = 10_000usize.div_ceil(MAX_ROWS - 1);
    assert!(rows.blocks.len() <= full, "{} blocks", rows.blocks.len());
}

#[test]
fn what_goes_in_order_or_in_none_leaves_no_empty_blocks_behind() {
    let scattered = |n: u32| n * 7_919 % 10_000;
    for order in [|n| n, |n| 9_999 - n, scattered] {
        let mut rows = in_order(10_000);
        let gone = (0..10_000).map(order).filter(|n| n % 100 != 0);
        for n in gone {
            assert_eq!(rows.change(&format!("{n:05}"), std::mem::take), n + 1);
        }
        assert_eq!(rows.after(None).count(), 100);
        assert!(rows.blocks.len() < 10, "{} blocks", rows.blocks.len());
        for n in (0..10_000).step_by(100) {
            assert_eq!(rows.change(&format!("{n:05}"), std::mem::take), n + 1);
        }
        assert!(rows.blocks.len() < 3, "{} blocks", rows.blocks.len());
        assert_eq!((rows.after(None).count(), rows.all_differing), (0, 0));
    }
}

#[test]
fn the_longest_uids_fit_a_block() {
    let mut rows = Rows::new();
    for n in 1..=1_000 {
        rows.change(&format!("{n:0>256}"), |row| *row = n);
    }
    assert!(rows.after(None).map(|(_, n)| *n).eq(1..=1_000));
}

#[test]
fn asking_about_nobody_or_saying_nothing_keeps_nothing() {
    let mut rows: Rows<u32> = Rows::new();
    assert_eq!(rows.change("nobody", |row| *row), 0);
    assert_eq!((rows.get("nobody"), rows.after(None).count()), (None, 0));
}

#[test]
fn a_block_of_a_million_users_costs_what_is_said_of_it() {
    // 128 tags, 128 ends, and where the rest is: the next size of the allocator begins at 512.
    assert!(size_of::<super::Block<crate::presence::roster::view::Row>>() <= 512);
}
