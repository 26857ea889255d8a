//! Equal pushes: counted as the same ones however the two nodes' clocks and windows differ.

use super::{Copies, holder_is_ahead_by};

fn check(holder: &[u64], taker: &[u64], ahead: i64) {
    let copies = |at: &[u64], since| Copies {
        at: at.to_vec(),
        since,
    };
    // The taker registered at 5,000 and heard of the cut at 5,020; both remember four seconds.
    let ahead_by = holder_is_ahead_by(&copies(holder, 1_020), &copies(taker, 1_000), 5_000);
    assert_eq!(ahead_by, ahead, "{holder:?} {taker:?}");
}

#[test]
fn copies_that_both_heard_before_the_registration_are_not_taken_for_later_ones() {
    check(&[], &[], 0);
    check(&[4_990], &[], 1);
    check(&[2_500], &[2_503], 0);
    check(&[2_500, 4_995], &[2_503], 1);
    check(
        &[2_500, 2_501, 2_502, 4_990, 5_010],
        &[2_503, 2_505, 2_506],
        2,
    );
}

#[test]
fn a_copy_at_the_end_of_one_memory_and_beyond_the_other_is_not_counted() {
    // A tick every two seconds: the oldest one is remembered by the holder alone, or by the taker alone.
    check(&[1_030, 3_030], &[3_025], 0);
    check(&[3_030, 5_005], &[1_002, 3_025], 1);
}

#[test]
fn what_the_taker_alone_heard_is_still_to_be_forwarded() {
    check(&[], &[4_950], -1);
    check(&[2_500], &[2_490, 4_950], -1);
}
