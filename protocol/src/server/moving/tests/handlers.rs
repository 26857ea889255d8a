//! Requests in flight and items that wait, when their session goes to another node.

use super::*;
use crate::codes::{ErrorCode, Refusal};

/// At `a` the handler of request 1 runs; an event and request 3 wait. `b` has the session.
fn moved_at_work() -> (Node, Node) {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    for frame in [request(1), event(), request(3)] {
        a.receive(&frame);
    }
    assert_eq!(a.session().next_item().unwrap().position, 1);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    take.step(&mut b, &mut a);
    assert!(a.session().next_item().is_none());
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    (a, b)
}

#[test]
fn a_reply_after_the_move_reaches_its_caller_once() {
    let (mut a, mut b) = moved_at_work();
    assert_eq!(b.session().debtor(), Some(&node("a")));
    a.replies(1, 1);
    carry(&mut [&mut a, &mut b]);
    assert_eq!(b.written(), ["#1"]);
    a.replies(1, 1);
    carry(&mut [&mut a, &mut b]);
    assert_eq!(b.written(), Vec::<String>::new());
}

#[test]
fn a_reply_between_cut_and_done_comes_once() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.receive(&request(1));
    a.receive(&request(2));
    a.session().next_item();
    a.returns(1);
    a.session().next_item();
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    a.replies(1, 1);
    take.step(&mut b, &mut a);
    a.replies(2, 2);
    carry(&mut [&mut a, &mut b]);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    assert_eq!(b.written(), ["#1", "#2"]);
    assert_eq!(b.session().outstanding(), 0);
}

#[test]
fn a_reply_before_the_yes_is_not_lost_when_the_take_is_void() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.receive(&request(1));
    a.session().next_item();
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    take.step(&mut b, &mut a);
    a.replies(1, 1);
    a.attach(3, Some(0));
    assert_eq!(a.written(), ["#1"]);
}

#[test]
fn items_that_wait_start_when_the_running_handler_has_returned() {
    let (mut a, mut b) = moved_at_work();
    assert!(b.session().next_item().is_none());
    a.returns(1);
    carry(&mut [&mut a, &mut b]);
    let item = b.session().next_item().unwrap();
    assert_eq!((item.position, item.context), (2, "new"));
    b.returns(2);
    let item = b.session().next_item().unwrap();
    assert_eq!(item.position, 3);
    // It is this node's request now.
    b.replies(3, 3);
    assert_eq!(b.written(), ["#3"]);
    assert!(a.session().next_item().is_none());
    assert!(!a.session().is_outstanding(3));
}

#[test]
fn a_handler_that_returned_meanwhile_keeps_nobody_waiting() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.receive(&event());
    a.receive(&event());
    a.session().next_item();
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    take.step(&mut b, &mut a);
    a.returns(1);
    carry(&mut [&mut a, &mut b]);
    assert!(b.session().next_item().is_none(), "not before the yes");
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    assert_eq!(b.session().next_item().unwrap().position, 2);
}

#[test]
fn items_do_not_wait_longer_than_the_running_handlers_limit() {
    let (_, mut b) = moved_at_work();
    let (now, bounds) = (b.now, b.bounds.clone());
    let tick = |b: &mut Node, later| b.session().tick(now.plus(later), &bounds);
    tick(&mut b, 4_999);
    assert!(b.session().next_item().is_none());
    assert_eq!(tick(&mut b, 5_000), crate::server::Tick::Work);
    assert_eq!(b.session().next_item().unwrap().position, 2);
}

#[test]
fn an_events_handler_has_the_limit_of_all_handlers() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.receive(&event());
    a.receive(&event());
    a.session().next_item();
    assert_eq!(
        Take::begin(&mut b, "a", 2, 0, 1).run(&mut b, &mut a),
        Finish::Taken
    );
    b.later(29_999);
    assert!(b.session().next_item().is_none());
    b.later(1);
    assert_eq!(b.session().next_item().unwrap().position, 2);
}

#[test]
fn when_the_node_at_work_dies_its_requests_are_closed_and_the_others_start() {
    let (_, mut b) = moved_at_work();
    let bounds = b.bounds.clone();
    b.session().debtor_died(&node("x"), &bounds);
    assert_eq!(b.written(), Vec::<String>::new());
    b.session().debtor_died(&node("a"), &bounds);
    assert_eq!(b.written(), ["#1 failed"]);
    assert_eq!(b.session().next_item().unwrap().position, 2);
    assert_eq!(b.session().debtor(), None);
}

