//! Releases that are refused, and answers that cannot be: nobody's session is touched by them.

use super::*;
use crate::CloseCode;
use crate::server::{AttachRefused, PollRefused};

fn refused(a: &mut Node, change: impl FnOnce(&mut Release)) -> Answer {
    let mut release = release(&Node::new("b"), 2, 0, 1);
    change(&mut release);
    a.asked(&ToNode::Release(release))
}

#[test]
fn a_lower_attempt_changes_nothing() {
    let mut a = Node::home();
    assert_eq!(refused(&mut a, |r| r.attempt = 0), Answer::LowerAttempt);
    assert_eq!(a.standing(), Standing::Home);
    a.hear_all([1]);
    assert_eq!(a.written(), ["1"]);
}

#[test]
fn an_equal_attempt_takes_over() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    assert_eq!(
        Take::begin(&mut b, "a", 1, 0, 1).run(&mut b, &mut a),
        Finish::Taken
    );
}

#[test]
fn a_release_is_as_good_as_a_hello_for_those_that_come_after_it() {
    let mut a = Node::home();
    refused(&mut a, |r| r.attempt = 5);
    let (hello, now) = (a.hello(4, Some(0)), a.now);
    assert_eq!(
        a.session().attach(&hello, Transport::Ws, now),
        Err(AttachRefused::LowerAttempt { current: 5 })
    );
    assert_eq!(a.standing(), Standing::Frozen);
}

#[test]
fn f32_another_user_gets_nothing_and_the_session_ends() {
    for other in [Some(Uid::parse("bob").unwrap()), None] {
        let (mut a, mut b) = (Node::home(), Node::new("b"));
        a.hear_all([1]);
        assert_eq!(refused(&mut a, |r| r.uid = other), Answer::OtherUser);
        assert!(a.session().is_over());
        assert_eq!(a.session().queue_items(), 0);
        let mut take = Take::begin(&mut b, "a", 2, 0, 1);
        take.heard(&mut b, Heard::Answer(Answer::OtherUser));
        assert_eq!(take.finish(), Some(Finish::Fresh));
        assert!(b.session().is_over());
    }
}

#[test]
fn another_codec_is_another_session() {
    let mut a = Node::home();
    assert_eq!(
        refused(&mut a, |r| r.codec = Codec::Json),
        Answer::OtherUser
    );
    assert!(a.session().is_over());
}

#[test]
fn f44_another_client_ends_nobodys_session() {
    let mut a = Node::home();
    a.hear_all([1]);
    let thief = |r: &mut Release| {
        r.client = ClientId::parse("thief").unwrap();
        r.uid = None;
        r.attempt = 99;
    };
    assert_eq!(refused(&mut a, thief), Answer::Lost);
    assert_eq!(a.standing(), Standing::Home);
    assert_eq!(a.written(), ["1"]);
}

#[test]
fn a_count_beyond_what_was_sent_ends_the_session() {
    let mut a = Node::home();
    a.hear_all([1]);
    assert_eq!(a.written(), ["1"]);
    assert_eq!(refused(&mut a, |r| r.received = 2), Answer::Lost);
    assert!(a.session().is_over());
    // Whoever is still connected here is told, and does not go on with a session that hears nothing.
    let ending = a.session().ending().map(|(code, _)| code);
    assert_eq!(ending, Some(CloseCode::SUPERSEDED));
}

#[test]
fn a_count_below_what_was_acknowledged_ends_the_session_unless_it_is_a_late_copy() {
    let mut a = Node::home();
    a.hear_all([1, 2]);
    a.written();
    a.receive(&ClientFrame::Ack { received: 2 });
    assert_eq!(
        refused(&mut a, |r| (r.attempt, r.received) = (1, 1)),
        Answer::LowerAttempt
    );
    assert!(!a.session().is_over());
    assert_eq!(refused(&mut a, |r| r.received = 1), Answer::Lost);
    assert!(a.session().is_over());
}

