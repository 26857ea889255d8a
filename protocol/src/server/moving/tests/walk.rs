//! A takeover from beginning to end, and its end at each of its steps.

use super::*;
use crate::CloseCode;

#[test]
fn a_session_goes_on_at_another_node_where_its_client_was() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all(1..=4);
    b.hear_all(1..=4);
    assert_eq!(a.written(), ["1", "2", "3", "4"]);
    a.hear_all([5]);
    let mut take = Take::begin(&mut b, "a", 2, 2, 1);
    assert_eq!(b.standing(), Standing::Arriving);
    // The fence is quick: what both hear afterwards comes once.
    take.step(&mut b, &mut a);
    assert_eq!(a.standing(), Standing::Frozen);
    b.hear_all([5, 6]);
    a.hear_all([6]);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    assert_eq!(
        (a.standing(), b.standing()),
        (Standing::Moved, Standing::Home)
    );
    a.hear_all([7]);
    b.hear_all([7]);
    carry(&mut [&mut a, &mut b]);
    b.attach(2, Some(2));
    assert_eq!(b.written(), ["3", "4", "5", "6", "7"]);
    b.later(30_000);
    b.later(1_000);
    assert!(
        b.session().moving.is_none(),
        "a session at rest owns no box"
    );
    b.hear_all([8]);
    assert_eq!(b.written(), ["8"]);
}

#[test]
fn pushes_during_the_move_wait_in_the_side_buffer() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    a.hear_all([1, 2]);
    b.hear_all([1, 2, 3]);
    b.session().gap("bus-down", &Bounds::default());
    take.step(&mut b, &mut a);
    b.hear_all([4]);
    a.hear_all([3, 4]);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    carry(&mut [&mut a, &mut b]);
    b.attach(2, Some(0));
    assert_eq!(b.written(), ["1", "2", "3", "gap", "4"]);
}

#[test]
fn a_queue_over_the_bus_limit_goes_in_parts_that_are_the_same_each_time() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    let big = Data::from_value(CODEC, &Value::Text("x".repeat(100_000))).unwrap();
    let big = OutFrame::event(CODEC, &id("t/push"), &big).unwrap();
    for seq in 1..=10 {
        let identity = numbered(seq).identity;
        a.session().push(&big, &identity, &Bounds::default());
        a.journal.note(&Target::All, &identity, Millis(1));
    }
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    let first = take.question().clone();
    take.step(&mut b, &mut a);
    let part = a.asked(&first);
    a.hear_all([11]);
    assert_eq!(a.asked(&first), part);
    let Answer::Part { of, body, .. } = part else {
        panic!("no part: {part:?}")
    };
    assert!(of >= 4 && body.len() == crate::takeover::PART_BYTES, "{of}");
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    carry(&mut [&mut a, &mut b]);
    b.later(1_000);
    b.attach(2, Some(0));
    let texts = b.written();
    assert_eq!(texts.len(), 11);
    assert_eq!(texts[10], "11");
}

#[test]
fn a_hello_at_the_holder_voids_the_take_and_loses_nothing() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1]);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    take.step(&mut b, &mut a);
    a.hear_all([2]);
    a.attach(3, Some(0));
    assert_eq!(a.standing(), Standing::Home);
    assert_eq!(take.run(&mut b, &mut a), Finish::Superseded);
    assert!(b.session().is_over());
    a.hear_all([3]);
    assert_eq!(a.written(), ["1", "2", "3"]);
}

#[test]
fn another_take_voids_the_one_before_and_gets_a_new_cut() {
    let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
    a.hear_all([1]);
    let mut first = Take::begin(&mut b, "a", 2, 0, 1);
    first.step(&mut b, &mut a);
    a.hear_all([2]);
    let mut second = Take::begin(&mut c, "a", 3, 0, 2);
    second.step(&mut c, &mut a);
    assert_eq!(first.run(&mut b, &mut a), Finish::Superseded);
    assert_eq!(second.run(&mut c, &mut a), Finish::Taken);
    c.attach(3, Some(0));
    assert_eq!(c.written(), ["1", "2"]);
}