#[test]
fn a_reply_that_comes_after_its_node_was_given_up_answers_no_other_request() {
    let (mut a, mut b) = moved_at_work();
    let bounds = b.bounds.clone();
    b.session().debtor_died(&node("a"), &bounds);
    b.written();
    // The client uses the ref again.
    assert_eq!(b.receive(&request(1)), Received::Work);
    a.replies(1, 1);
    carry(&mut [&mut a, &mut b]);
    assert_eq!(b.written(), Vec::<String>::new());
    assert!(b.session().is_outstanding(1));
}

#[test]
fn a_ref_that_is_owed_elsewhere_is_in_use() {
    let (_, mut b) = moved_at_work();
    b.receive(&request(1));
    assert_eq!(b.written(), ["error"]);
}

#[test]
fn what_a_handler_says_of_an_event_after_the_move_is_told() {
    let (mut a, mut b) = moved_at_work();
    let refusal = Refusal::new(ErrorCode::HANDLER_FAILED, "no");
    let bounds = a.bounds.clone();
    assert_eq!(a.session().report(1, &refusal, &bounds), Pushed::Elsewhere);
    let forward = Forward::Report {
        from: node("a"),
        session: session_id(),
        position: 1,
        refusal,
    };
    b.told_by(&forward);
    assert_eq!(b.written(), ["error"]);
}

#[test]
fn replies_and_returns_are_passed_on_by_a_node_that_handed_over_in_turn() {
    let (mut a, mut b) = moved_at_work();
    let mut c = Node::new("c");
    assert_eq!(
        Take::begin(&mut c, "b", 3, 0, 2).run(&mut c, &mut b),
        Finish::Taken
    );
    c.attach(3, Some(0));
    assert_eq!(c.session().debtor(), Some(&node("b")));
    assert_eq!(b.session().debtor(), Some(&node("a")));
    a.replies(1, 1);
    a.returns(1);
    carry(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(c.written(), ["#1"]);
    assert_eq!(c.session().next_item().unwrap().position, 2);
    assert_eq!(b.session().debtor(), None);
}

#[test]
fn a_session_that_comes_back_finds_its_handler_still_at_work() {
    let (mut a, mut b) = moved_at_work();
    let mut back = Take::begin(&mut a, "b", 3, 0, 2);
    assert_eq!(back.run(&mut a, &mut b), Finish::Taken);
    a.attach(3, Some(0));
    assert_eq!(a.session().debtor(), None);
    assert!(a.session().next_item().is_none());
    a.replies(1, 1);
    a.returns(1);
    assert_eq!(a.told.len(), 0);
    assert_eq!(a.written(), ["#1"]);
    assert_eq!(a.session().next_item().unwrap().position, 2);
}

#[test]
fn a_reply_while_the_session_comes_back_is_not_lost() {
    let (mut a, mut b) = moved_at_work();
    let mut back = Take::begin(&mut a, "b", 3, 0, 2);
    back.step(&mut a, &mut b);
    a.replies(1, 1);
    a.returns(1);
    carry(&mut [&mut a, &mut b]);
    assert_eq!(back.run(&mut a, &mut b), Finish::Taken);
    carry(&mut [&mut a, &mut b]);
    a.attach(3, Some(0));
    assert_eq!(a.written(), ["#1"]);
    assert_eq!(a.session().next_item().unwrap().position, 2);
}

#[test]
fn a_moved_session_is_kept_until_its_last_reply_and_its_handlers_return() {
    let (mut a, mut b) = moved_at_work();
    assert_eq!(a.session().expires(60_000), None);
    a.replies(1, 1);
    carry(&mut [&mut a, &mut b]);
    // Who comes back has to find that the handler is still at work.
    assert_eq!(a.session().expires(60_000), None);
    a.returns(1);
    assert_eq!(a.session().expires(60_000), Some(Millis(160_000)));
}

#[test]
fn a_void_take_leaves_the_items_to_the_holder() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.receive(&event());
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    take.step(&mut b, &mut a);
    assert!(a.session().next_item().is_none());
    a.attach(3, Some(0));
    assert_eq!(a.session().next_item().unwrap().position, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Superseded);
    assert!(b.session().next_item().is_none());
}

#[test]
fn the_client_sends_on_from_where_the_holder_counted() {
    let (_, mut b) = moved_at_work();
    assert_eq!(b.session().received(), 3);
    b.receive(&event());
    assert_eq!(b.session().received(), 4);
    assert_eq!(b.session().inbox_items(), 3);
}

