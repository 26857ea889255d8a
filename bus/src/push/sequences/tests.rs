//! What is a loss and what is not; bounds; a comparison with the plain truth.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tengen_protocol::Millis;

use super::{Observed, Sequences};

#[test]
fn consecutive_numbers_lose_nothing() {
    let mut sequences = Sequences::new(Millis(0));
    for seq in 1..100 {
        assert_eq!(sequences.observe(7, seq, false), Observed::Next);
        assert_eq!(sequences.observe(7, seq, true), Observed::Nothing);
    }
}

#[test]
fn a_burned_number_and_a_lost_tail_are_losses() {
    let mut sequences = Sequences::new(Millis(0));
    sequences.observe(7, 1, false);
    assert_eq!(
        sequences.observe(7, 3, false),
        Observed::Lost { from: 2, count: 1 }
    );
    assert_eq!(
        sequences.observe(7, 5, true),
        Observed::Lost { from: 4, count: 2 }
    );
    assert_eq!(sequences.observe(7, 5, true), Observed::Nothing);
    assert_eq!(sequences.observe(7, 5, false), Observed::Repeated);
    assert_eq!(sequences.observe(7, 6, false), Observed::Next);
}

#[test]
fn a_publisher_s_past_is_not_ours_to_miss() {
    let mut sequences = Sequences::new(Millis(0));
    assert_eq!(sequences.observe(7, 1000, false), Observed::Next);
    assert_eq!(
        sequences.observe(8, 1000, true),
        Observed::Nothing,
        "it may be older than we are"
    );
    assert_eq!(sequences.observe(8, 1001, false), Observed::Next);
}

#[test]
fn the_first_batch_of_a_publisher_is_missed_by_its_tail() {
    let mut sequences = Sequences::new(Millis(0));
    sequences.tick(Millis(60_000));
    assert_eq!(
        sequences.observe(7, 1, true),
        Observed::Lost { from: 1, count: 1 }
    );
    assert_eq!(sequences.observe(8, 0, true), Observed::Nothing);
}

#[test]
fn a_silent_publisher_is_forgotten_and_their_number_is_bounded() {
    let mut sequences = Sequences::new(Millis(0));
    sequences.observe(7, 1, false);
    sequences.tick(Millis(599_000));
    sequences.observe(8, 1, false);
    sequences.tick(Millis(700_000));
    assert_eq!(sequences.publishers(), 1);
    for publisher in 0..10_000 {
        sequences.tick(Millis(700_000 + publisher));
        sequences.observe(u128::from(publisher) + 100, 1, false);
    }
    assert_eq!(sequences.publishers(), super::MAX_PUBLISHERS);
    // The lately heard ones are those that stay.
    assert_eq!(
        sequences.observe(10_099, 3, false),
        Observed::Lost { from: 2, count: 1 }
    );
}

proptest! {
    /// Whatever is dropped on the way: applied and lost numbers together are all numbers from the
    /// first one heard to the last one told of, each once.
    #[test]
    fn applied_and_lost_numbers_are_all_numbers(
        dropped in proptest::collection::vec(any::<bool>(), 1..60),
        first in 1_u64..1000,
    ) {
        let mut sequences = Sequences::new(Millis(0));
        let (mut seen, mut heard_first) = (BTreeSet::new(), None);
        let last = first + dropped.len() as u64 - 1;
        let mut observe = |seq: u64, empty: bool| {
            let observed = sequences.observe(1, seq, empty);
            if let Observed::Lost { from, count } = observed {
                for lost in from..from + count {
                    assert!(seen.insert(lost));
                }
            }
            if !empty {
                heard_first.get_or_insert(seq);
                assert_ne!(observed, Observed::Repeated);
                assert!(seen.insert(seq));
            }
        };
        for (seq, dropped) in (first..).zip(&dropped) {
            if !dropped {
                observe(seq, false);
            }
        }
        observe(last, true);
        if let Some(heard_first) = heard_first {
            prop_assert_eq!(seen, (heard_first..=last).collect::<BTreeSet<_>>());
        } else {
            prop_assert!(seen.is_empty());
        }
    }
}