#[test]
fn a_granted_done_is_remembered_and_no_other_take_is() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    take.step(&mut b, &mut a);
    let done = take.question().clone();
    assert_eq!(a.asked(&done), Answer::Granted);
    a.later(59_000);
    assert_eq!(a.asked(&done), Answer::Granted);
    let other = ToNode::Done {
        session: session_id(),
        take: 2,
    };
    assert_eq!(a.asked(&other), Answer::Void);
    assert_eq!(a.session().expires(60_000), Some(Millis(160_000)));
}

#[test]
fn a_take_is_asked_for_at_everybody_when_the_node_named_is_not_the_holder() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    for not_there in [Heard::NoResponders, Heard::Answer(Answer::NotMine)] {
        b.session = None;
        let mut take = Take::begin(&mut b, "z", 2, 0, 1);
        assert!(matches!(&take.next, Step::Ask { node, .. } if node.as_str() == "z"));
        take.heard(&mut b, not_there);
        assert!(matches!(take.next, Step::AskEveryone { .. }));
        take.step(&mut b, &mut a);
        // The parts and the yes are the holder's own business.
        assert!(matches!(&take.next, Step::Ask { node, .. } if node.as_str() == "a"));
    }
    let own = Taker::new(release(&b, 2, 0, 1), Some(node("b"))).start();
    assert!(matches!(own, Step::AskEveryone { .. }), "{own:?}");
}

#[test]
fn nobody_has_it_is_a_fresh_session() {
    let mut b = Node::new("b");
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    take.heard(&mut b, Heard::NoResponders);
    take.heard(&mut b, Heard::Late);
    assert_eq!(take.finish(), Some(Finish::Fresh));
    assert!(b.session().is_over());
}

#[test]
fn a_holder_that_is_late_is_asked_once_more() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1]);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    let question = take.question().clone();
    take.heard(&mut b, Heard::Late);
    assert_eq!(*take.question(), question);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);

    let mut c = Node::new("c");
    let mut take = Take::begin(&mut c, "b", 3, 0, 2);
    take.heard(&mut c, Heard::Late);
    take.heard(&mut c, Heard::Late);
    assert_eq!(take.finish(), Some(Finish::Fresh));
    assert!(c.session().is_over());
}

#[test]
fn a_holder_that_is_not_there_for_done_has_not_said_yes() {
    // Cut off from the bus before the first question, or after a first yes that was lost.
    for late in [false, true] {
        let (mut a, mut b) = (Node::home(), Node::new("b"));
        assert_eq!(a.receive(&event()), Received::Work);
        let mut take = Take::begin(&mut b, "a", 2, 0, 1);
        take.step(&mut b, &mut a);
        if late {
            take.heard(&mut b, Heard::Late);
        }
        take.heard(&mut b, Heard::NoResponders);
        assert_eq!(take.finish(), Some(Finish::Fresh));
        // Its items are handled at the holder, which lives, or nowhere; never at both.
        assert!(b.session().next_item().is_none());
        a.attach(3, Some(0));
        assert!(a.session().next_item().is_some());
    }
}

#[test]
fn a_done_that_is_unanswered_twice_is_a_fresh_session() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    take.step(&mut b, &mut a);
    take.heard(&mut b, Heard::Late);
    assert_eq!(take.finish(), None);
    take.heard(&mut b, Heard::Late);
    assert_eq!(take.finish(), Some(Finish::Fresh));
    assert!(b.session().is_over());
}

#[test]
fn a_holder_that_dies_between_parts_is_a_fresh_session() {
    for heard in [Heard::NoResponders, Heard::Answer(Answer::NotMine)] {
        let (mut a, mut b) = (Node::home(), Node::new("b"));
        let big = Data::from_value(CODEC, &Value::Text("x".repeat(400_000))).unwrap();
        let big = OutFrame::event(CODEC, &id("t/push"), &big).unwrap();
        let bounds = a.bounds.clone();
        a.session().push(&big, &numbered(1).identity, &bounds);
        let mut take = Take::begin(&mut b, "a", 2, 0, 1);
        take.step(&mut b, &mut a);
        take.heard(&mut b, heard);
        assert_eq!(take.finish(), Some(Finish::Fresh));
    }
}

