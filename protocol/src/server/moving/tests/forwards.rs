//! Pushes that reach the former holder late: held, let out behind a gap or not, dropped, passed on.

use super::*;

/// `b` has the session of `a`, its client attached and nothing to read. Both heard numbers 1 and 2.
pub(super) fn moved() -> (Node, Node) {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1, 2]);
    b.hear_all([1, 2]);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    assert_eq!(b.written(), ["1", "2"]);
    (a, b)
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_forward_waits_a_second_for_the_own_copy() {
    let (mut a, mut b) = moved();
    a.hear_all([3]);
    carry(&mut [&mut a, &mut b]);
    assert_eq!(b.written(), NOTHING);
    b.later(900);
    assert_eq!(b.written(), NOTHING);
    b.hear_all([3]);
    assert_eq!(b.written(), ["3"]);
    b.later(1_000);
    assert_eq!(b.written(), NOTHING);
}

#[test]
fn a_forward_after_the_own_copy_is_dropped() {
    let (mut a, mut b) = moved();
    for push in [numbered(3), with_message(5, 4), plain(5)] {
        b.hear(&push);
        a.hear(&push);
    }
    carry(&mut [&mut a, &mut b]);
    b.later(1_000);
    assert_eq!(b.written(), ["3", "4", "5"]);
}

#[test]
fn a_held_forward_that_is_its_publishers_next_number_stands_behind_no_gap() {
    let (mut a, mut b) = moved();
    a.hear_all([3, 4]);
    carry(&mut [&mut a, &mut b]);
    b.later(1_000);
    assert_eq!(b.written(), ["3", "4"]);
}

#[test]
fn any_other_held_forward_stands_behind_a_gap() {
    let (mut a, mut b) = moved();
    for push in [numbered(4), plain(9), with_message(5, 10)] {
        a.hear(&push);
        carry(&mut [&mut a, &mut b]);
        b.later(1_000);
        assert_eq!(b.written(), ["gap".to_owned(), push.n.to_string()]);
    }
}

#[test]
fn an_own_copy_that_comes_later_is_dropped() {
    let (mut a, mut b) = moved();
    let pushes = [numbered(3), plain(9), with_message(5, 10)];
    for push in &pushes {
        a.hear(push);
    }
    carry(&mut [&mut a, &mut b]);
    b.later(1_000);
    assert_eq!(b.written(), ["3", "gap", "9", "gap", "10"]);
    for push in &pushes {
        assert_eq!(b.hear(push), Some(Pushed::Known));
    }
    // Equal words once more are another push.
    assert_eq!(b.hear(&plain(9)), Some(Pushed::Queued));
    assert_eq!(b.written(), ["9"]);
}

#[test]
fn a_forward_that_comes_once_more_after_both_copies_is_dropped() {
    let (mut a, mut b) = moved();
    let push = with_message(5, 10);
    a.hear(&push);
    carry(&mut [&mut a, &mut b]);
    b.later(1_000);
    assert_eq!(b.written(), ["gap", "10"]);
    assert_eq!(b.hear(&push), Some(Pushed::Known));
    // For another session of the user that came from there, say: it is offered to each.
    assert_eq!(a.hear(&push), Some(Pushed::Elsewhere));
    carry(&mut [&mut a, &mut b]);
    b.later(1_000);
    assert_eq!(b.written(), NOTHING);
}

#[test]
fn an_own_copy_that_comes_long_after_the_last_forwards_is_dropped() {
    let (mut a, mut b) = moved();
    for node in [&mut a, &mut b] {
        node.later(9_000);
    }
    let pushes = [numbered(3), plain(9), with_message(5, 10)];
    for push in &pushes {
        a.hear(push);
    }
    carry(&mut [&mut a, &mut b]);
    b.later(1_000);
    assert_eq!(b.written(), ["3", "gap", "9", "gap", "10"]);
    // Nothing is forwarded any more, but this node is behind with what it hears.
    b.later(8_000);
    for push in &pushes {
        assert_eq!(b.hear(push), Some(Pushed::Known));
    }
    b.later(4_000);
    b.later(1_000);
    let forgotten = b.session().moving.is_none();
    assert!(forgotten, "the memory of a takeover has an end");
}

#[test]
fn an_own_copy_of_a_later_number_lets_the_earlier_out_before_it() {
    let (mut a, mut b) = moved();
    a.hear_all([3]);
    carry(&mut [&mut a, &mut b]);
    b.hear_all([4]);
    assert_eq!(b.written(), ["3", "4"]);
}