#[test]
fn nobody_waits_for_ever_for_a_reply_that_was_given_where_the_session_came_home() {
    let (mut a, mut b) = moved_at_work();
    let mut c = Node::new("c");
    let owed = asks_what_is_owed(&b);
    assert_eq!(
        Take::begin(&mut c, "b", 3, 0, 2).run(&mut c, &mut b),
        Finish::Taken
    );
    assert_eq!(a.asked(&owed), Answer::Granted);
    assert_eq!(
        Take::begin(&mut a, "c", 4, 0, 3).run(&mut a, &mut c),
        Finish::Taken
    );
    a.attach(4, Some(0));
    a.replies(1, 1);
    assert_eq!(a.written(), ["#1"]);
    // b is owed by a, and c by b; a says that it owes nothing.
    assert_eq!(a.asked(&owed), Answer::Void);
    let bounds = b.bounds.clone();
    b.session().debtor_is_home(&node("a"), &bounds);
    b.collect();
    carry(&mut [&mut a, &mut b, &mut c]);
    for gone in [&mut b, &mut c] {
        assert_eq!(gone.session().outstanding(), 0);
        assert!(gone.session().expires(60_000).is_some());
    }
    assert_eq!(a.written(), Vec::<String>::new());
}

#[test]
fn a_dead_node_is_told_to_the_node_that_the_session_has_gone_to() {
    let (_, mut b) = moved_at_work();
    let mut c = Node::new("c");
    assert_eq!(
        Take::begin(&mut c, "b", 3, 0, 2).run(&mut c, &mut b),
        Finish::Taken
    );
    c.attach(3, Some(0));
    let bounds = b.bounds.clone();
    b.session().debtor_died(&node("a"), &bounds);
    b.collect();
    carry(&mut [&mut b, &mut c]);
    assert_eq!(c.written(), ["#1 failed"]);
}

#[test]
fn a_session_that_came_back_in_vain_owes_what_it_owed() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    assert_eq!(a.receive(&request(9)), Received::Work);
    assert_eq!(a.receive(&event()), Received::Work);
    assert_eq!(a.session().next_item().unwrap().position, 1);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    // All of it is here again, but another hello was first.
    let mut back = Take::begin(&mut a, "b", 3, 0, 2);
    back.step(&mut a, &mut b);
    b.attach(4, Some(0));
    assert_eq!(back.run(&mut a, &mut b), Finish::Superseded);
    assert_eq!(a.standing(), Standing::Moved);
    let owed = asks_what_is_owed(&b);
    assert_eq!(a.asked(&owed), Answer::Granted);
    assert_eq!(
        (a.session().inbox_items(), a.session().queue_items()),
        (0, 0)
    );
    // The next item waits for the handler that is still at work.
    assert!(b.session().next_item().is_none());
    a.replies(9, 1);
    a.returns(1);
    carry(&mut [&mut a, &mut b]);
    assert_eq!(b.written(), ["#9"]);
    assert_eq!(b.session().next_item().unwrap().position, 2);
    assert_eq!(a.session().outstanding(), 0);
}

#[test]
fn what_a_session_had_counted_is_handled_where_it_ended() {
    // Ended at its taker before the holder's answer came: a yes makes its items the taker's.
    for yes in [true, false] {
        let (mut a, mut b) = (Node::home(), Node::new("b"));
        for _ in 0..2 {
            assert_eq!(a.receive(&event()), Received::Work);
        }
        let mut take = Take::begin(&mut b, "a", 2, 0, 1);
        take.step(&mut b, &mut a);
        b.session().close(crate::CloseCode::KICKED, "kicked");
        b.session().end();
        assert!(b.session().next_item().is_none());
        if !yes {
            a.attach(3, Some(0));
        }
        assert_ne!(take.run(&mut b, &mut a), Finish::Taken);
        let (here, there) = if yes {
            (&mut b, &mut a)
        } else {
            (&mut a, &mut b)
        };
        assert_eq!(here.session().next_item().unwrap().position, 1);
        assert!(there.session().next_item().is_none());
        assert_eq!(there.session().inbox_items(), 0);
    }
}

#[test]
fn a_return_that_somebody_else_only_believes_in_goes_no_further() {
    // From a to b to a and to c: the handler of the first item has been at work at a all the time.
    let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
    for _ in 0..2 {
        assert_eq!(a.receive(&event()), Received::Work);
    }
    assert_eq!(a.session().next_item().unwrap().position, 1);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    let mut take = Take::begin(&mut a, "b", 3, 0, 2);
    assert_eq!(take.run(&mut a, &mut b), Finish::Taken);
    // What b hears when it asks a: the session is home, and owes nothing.
    let bounds = b.bounds.clone();
    b.session().debtor_is_home(&node("a"), &bounds);
    b.collect();
    let mut take = Take::begin(&mut c, "a", 4, 0, 3);
    assert_eq!(take.run(&mut c, &mut a), Finish::Taken);
    carry(&mut [&mut a, &mut b, &mut c]);
    c.attach(4, Some(0));
    assert!(c.session().next_item().is_none(), "the handler is at work");
    a.returns(1);
    carry(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(c.session().next_item().unwrap().position, 2);
}
