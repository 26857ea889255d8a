//! Pushes that come by two ways: nothing overtakes what is before it, unless a gap says so.

use super::forwards::moved;
use super::*;

#[test]
fn what_went_back_and_forth_is_overtaken_behind_a_gap_alone() {
    let (mut a, mut b) = moved();
    a.hear_all([3]);
    carry(&mut [&mut a, &mut b]);
    let mut take = Take::begin(&mut a, "b", 3, 2, 2);
    assert_eq!(take.run(&mut a, &mut b), Finish::Taken);
    a.attach(3, Some(2));
    a.hear_all([4]);
    assert_eq!(a.written(), ["gap", "4"]);
    b.later(1_000);
    carry(&mut [&mut a, &mut b]);
    assert_eq!(a.written(), ["gap", "3"]);
}

#[test]
fn what_comes_behind_its_publishers_next_number_stands_behind_a_gap_of_its_own() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1]);
    b.hear_all([1, 2, 3]);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    b.hear_all([4]);
    a.hear_all([2, 3]);
    carry(&mut [&mut a, &mut b]);
    // The client may read the first gap long before what follows it.
    assert_eq!(b.written(), ["1", "gap", "4", "gap", "2", "3"]);
}

#[test]
fn nothing_overtakes_what_has_come_from_the_holder_already() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1]);
    b.hear_all([1, 2, 3]);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    a.hear_all([2, 3]);
    carry(&mut [&mut a, &mut b]);
    b.hear_all([4]);
    assert_eq!(b.written(), ["1", "2", "3", "4"]);
}

#[test]
fn a_push_without_a_number_that_overtakes_another_stands_behind_a_gap_told_once() {
    for [missing, later, last] in [
        [plain(2), plain(3), plain(4)],
        [with_message(2, 2), plain(3), with_message(4, 4)],
        [plain(2), with_message(3, 3), plain(4)],
    ] {
        let (mut a, mut b) = (Node::home(), Node::new("b"));
        b.hear(&missing);
        let mut take = Take::begin(&mut b, "a", 2, 0, 1);
        assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
        b.attach(2, Some(0));
        // Their publisher may be the one whose push the holder is still to forward.
        b.hear(&later);
        b.hear(&last);
        assert_eq!(b.written(), ["gap", "3", "4"]);
        a.hear(&missing);
        carry(&mut [&mut a, &mut b]);
        assert_eq!(b.written(), ["gap", "2"]);
        b.hear(&plain(5));
        assert_eq!(b.written(), ["5"]);
    }
}

#[test]
fn a_push_without_a_number_overtakes_nothing_that_the_holder_has_had() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    for push in [plain(1), with_message(2, 2), plain(1)] {
        a.hear(&push);
        b.hear(&push);
    }
    // The holder forgets the id a moment after the taker has named it.
    for node in [&mut a, &mut b] {
        node.later(9_500);
    }
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    a.later(1_000);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    b.hear(&plain(3));
    assert_eq!(b.written(), ["1", "2", "1", "3"]);
}

#[test]
fn a_held_forward_without_a_number_stands_behind_a_gap_after_what_came_before_it() {
    let (mut a, mut b) = moved();
    let bounds = b.bounds.clone();
    // Nobody reads: the gap is still unsent when others come behind it.
    b.session().gap("lost", &bounds);
    a.hear(&plain(3));
    carry(&mut [&mut a, &mut b]);
    b.hear(&plain(4));
    b.later(1_000);
    assert_eq!(b.written(), ["gap", "4", "gap", "3"]);
}

/// `a` was cut off while 1 was pushed, and has told a gap. What it has behind that may be later than 1.
#[test]
fn what_a_holder_with_a_gap_has_not_had_stands_behind_another() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    b.hear(&plain(1));
    let bounds = a.bounds.clone();
    a.session().gap("bus-down", &bounds);
    a.hear(&plain(2));
    b.hear(&plain(2));
    b.hear(&plain(3));
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    assert_eq!(b.written(), ["gap", "2", "gap", "1", "3"]);
    b.hear(&plain(4));
    assert_eq!(b.written(), ["4"]);
}