#[test]
fn what_the_taker_heard_before_it_registered_comes_from_the_holder() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1]);
    b.hear_all([1, 2, 3]);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    assert_eq!(b.session().debtor(), Some(&node("a")));
    b.attach(2, Some(0));
    a.hear_all([2]);
    carry(&mut [&mut a, &mut b]);
    // Nothing to wait for, and nothing before it.
    assert_eq!(b.written(), ["1", "2"]);
    // Number 3 is still on its way: what overtakes it stands behind a gap.
    b.hear_all([4, 5]);
    assert_eq!(b.written(), ["gap", "4", "5"]);
    a.hear_all([3, 4]);
    carry(&mut [&mut a, &mut b]);
    assert_eq!(b.written(), ["gap", "3"]);
}

/// What a former holder heard late, and forwarded, it dropped as elsewhere's. If it then takes the
/// session back, it gets that from the node that held it.
#[test]
fn when_the_holder_dies_before_it_could_forward_a_gap_says_so() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1]);
    b.hear_all([1, 2]);
    assert_eq!(
        Take::begin(&mut b, "a", 2, 0, 1).run(&mut b, &mut a),
        Finish::Taken
    );
    b.attach(2, Some(0));
    let bounds = b.bounds.clone();
    b.session().debtor_died(&node("a"), &bounds);
    assert_eq!(b.written(), ["1", "gap"]);
    assert_eq!(b.session().debtor(), None);
    b.session().debtor_died(&node("a"), &bounds);
    assert_eq!(b.written(), NOTHING);
}

#[test]
fn where_the_session_has_gone_on_that_gap_is_told_to_it_alone() {
    let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
    a.hear_all([1]);
    for ahead in [&mut b, &mut c] {
        ahead.hear_all([1, 2]);
    }
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    let mut take = Take::begin(&mut c, "b", 3, 0, 2);
    assert_eq!(take.run(&mut c, &mut b), Finish::Taken);
    let bounds = b.bounds.clone();
    b.session().debtor_died(&node("a"), &bounds);
    b.collect();
    let told: Vec<_> = b.told.iter().map(|(_, forward)| forward).collect();
    let [Forward::Gap { session, .. }] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(*session, Some(session_id()));
    carry(&mut [&mut b, &mut c]);
    c.attach(3, Some(0));
    assert_eq!(c.written(), ["1", "gap"]);
}

/// After that the holder forwards for other sessions alone, which is not all of a publisher.
#[test]
fn pushes_are_taken_from_a_holder_for_as_long_only_as_it_forwards_all_of_them() {
    let (mut a, mut b) = moved();
    let forward = |seq: u64| Forward::Push {
        from: node("a"),
        target: Target::All,
        filter: Filter::None,
        identity: numbered(seq).identity,
        codec: CODEC,
        event: b"\x82ft/push\x03".to_vec().into(),
    };
    for late in [&mut a, &mut b] {
        late.later(10_000);
    }
    // At the edge it still counts.
    b.told_by(&forward(3));
    for late in [&mut a, &mut b] {
        late.later(1);
    }
    assert_eq!(a.hear(&numbered(4)), Some(Pushed::Over));
    b.told_by(&forward(5));
    b.later(1_500);
    assert_eq!(b.written(), ["3"]);
    b.hear_all([3, 4, 5]);
    assert_eq!(b.written(), ["4", "5"]);
}

#[test]
fn what_was_not_forwarded_in_that_time_is_told_as_a_gap() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1]);
    b.hear_all([1, 2]);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    let bounds = b.bounds.clone();
    let told_at = b.now.plus(10_001);
    assert_eq!(b.session().deadline(&bounds), Some(told_at));
    b.later(10_000);
    assert_eq!(b.written(), ["1"]);
    b.later(1);
    assert_eq!(b.written(), ["gap"]);
    assert_eq!(b.session().debtor(), None);
    b.hear_all([3]);
    b.later(5_000);
    assert_eq!(b.written(), ["3"]);
}

#[test]
fn so_is_a_push_without_a_number_that_was_not_forwarded_in_that_time() {
    for missed in [plain(2), with_message(9, 2)] {
        let (mut a, mut b) = (Node::home(), Node::new("b"));
        a.hear_all([1]);
        b.hear_all([1]);
        b.hear(&missed);
        let mut take = Take::begin(&mut b, "a", 2, 0, 1);
        assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
        b.attach(2, Some(0));
        b.later(10_000);
        assert_eq!(b.written(), ["1"]);
        b.later(1);
        assert_eq!(b.written(), ["gap"]);
        b.hear(&plain(3));
        b.later(5_000);
        assert_eq!(b.written(), ["3"]);
    }
}

#[test]
fn a_hole_that_a_gap_has_told_is_not_told_once_more() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1]);
    b.hear_all([1, 2]);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    b.hear_all([3]);
    assert_eq!(b.written(), ["1", "gap", "3"]);
    b.later(11_000);
    assert_eq!(b.written(), NOTHING);
}

