//! By which nodes answers and returns come, when a session goes back and forth between them.

use super::*;

/// Takes the session from `holder` to `by`, and attaches the client there.
fn go(by: &mut Node, holder: &mut Node, attempt: u64) {
    let first = holder.id.to_string();
    let mut take = Take::begin(by, &first, attempt, 0, attempt.into());
    assert_eq!(take.run(by, holder), Finish::Taken);
    by.attach(attempt, Some(0));
}

/// What a node hears when it asks another that has the session again.
fn hears_that_it_is_home(node: &mut Node, at: &mut Node) {
    assert_eq!(at.asked(&asks_what_is_owed(node)), Answer::Void);
    let bounds = node.bounds.clone();
    node.session().debtor_is_home(&at.id, &bounds);
    node.collect();
}

#[test]
fn a_wait_that_is_over_does_not_end_the_next_items_handler() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    for frame in [request(1), event(), event()] {
        a.receive(&frame);
    }
    assert_eq!(a.session().next_item().unwrap().position, 1);
    go(&mut b, &mut a, 2);
    b.returns(1);
    assert_eq!(b.session().next_item().unwrap().position, 2);
    // The limit of the first.
    b.later(5_000);
    assert!(b.session().next_item().is_none(), "2 is at work");
}

#[test]
fn nothing_waits_any_more_for_a_handler_of_which_the_holder_knows_nothing() {
    let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
    for frame in [request(1), event(), event()] {
        a.receive(&frame);
    }
    assert_eq!(a.session().next_item().unwrap().position, 1);
    go(&mut b, &mut a, 2);
    go(&mut c, &mut b, 3);
    // c hears that it has returned, and b does not.
    c.returns(1);
    go(&mut b, &mut c, 4);
    assert_eq!(b.session().next_item().unwrap().position, 2);
    b.later(5_000);
    assert!(b.session().next_item().is_none(), "2 is at work");
}

#[test]
fn who_knows_that_the_handler_has_returned_does_not_wait_for_a_word_that_was_lost() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    for _ in 0..2 {
        a.receive(&event());
    }
    a.session().next_item();
    go(&mut b, &mut a, 2);
    a.returns(1);
    a.told.clear();
    assert!(b.session().next_item().is_none());
    go(&mut a, &mut b, 3);
    assert_eq!(a.session().next_item().unwrap().position, 2);
}

#[test]
fn who_is_no_longer_on_the_way_of_an_answer_closes_no_request() {
    let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
    a.receive(&request(1));
    a.session().next_item();
    go(&mut b, &mut a, 2);
    go(&mut c, &mut b, 3);
    go(&mut a, &mut c, 4);
    // b was on the way from a to c. It is told that it waits for nothing, and tells c, which takes
    // the session from a.
    let mut take = Take::begin(&mut c, "a", 5, 0, 5);
    hears_that_it_is_home(&mut b, &mut a);
    carry(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(take.run(&mut c, &mut a), Finish::Taken);
    c.attach(5, Some(0));
    assert_eq!(c.written(), Vec::<String>::new());
    assert_eq!(c.session().debtor(), Some(&node("a")));
    a.replies(1, 1);
    carry(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(c.written(), ["#1"]);
}

#[test]
fn an_answer_that_the_session_meets_on_its_way_back_comes_around() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.receive(&request(1));
    a.session().next_item();
    go(&mut b, &mut a, 2);
    a.replies(1, 1);
    go(&mut a, &mut b, 3);
    assert_eq!(a.written(), Vec::<String>::new());
    carry(&mut [&mut a, &mut b]);
    assert_eq!(a.written(), ["#1"]);
    a.returns(1);
    for node in [&mut a, &mut b] {
        assert_eq!(node.session().outstanding(), 0);
    }
}

#[test]
fn an_answer_that_was_lost_while_it_came_around_is_closed() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.receive(&request(1));
    a.session().next_item();
    go(&mut b, &mut a, 2);
    a.replies(1, 1);
    a.told.clear();
    go(&mut a, &mut b, 3);
    a.later(11_999);
    assert_eq!(a.written(), Vec::<String>::new());
    a.later(1);
    assert_eq!(a.written(), ["#1 failed"]);
    assert_eq!(a.session().outstanding(), 0);
}

