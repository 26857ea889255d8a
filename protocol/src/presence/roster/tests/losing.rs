//! Silence, Bye and new epochs: who is lost waits the grace out, and who is back is not lost.

use super::*;

/// A node that knows alice and bob on n2, and zoe on n3.
fn three() -> (Node, Other, Other) {
    let mut me = Node::ready("n1");
    let (mut n2, mut n3) = (Other::new("n2", 5), Other::new("n3", 6));
    me.hear(n2.delta(&[("alice", WS), ("bob", POLL)]));
    me.hear(n3.delta(&[("zoe", WS)]));
    (me, n2, n3)
}

const ALL: [&str; 3] = ["alice:ws@n2", "bob:poll@n2", "zoe:ws@n3"];

#[test]
fn a_silent_node_is_gone_after_its_time_and_its_users_after_the_grace() {
    let (mut me, _, n3) = three();
    me.pass_with(5_900, &[&n3]);
    assert_eq!(me.roster.nodes().count(), 3);
    me.pass_with(600, &[&n3]);
    assert_eq!(me.roster.nodes().count(), 2);
    assert_eq!(me.view(), ALL, "the grace");
    me.pass_with(4_800, &[&n3]);
    assert_eq!(me.view(), ALL, "the grace");
    me.pass_with(1_000, &[&n3]);
    assert_eq!(me.view(), ["zoe:ws@n3"]);
    assert_eq!(me.roster.counts().any, 1);
}

#[test]
fn any_message_is_a_sign_of_life() {
    let (mut me, mut n2, n3) = three();
    for _ in 0..10 {
        me.pass_with(3_000, &[&n3]);
        me.hear(n2.delta(&[("alice", WS)]));
    }
    assert_eq!(me.view(), ALL);
}

#[test]
fn bye_ends_a_node_at_once_and_its_users_after_the_grace() {
    let (mut me, n2, n3) = three();
    assert_eq!(me.hear(n2.bye()), Heard::Applied);
    assert_eq!(me.roster.nodes().count(), 2);
    me.pass_with(5_400, &[&n3]);
    assert_eq!(me.view(), ALL);
    me.pass_with(200, &[&n3]);
    assert_eq!(me.view(), ["zoe:ws@n3"]);
}

#[test]
fn what_was_said_before_a_bye_and_comes_after_it_wakes_nobody() {
    let (mut me, mut n2, n3) = three();
    let late = [n2.beat(), n2.delta(&[("carol", WS)])];
    me.hear(n2.bye());
    for message in late {
        assert_eq!(me.hear(message), Heard::Old);
    }
    me.pass_with(6_000, &[&n3]);
    assert_eq!(me.view(), ["zoe:ws@n3"]);
}

#[test]
fn users_of_a_lost_node_who_come_again_elsewhere_are_never_gone() {
    let (mut me, n2, mut n3) = three();
    me.hear(n2.bye());
    me.pass_with(3_000, &[&n3]);
    me.hear(n3.delta(&[("alice", WS)]));
    me.diffs();
    me.pass_with(3_000, &[&n3]);
    assert_eq!(me.view(), ["alice:ws@n3", "zoe:ws@n3"]);
    let moved = ("alice".to_owned(), WS, WS);
    assert_eq!(me.diffs(), [moved, ("bob".to_owned(), POLL, GONE)]);
}

#[test]
fn a_node_that_is_heard_again_within_the_grace_has_its_users_back_without_a_question() {
    let (mut me, n2, n3) = three();
    me.pass_with(8_000, &[&n3]);
    assert_eq!(me.roster.nodes().count(), 2);
    me.diffs();
    assert_eq!(me.hear(n2.beat()), Heard::Applied);
    me.pass_with(20_000, &[&n2, &n3]);
    assert_eq!(me.view(), ALL);
    assert_eq!((me.diffs(), me.asks()), (vec![], vec![]));
}

#[test]
fn a_node_that_is_heard_again_after_the_grace_is_synced() {
    let (mut me, n2, n3) = three();
    me.pass_with(15_000, &[&n3]);
    assert_eq!(me.view(), ["zoe:ws@n3"]);
    assert_eq!(me.hear(n2.beat()), Heard::Gap);
    me.sync(&[&n2]);
    assert_eq!(me.view(), ALL);
}

#[test]
fn a_new_epoch_is_synced_and_who_is_not_in_it_waits_the_grace_out() {
    let (mut me, n2, n3) = three();
    let mut again = Other::new("n2", 50);
    again.delta(&[("carol", WS)]);
    again.delta(&[("alice", POLL)]);
    assert_eq!(me.hear(again.beat()), Heard::Gap);
    assert_eq!(me.view(), ALL, "old users stay until replaced");
    let ask = me.ask();
    assert_eq!((ask.have_seq, ask.epoch), (None, Epoch(50)));
    me.answer(&again, again.answer(&ask, 10));
    let whole = ["alice:poll@n2", "bob:poll@n2", "carol:ws@n2", "zoe:ws@n3"];
    assert_eq!(me.view(), whole);
    me.pass_with(5_400, &[&again, &n3]);
    assert_eq!(me.view(), whole);
    me.pass_with(300, &[&again, &n3]);
    assert_eq!(me.view(), ["alice:poll@n2", "carol:ws@n2", "zoe:ws@n3"]);
    assert_eq!(
        me.hear(n2.beat()),
        Heard::Old,
        "a lower epoch changes nothing"
    );
}