#[test]
fn a_fence_that_does_not_come_back_is_told_as_a_gap() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1]);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    let ToNode::Release(release) = take.question().clone() else {
        panic!("no release")
    };
    let (now, bounds) = (a.now, a.bounds.clone());
    assert_eq!(a.session().release(&release, now), Released::Fence);
    // Asked again meanwhile, it still waits for the fence.
    assert_eq!(a.session().release(&release, now), Released::Fence);
    let applied = a.journal.extract(alice().as_ref(), now);
    a.session().cut(1, false, applied, now, &bounds);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    assert_eq!(b.written(), ["1", "gap"]);
}

#[test]
fn a_side_buffer_over_the_bound_ends_the_take_as_a_slow_consumer() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    b.bounds.max_queue_bytes = 1_000;
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    let mut slow = 0;
    for n in 1..=100 {
        slow += u64::from(b.hear(&numbered(n)) == Some(Pushed::Slow));
    }
    assert_eq!(slow, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Fresh);
    let (code, _) = b.session().ending().unwrap();
    assert_eq!(code, crate::CloseCode::SLOW);
    assert_eq!(b.session().queue_bytes(), 0);
}

#[test]
fn what_a_session_keeps_on_its_way_counts_as_its_queue() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all(1..=10);
    let queue = a.session().queue_bytes();
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(b.session().queue_bytes(), 0);
    b.hear_all([11]);
    assert!(b.session().queue_bytes() > 0);
    take.step(&mut b, &mut a);
    assert!(a.session().queue_bytes() > queue, "the parts are kept");
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    assert_eq!(a.session().queue_bytes(), 0);
}

#[test]
fn a_session_comes_back_to_the_node_that_it_left() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1]);
    b.hear_all([1]);
    assert_eq!(
        Take::begin(&mut b, "a", 2, 0, 1).run(&mut b, &mut a),
        Finish::Taken
    );
    b.attach(2, Some(0));
    assert_eq!(b.written(), ["1"]);
    b.hear_all([2]);
    a.hear_all([2]);
    let mut back = Take::begin(&mut a, "b", 3, 1, 2);
    back.step(&mut a, &mut b);
    a.hear_all([3]);
    b.hear_all([3]);
    carry(&mut [&mut a, &mut b]);
    assert_eq!(back.run(&mut a, &mut b), Finish::Taken);
    carry(&mut [&mut a, &mut b]);
    a.attach(3, Some(1));
    assert_eq!(a.written(), ["2", "3"]);
    assert_eq!(
        (a.standing(), b.standing()),
        (Standing::Home, Standing::Moved)
    );
}

#[test]
fn a_session_that_cannot_be_had_back_is_gone_as_before() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    assert_eq!(
        Take::begin(&mut b, "a", 2, 0, 1).run(&mut b, &mut a),
        Finish::Taken
    );
    let mut back = Take::begin(&mut a, "b", 3, 0, 2);
    back.heard(&mut a, Heard::Answer(Answer::LowerAttempt));
    assert_eq!(back.finish(), Some(Finish::Superseded));
    assert_eq!(a.standing(), Standing::Moved);
    assert_eq!(a.hear(&numbered(1)), Some(Pushed::Elsewhere));
}

#[test]
fn f74_who_breaks_the_rules_does_not_begin_anew_at_another_node() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    let most = a.bounds.max_errors;
    for _ in 0..most - 1 {
        assert_eq!(a.nonsense(), Received::Refused);
    }
    a.later(1_000);
    b.later(1_000);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    assert_eq!(b.nonsense(), Received::Refused);
    assert!(matches!(
        b.nonsense(),
        Received::Close(CloseCode::TOO_MANY_ERRORS, _)
    ));
}

#[test]
fn f74_errors_of_long_ago_are_forgotten_on_the_way_too() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    let (most, window) = (a.bounds.max_errors, a.bounds.error_window_ms);
    for _ in 0..most {
        assert_eq!(a.nonsense(), Received::Refused);
    }
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    for _ in 0..2 {
        // In silence the connection would end before the window does.
        b.later(window / 2);
        let (link, now) = (b.link, b.now);
        b.session().heard(link, now);
    }
    for _ in 0..most {
        assert_eq!(b.nonsense(), Received::Refused);
    }
}