/// That gap is in the queue, or was written: the node that has the session next has nothing to add.
#[test]
fn nor_is_it_told_once_more_by_the_next_node() {
    for told_by in [Told::Overtaking, Told::Time, Told::Death] {
        let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
        a.hear_all([1]);
        b.hear_all([1, 2]);
        c.hear_all([1, 2]);
        let mut take = Take::begin(&mut b, "a", 2, 0, 1);
        assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
        match told_by {
            Told::Overtaking => b.hear_all([3]),
            Told::Time => b.later(10_001),
            Told::Death => {
                let bounds = b.bounds.clone();
                b.session().debtor_died(&node("a"), &bounds);
            }
        }
        c.now = b.now;
        let mut take = Take::begin(&mut c, "b", 3, 0, 2);
        assert_eq!(take.run(&mut c, &mut b), Finish::Taken);
        c.attach(3, Some(0));
        let queue = c.written();
        assert_eq!(queue[..2], ["1", "gap"]);
        c.later(10_001);
        assert_eq!(c.written(), NOTHING);
    }
}

/// What made a node tell of a hole.
enum Told {
    Overtaking,
    Time,
    Death,
}

/// `b` cannot say whether the session lacks what was pushed before it heard of the publisher. Nor does it get
/// any surer where others have heard some of that and dropped it.
#[test]
fn what_nobody_has_missed_is_not_missed_two_nodes_on() {
    let mut a = Node::home();
    let [mut b, mut c, mut d] = ["b", "c", "d"].map(Node::new);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    for other in [&mut b, &mut c, &mut d] {
        for seq in 1..=4 {
            let identity = numbered(seq).identity;
            other.journal.note(&Target::Anonymous, &identity, other.now);
        }
    }
    b.hear_all([5]);
    assert_eq!(b.written(), ["5"]);
    let mut take = Take::begin(&mut c, "b", 3, 1, 2);
    assert_eq!(take.run(&mut c, &mut b), Finish::Taken);
    let mut take = Take::begin(&mut d, "c", 4, 1, 3);
    assert_eq!(take.run(&mut d, &mut c), Finish::Taken);
    d.attach(4, Some(1));
    d.later(11_000);
    assert_eq!(d.written(), NOTHING);
}

/// What `b` dropped as a stranger's, and `a` has not heard yet, is a hole when `a` has the session again.
#[test]
fn a_forward_stands_behind_a_gap_when_the_session_came_with_a_hole() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1]);
    b.hear_all([1, 2]);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    // Number 3 is for somebody else.
    let others = numbered(3).identity;
    b.journal.note(&Target::Anonymous, &others, b.now);
    let mut take = Take::begin(&mut a, "b", 3, 0, 2);
    assert_eq!(take.run(&mut a, &mut b), Finish::Taken);
    a.attach(3, Some(0));
    b.hear_all([4, 5]);
    carry(&mut [&mut a, &mut b]);
    a.later(1_000);
    assert_eq!(a.written(), ["1", "gap", "4", "5"]);
    a.hear_all([2]);
    assert_eq!(a.written(), ["gap", "2"]);
}

/// Its first pushes were for others, and nobody knows here whether there were any.
#[test]
fn a_publisher_that_is_new_leaves_no_hole() {
    let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.hear_all([4]);
    let mut take = Take::begin(&mut c, "b", 3, 0, 2);
    assert_eq!(take.run(&mut c, &mut b), Finish::Taken);
    c.attach(3, Some(0));
    c.hear_all([4, 5]);
    c.later(11_000);
    assert_eq!(c.written(), ["4", "5"]);
}

#[test]
fn a_holder_that_lags_in_nothing_owes_nothing() {
    let (_, mut b) = moved();
    assert_eq!(b.session().debtor(), None);
}

#[test]
fn late_pushes_and_gaps_are_forwarded_for_ten_seconds() {
    let (mut a, mut b) = moved();
    a.later(9_000);
    assert_eq!(a.hear(&numbered(3)), Some(Pushed::Elsewhere));
    let bounds = a.bounds.clone();
    assert_eq!(a.session().gap("lost", &bounds), Pushed::Elsewhere);
    a.told.push_back((
        node("b"),
        Forward::Gap {
            from: node("a"),
            target: Target::All,
            reason: "lost".to_owned(),
            session: None,
        },
    ));
    carry(&mut [&mut a, &mut b]);
    assert_eq!(b.written(), ["gap"]);
    a.later(1_000);
    assert_eq!(a.hear(&numbered(4)), Some(Pushed::Over));
    assert_eq!(a.session().gap("lost", &bounds), Pushed::Over);
}