#[test]
fn a_new_epoch_without_users_needs_no_question() {
    let (mut me, _, n3) = three();
    let again = Other::new("n2", 50);
    assert_eq!(me.hear(again.beat()), Heard::Applied);
    me.pass_with(5_600, &[&again, &n3]);
    assert_eq!(
        (me.view(), me.asks()),
        (vec!["zoe:ws@n3".to_owned()], vec![])
    );
}

#[test]
fn a_restart_in_the_midst_of_a_snapshot_leaves_nobody_behind() {
    let (mut me, _, n3) = three();
    let mut again = Other::new("n2", 50);
    again.delta(&[("a", WS), ("b", WS), ("c", WS)]);
    me.hear(again.beat());
    let ask = me.ask();
    me.answer(&again, again.answer(&ask, 2));
    let mut third = Other::new("n2", 60);
    third.delta(&[("c", WS)]);
    me.hear(third.beat());
    me.sync(&[&third]);
    assert_eq!(me.view().len(), 6);
    me.pass_with(6_000, &[&third, &n3]);
    assert_eq!(me.view(), ["c:ws@n2", "zoe:ws@n3"]);
    assert_eq!(me.hear(third.beat()), Heard::Applied);
}

#[test]
fn an_answer_that_speaks_of_a_higher_epoch_begins_it() {
    let (mut me, mut n2, _) = three();
    n2.delta(&[("carol", WS)]);
    me.hear(n2.beat());
    let _ = me.ask();
    let mut again = Other::new("n2", 50);
    again.delta(&[("dora", WS)]);
    me.answer(&again, SyncAnswer::Other { epoch: Epoch(50) });
    assert_eq!(me.hear(n2.beat()), Heard::Old);
    me.hear(again.beat());
    me.sync(&[&again]);
    assert_eq!(me.roster.kinds(&uid("dora")), WS);
}

#[test]
fn a_restart_whose_clock_stepped_back_is_heard_when_its_former_life_says_nothing_more() {
    let (mut me, n2, n3) = three();
    let mut again = Other::new("n2", 3);
    again.delta(&[("alice", WS)]);
    me.pass_with(4_000, &[&n2, &again, &n3]);
    assert_eq!(
        me.view(),
        ALL,
        "a lower epoch changes nothing while the higher one speaks"
    );
    me.pass_with(2_000, &[&again, &n3]);
    assert_eq!(me.view(), ALL);
    me.pass_with(1_000, &[&again, &n3]);
    me.sync(&[&again]);
    me.pass_with(6_000, &[&again, &n3]);
    assert_eq!(me.view(), ["alice:ws@n2", "zoe:ws@n3"]);
}

#[test]
fn a_node_that_was_paused_while_another_began_again_under_a_lower_epoch_is_not_ready_before_it_knows()
 {
    let (mut me, _, n3) = three();
    me.now = me.now.plus(15_000);
    let mut again = Other::new("n2", 3);
    again.delta(&[("carol", WS)]);
    me.roster.tick(me.now);
    for _ in 0..20 {
        me.pass_with(200, &[&again, &n3]);
        let known = me.roster.kinds(&uid("carol")) == WS;
        assert!(known || me.roster.ready().is_err());
        for (_, ask) in me.roster.take_asks(me.now) {
            me.answer(&again, again.answer(&ask, 2));
        }
    }
    assert_eq!(me.roster.ready(), Ok(()));
}

#[test]
fn a_large_dead_node_is_worked_off_in_chunks() {
    let (mut me, n2, n3) = three();
    let mut large = Other::new("n4", 7);
    let users: Vec<String> = (0..30_000).map(|n| format!("user-{n:05}")).collect();
    for some in users.chunks(1_000) {
        let some: Vec<_> = some.iter().map(|user| (user.as_str(), WS)).collect();
        me.hear(large.delta(&some));
    }
    // Some of them are elsewhere too.
    let mut n3 = n3;
    me.hear(n3.delta(&[("user-00010", POLL), ("user-29999", WS)]));
    me.hear(large.bye());
    me.pass_with(5_499, &[&n2, &n3]);
    me.diffs();
    let (mut chunks, mut gone) = (0, 0);
    for _ in 0..100 {
        me.now = me.now.plus(5);
        me.roster.tick(me.now);
        let went = me.diffs().len();
        assert!(went < 2_300, "{went} at a time");
        chunks += usize::from(went > 0);
        gone += went;
    }
    assert!(chunks >= 4, "{chunks} chunks");
    assert_eq!(gone, 30_000);
    assert_eq!(me.roster.counts().any, 5);
    assert_eq!(me.roster.kinds(&uid("user-00010")), POLL);
}

#[test]
fn anonymous_clients_go_with_their_node() {
    let (mut me, n2, _) = three();
    let mut beat = n2.beat_itself();
    beat.anonymous = [3, 4];
    me.hear(Message::Beat(beat.clone()));
    beat.anonymous = [5, 4];
    me.hear(Message::Beat(beat));
    me.roster.own(Epoch(1_000), 0, &[], [1, 1], me.now);
    assert_eq!(me.roster.counts().anonymous, [6, 5]);
    me.hear(n2.bye());
    assert_eq!(me.roster.counts().anonymous, [1, 1]);
}