#[test]
fn who_wanted_the_session_back_in_vain_still_passes_the_word_on() {
    let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
    for frame in [request(1), event()] {
        a.receive(&frame);
    }
    a.session().next_item();
    go(&mut b, &mut a, 2);
    go(&mut c, &mut b, 3);
    let mut back = Take::begin(&mut b, "c", 4, 0, 4);
    back.step(&mut b, &mut c);
    c.attach(5, Some(0));
    assert_eq!(back.run(&mut b, &mut c), Finish::Superseded);
    a.replies(1, 1);
    a.returns(1);
    carry(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(c.written(), ["#1"]);
    assert_eq!(c.session().next_item().unwrap().position, 2);
}

#[test]
fn a_node_that_has_started_anew_hears_from_who_comes_before_it() {
    let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
    for frame in [request(1), event()] {
        a.receive(&frame);
    }
    a.session().next_item();
    go(&mut b, &mut a, 2);
    go(&mut c, &mut b, 3);
    b.session = None;
    go(&mut b, &mut c, 4);
    assert_eq!(b.session().debtor(), Some(&node("a")));
    a.replies(1, 1);
    a.returns(1);
    carry(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(b.written(), ["#1"]);
    assert_eq!(b.session().next_item().unwrap().position, 2);
}

/// Lets the first of these ask whom it waits for, if there is such a node, and do as it is told.
fn asks_its_debtor(nodes: &mut [&mut Node]) {
    let Some(debtor) = nodes[0].session().debtor().cloned() else {
        return;
    };
    let question = asks_what_is_owed(nodes[0]);
    let asked = nodes.iter_mut().find(|node| node.id == debtor);
    let answer = asked.expect("a node").asked(&question);
    if answer == Answer::Void {
        let bounds = nodes[0].bounds.clone();
        nodes[0].session().debtor_is_home(&debtor, &bounds);
        nodes[0].collect();
    }
    carry(nodes);
}

#[test]
fn former_holders_do_not_wait_for_ever_for_each_other() {
    let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
    a.receive(&request(1));
    a.session().next_item();
    go(&mut b, &mut a, 2);
    b.receive(&request(2));
    a.returns(1);
    carry(&mut [&mut a, &mut b]);
    assert_eq!(b.session().next_item().unwrap().position, 2);
    b.returns(2);
    go(&mut c, &mut b, 3);
    c.receive(&request(3));
    assert_eq!(c.session().next_item().unwrap().position, 3);
    c.returns(3);
    // Back by the same way, and to c past b: b waits for a's answer, which c gets, and a for c's,
    // by b, which c has itself.
    go(&mut b, &mut c, 4);
    go(&mut a, &mut b, 5);
    go(&mut c, &mut a, 6);
    a.replies(1, 1);
    b.replies(2, 2);
    c.replies(3, 3);
    carry(&mut [&mut a, &mut b, &mut c]);
    for _ in 0..3 {
        asks_its_debtor(&mut [&mut a, &mut b, &mut c]);
        asks_its_debtor(&mut [&mut b, &mut a, &mut c]);
    }
    for gone in [&mut a, &mut b] {
        assert_eq!(gone.session().outstanding(), 0);
        assert!(gone.session().expires(60_000).is_some());
    }
    assert_eq!(c.session().outstanding(), 0);
    let mut written = c.written();
    written.sort();
    assert_eq!(written, ["#1", "#2", "#3"]);
}

#[test]
fn only_who_has_the_session_from_a_node_is_told_that_it_owes() {
    let (mut a, mut b, mut c) = (Node::home(), Node::new("b"), Node::new("c"));
    a.receive(&request(1));
    a.session().next_item();
    go(&mut b, &mut a, 2);
    assert_eq!(a.asked(&asks_what_is_owed(&b)), Answer::Granted);
    go(&mut a, &mut b, 3);
    assert_eq!(a.asked(&asks_what_is_owed(&b)), Answer::Void);
    go(&mut c, &mut a, 4);
    assert_eq!(a.asked(&asks_what_is_owed(&b)), Answer::Void);
    assert_eq!(a.asked(&asks_what_is_owed(&c)), Answer::Granted);
    a.replies(1, 1);
    hears_that_it_is_home(&mut b, &mut a);
    carry(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(c.written(), ["#1"]);
    assert!(b.session().expires(60_000).is_some());
}