#[test]
fn what_a_stranger_forwards_is_not_taken() {
    let (_, mut b) = moved();
    let (now, bounds) = (b.now, b.bounds.clone());
    let stranger = node("x");
    let push = numbered(3);
    let session = b.session();
    let pushed = session.forwarded(&stranger, &push.identity, &frame(3), now, &bounds);
    assert_eq!(pushed, Pushed::Known);
    assert_eq!(
        session.forwarded_gap(&stranger, "lost", &bounds),
        Pushed::Known
    );
    b.later(1_000);
    assert_eq!(b.written(), NOTHING);
    // Nor does a session that came from nowhere take anything.
    let mut home = Node::home();
    let pushed = home
        .session()
        .forwarded(&node("a"), &push.identity, &frame(3), now, &bounds);
    assert_eq!(pushed, Pushed::Known);
    assert_eq!(home.written(), NOTHING);
}

#[test]
fn a_node_that_handed_over_in_turn_passes_forwards_on() {
    let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
    a.hear_all([1, 2]);
    for late in [&mut b, &mut c] {
        late.hear_all([1, 2, 3]);
    }
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    assert_eq!(b.written(), ["1", "2"]);
    let mut take = Take::begin(&mut c, "b", 3, 2, 2);
    assert_eq!(take.run(&mut c, &mut b), Finish::Taken);
    c.attach(3, Some(2));
    // One that both heard before they had the session, and one that all hear in time.
    c.hear_all([4]);
    b.hear_all([4]);
    a.hear_all([3, 4]);
    carry(&mut [&mut a, &mut b, &mut c]);
    c.later(1_000);
    assert_eq!(c.written(), ["gap", "4", "gap", "3"]);
}

#[test]
fn what_a_node_held_goes_on_when_it_hands_over() {
    let (mut a, mut b) = moved();
    let mut c = Node::new("c");
    c.hear_all([1, 2]);
    a.hear_all([3]);
    carry(&mut [&mut a, &mut b]);
    let mut take = Take::begin(&mut c, "b", 3, 2, 2);
    take.step(&mut c, &mut b);
    assert_eq!(take.run(&mut c, &mut b), Finish::Taken);
    c.attach(3, Some(2));
    b.later(1_000);
    carry(&mut [&mut a, &mut b, &mut c]);
    c.later(1_000);
    assert_eq!(c.written(), ["3"]);
    c.hear_all([3, 4]);
    assert_eq!(c.written(), ["4"]);
}

#[test]
fn what_a_frozen_session_lets_out_behind_the_cut_goes_on_too() {
    let (mut a, mut b) = moved();
    let mut c = Node::new("c");
    a.hear_all([3]);
    carry(&mut [&mut a, &mut b]);
    let mut take = Take::begin(&mut c, "b", 3, 2, 2);
    take.step(&mut c, &mut b);
    b.later(1_000);
    carry(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(take.run(&mut c, &mut b), Finish::Taken);
    c.attach(3, Some(2));
    c.later(1_000);
    assert_eq!(c.written(), ["3"]);
}

#[test]
fn the_next_taker_is_not_told_that_a_session_has_what_only_its_node_heard() {
    let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
    a.hear_all([1]);
    // b heard 2 as a stranger's; the session gets it by a forward that is slow.
    b.hear_all([1, 2]);
    c.hear_all([1]);
    assert_eq!(
        Take::begin(&mut b, "a", 2, 0, 1).run(&mut b, &mut a),
        Finish::Taken
    );
    let mut take = Take::begin(&mut c, "b", 3, 0, 2);
    take.step(&mut c, &mut b);
    c.hear_all([2]);
    assert_eq!(take.run(&mut c, &mut b), Finish::Taken);
    a.hear_all([2]);
    carry(&mut [&mut a, &mut b, &mut c]);
    c.later(1_000);
    c.attach(3, Some(0));
    assert_eq!(c.written(), ["1", "2"]);
}

#[test]
fn a_node_that_was_held_up_still_knows_what_has_piled_up() {
    let (mut a, mut b) = moved();
    let pushes = [numbered(3), plain(9), with_message(5, 10)];
    for push in &pushes {
        a.hear(push);
    }
    carry(&mut [&mut a, &mut b]);
    // Its clock goes on first, then it takes what has come in all that time.
    b.later(14_000);
    for push in &pushes {
        assert_eq!(b.hear(push), Some(Pushed::Known));
    }
    assert_eq!(b.written(), ["3", "gap", "9", "gap", "10"]);
    b.later(1_000);
    assert!(b.session().moving.is_none(), "and forgets it then");
}