#[test]
fn a_session_that_just_ended_is_lost_and_not_searched_for() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.session().end();
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    take.step(&mut b, &mut a);
    assert_eq!(take.finish(), Some(Finish::Fresh));
    let done = ToNode::Done {
        session: session_id(),
        take: 1,
    };
    assert_eq!(a.asked(&done), Answer::Lost);
}

#[test]
fn a_session_that_ends_between_its_parts_and_done_is_not_taken() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    take.step(&mut b, &mut a);
    a.session().end();
    take.step(&mut b, &mut a);
    assert_eq!(take.finish(), Some(Finish::Fresh));
}

#[test]
fn parts_and_dones_of_no_take_are_void() {
    let mut a = Node::home();
    assert_eq!(refused(&mut a, |r| r.part = 1), Answer::Void);
    let done = ToNode::Done {
        session: session_id(),
        take: 0,
    };
    assert_eq!(a.asked(&done), Answer::Void);
    assert_eq!(a.standing(), Standing::Home);
    assert!(matches!(refused(&mut a, |_| ()), Answer::Part { .. }));
    assert_eq!(refused(&mut a, |r| r.part = 9), Answer::Lost);
    assert_eq!(a.asked(&done), Answer::Void);
}

#[test]
fn who_is_not_the_holder_says_so() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    let question = take.question().clone();
    assert_eq!(b.asked(&question), Answer::NotMine);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    assert_eq!(a.asked(&question), Answer::NotMine);
}

#[test]
fn nobody_attaches_or_polls_where_the_session_is_not() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    let (hello, now) = (b.hello(3, Some(0)), b.now);
    let attach = |node: &mut Node| node.session().attach(&hello, Transport::Ws, now);
    assert_eq!(attach(&mut b), Err(AttachRefused::Arriving));
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    assert_eq!(attach(&mut a), Err(AttachRefused::Moved));
    assert_eq!(a.session().owner(), Some(&node("b")));
    assert_eq!(a.session().poll(2, 1, 0, now), Err(PollRefused::Elsewhere));
    // The connection that had it is superseded.
    assert_eq!(a.receive(&event()), Received::Stale);
}

#[test]
fn parts_that_cannot_be_are_not_taken() {
    let part = |holder: &str, take, part, of, body: &'static [u8]| Answer::Part {
        holder: node(holder),
        take,
        part,
        of,
        body: bytes::Bytes::from_static(body),
    };
    for answers in [
        vec![part("a", 1, 0, 1, b"")],
        vec![part("a", 1, 0, 1, b"\x81\x02")],
        vec![part("a", 1, 0, 1, b"\x8b\x01\x00")],
        vec![part("a", 1, 0, 1, b"garbage of all kinds")],
        vec![part("a", 2, 0, 1, b"")],
        vec![part("a", 1, 1, 2, b"")],
        vec![part("a", 1, 0, 0, b"")],
        vec![part("a", 1, 0, 2, b"x"), part("a", 1, 0, 2, b"x")],
        vec![part("a", 1, 0, 2, b"x"), part("a", 1, 1, 3, b"x")],
        vec![part("a", 1, 0, 2, b"x"), part("c", 1, 1, 2, b"x")],
        vec![Answer::Granted],
    ] {
        let mut b = Node::new("b");
        let mut take = Take::begin(&mut b, "a", 2, 0, 1);
        for answer in answers.clone() {
            assert_eq!(take.finish(), None, "{answers:?}");
            take.heard(&mut b, Heard::Answer(answer));
        }
        assert_eq!(take.finish(), Some(Finish::Fresh), "{answers:?}");
        assert!(b.session().is_over());
        assert!(b.session().next_item().is_none());
    }
}

#[test]
fn a_client_that_names_another_count_than_it_was_taken_with_is_told_of_a_gap() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear_all([1, 2]);
    a.written();
    assert_eq!(
        Take::begin(&mut b, "a", 2, 1, 1).run(&mut b, &mut a),
        Finish::Taken
    );
    let (hello, now) = (b.hello(3, Some(2)), b.now);
    assert_eq!(
        b.session().attach(&hello, Transport::Ws, now),
        Err(AttachRefused::Lost)
    );
}
