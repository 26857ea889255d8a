//! What the ledger says of every way a stream can go wrong.

use super::*;

#[track_caller]
fn check(seen: &[u64], expected: u64, verdict: (u64, u64, u64, u64)) {
    let mut ledger = Ledger::default();
    for number in seen {
        ledger.book(*number);
    }
    let (in_order, lost, repeated, reordered) = verdict;
    assert_eq!(
        ledger.close(expected),
        Verdict {
            in_order,
            lost,
            repeated,
            reordered
        },
        "seen {seen:?}, expected {expected}"
    );
}

#[test]
fn a_whole_stream_is_clean() {
    check(&[], 0, (0, 0, 0, 0));
    check(&[1, 2, 3, 4], 4, (4, 0, 0, 0));
}

#[test]
fn a_hole_at_the_start_the_middle_and_the_end_is_lost() {
    check(&[2, 3], 3, (2, 1, 0, 0));
    check(&[1, 2, 5, 6], 6, (4, 2, 0, 0));
    check(&[1, 2], 5, (2, 3, 0, 0));
    check(&[], 3, (0, 3, 0, 0));
}

#[test]
fn a_number_that_comes_again_is_repeated() {
    check(&[1, 1, 2, 3, 2, 1], 3, (3, 0, 3, 0));
}

#[test]
fn a_number_that_comes_late_is_reordered_once_and_not_lost() {
    check(&[1, 3, 2], 3, (2, 0, 0, 1));
    check(&[5, 1, 3, 2, 4], 5, (1, 0, 0, 4));
    check(&[1, 3, 2, 2], 3, (2, 0, 1, 1));
}

#[test]
fn a_hole_half_filled_stays_a_hole() {
    check(&[1, 6, 3, 5], 6, (2, 2, 0, 2));
}

#[test]
fn a_number_nobody_sent_is_not_in_order() {
    check(&[1, 2, 3], 2, (2, 0, 1, 0));
    assert!(
        !Verdict {
            repeated: 1,
            ..Verdict::default()
        }
        .is_clean()
    );
}

#[test]
fn the_number_zero_is_a_repeat_and_breaks_nothing() {
    check(&[0, 1], 1, (1, 0, 1, 0));
}
