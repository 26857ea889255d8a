//! Deltas apply in order; what is missing is asked for, by deltas or by a snapshot in parts.

use super::*;

#[test]
fn a_delta_that_follows_is_applied_and_an_old_one_changes_nothing() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    let first = n2.delta(&[("alice", WS)]);
    assert_eq!(me.hear(first.clone()), Heard::Applied);
    assert_eq!(me.hear(n2.delta(&[("alice", GONE)])), Heard::Applied);
    assert_eq!(me.hear(first), Heard::Old);
    assert_eq!(me.view(), [""; 0]);
    assert_eq!(me.asks(), []);
}

#[test]
fn a_gap_is_filled_by_the_missing_deltas_alone() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    me.hear(n2.delta(&[("alice", WS)]));
    n2.delta(&[("alice", GONE), ("bob", POLL)]);
    assert_eq!(me.hear(n2.delta(&[("carol", WS)])), Heard::Gap);
    assert_eq!(me.view(), ["alice:ws@n2"], "nothing is applied over a gap");
    let ask = me.ask();
    assert_eq!((ask.have_seq, ask.part), (Some(1), 0));
    me.answer(&n2, n2.answer(&ask, 2));
    assert_eq!(me.view(), ["bob:poll@n2", "carol:ws@n2"]);
    assert_eq!(me.asks(), []);
    assert_eq!(me.hear(n2.beat()), Heard::Applied);
}

#[test]
fn what_was_missing_may_still_come_by_itself() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    me.hear(n2.delta(&[("alice", WS)]));
    let late = n2.delta(&[("bob", WS)]);
    me.hear(n2.delta(&[("bob", GONE)]));
    assert_eq!(me.hear(late), Heard::Applied);
    assert_eq!(me.view(), ["alice:ws@n2"]);
    assert_eq!(me.asks(), []);
}

#[test]
fn a_beat_that_is_ahead_is_synced() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    me.hear(n2.delta(&[("alice", WS)]));
    n2.delta(&[("bob", WS)]);
    assert_eq!(me.hear(n2.beat()), Heard::Gap);
    me.sync(&[&n2]);
    assert_eq!(me.view(), ["alice:ws@n2", "bob:ws@n2"]);
}

#[test]
fn a_beat_that_lags_behind_its_deltas_is_nothing_new() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    let early = n2.beat();
    me.hear(n2.delta(&[("alice", WS)]));
    assert_eq!(me.hear(early), Heard::Applied);
    assert_eq!(me.asks(), []);
}

#[test]
fn another_digest_at_the_same_number_is_synced_by_a_snapshot_which_replaces_what_was_known() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    me.hear(n2.delta(&[("alice", WS), ("bob", WS)]));
    n2.users.remove("alice");
    n2.users.insert("carol".to_owned(), BOTH);
    assert_eq!(me.hear(n2.beat()), Heard::Differs);
    assert_eq!(
        me.view(),
        ["alice:ws@n2", "bob:ws@n2"],
        "old users stay until replaced"
    );
    let ask = me.ask();
    assert_eq!((ask.have_seq, ask.part, ask.after.clone()), (None, 0, None));
    me.answer(&n2, n2.answer(&ask, 10));
    me.pass_with(100, &[&n2]);
    assert_eq!(me.view(), ["bob:ws@n2", "carol:ws and poll@n2"]);
    assert_eq!(me.hear(n2.beat()), Heard::Applied);
}

#[test]
fn a_new_node_is_synced_by_a_snapshot_in_parts() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    n2.delta(&[("a", WS), ("b", WS), ("c", POLL), ("d", WS), ("e", BOTH)]);
    assert_eq!(me.hear(n2.beat()), Heard::Gap);
    for (part, after) in [(0, None), (1, Some("b")), (2, Some("d"))] {
        let ask = me.ask();
        assert_eq!((ask.part, ask.after.clone()), (part, after.map(uid)));
        me.answer(&n2, n2.answer(&ask, 2));
    }
    assert_eq!(me.asks(), []);
    assert_eq!(me.view().len(), 5);
    assert_eq!(me.hear(n2.beat()), Heard::Applied);
}

#[test]
fn parts_cut_at_different_moments_and_the_deltas_since_the_first_are_the_truth() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    n2.delta(&[("a", WS), ("b", WS), ("c", WS), ("d", WS)]);
    me.hear(n2.beat());
    let ask = me.ask();
    me.answer(&n2, n2.answer(&ask, 2));
    // One goes behind the cut, one before it; one comes; the delta with that waits.
    let between = n2.delta(&[("a", GONE), ("d", GONE), ("aa", POLL), ("e", WS)]);
    assert_eq!(me.hear(between), Heard::Applied);
    let ask = me.ask();
    assert_eq!(ask.have_seq, Some(1), "the number of the first part");
    me.answer(&n2, n2.answer(&ask, 10));
    assert_eq!(me.view(), ["aa:poll@n2", "b:ws@n2", "c:ws@n2", "e:ws@n2"]);
    assert_eq!(me.hear(n2.beat()), Heard::Applied);
    assert_eq!(me.asks(), []);
}

#[test]
fn deltas_that_were_lost_while_a_snapshot_came_are_asked_for_behind_it() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    n2.delta(&[("a", WS), ("b", WS), ("c", WS)]);
    me.hear(n2.beat());
    let ask = me.ask();
    me.answer(&n2, n2.answer(&ask, 2));
    n2.delta(&[("a", GONE)]);
    me.hear(n2.delta(&[("d", WS)]));
    let ask = me.ask();
    me.answer(&n2, n2.answer(&ask, 2));
    let ask = me.ask();
    assert_eq!((ask.have_seq, ask.part), (Some(1), 0), "the deltas alone");
    me.answer(&n2, n2.answer(&ask, 2));
    assert_eq!(me.view(), ["b:ws@n2", "c:ws@n2", "d:ws@n2"]);
}

#[test]
fn a_part_that_does_not_come_is_asked_for_again_and_not_the_ones_before() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    n2.delta(&[("a", WS), ("b", WS), ("c", WS)]);
    me.hear(n2.beat());
    let ask = me.ask();
    me.answer(&n2, n2.answer(&ask, 2));
    let second = me.ask();
    me.unanswered(&n2, Unanswered::Late);
    assert_eq!(me.ask(), second);
    me.answer(&n2, n2.answer(&second, 2));
    assert_eq!(me.view().len(), 3);
    // The late one after all: it changes nothing.
    me.answer(&n2, n2.answer(&second, 2));
    assert_eq!(me.view().len(), 3);
}

#[test]
fn a_busy_node_is_asked_again_a_little_later() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    n2.delta(&[("a", WS)]);
    me.hear(n2.beat());
    let ask = me.ask();
    me.answer(&n2, SyncAnswer::Busy);
    assert_eq!(me.roster.take_asks(me.now), []);
    assert_eq!(me.ask(), ask);
}

#[test]
fn a_node_that_never_answers_is_asked_more_and_more_rarely() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    n2.delta(&[("a", WS)]);
    let mut asked = 0;
    for _ in 0..1_200 {
        me.hear(n2.beat());
        for _ in me.roster.take_asks(me.now) {
            asked += 1;
            me.unanswered(&n2, Unanswered::Nobody);
        }
        me.pass_with(100, &[]);
    }
    assert!((5..15).contains(&asked), "{asked} questions in two minutes");
}

#[test]
fn digests_that_never_match_become_no_storm_of_snapshots_and_keep_nobody_from_being_ready() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    me.hear(n2.delta(&[("a", WS)]));
    let (mut asked, mut users) = (0, 0);
    for second in 0..240 {
        let mut beat = n2.beat_itself();
        beat.digest ^= 1;
        me.hear(Message::Beat(beat));
        // Changes go on meanwhile, and are seen at once.
        let name = format!("u{second}");
        me.hear(n2.delta(&[(name.as_str(), WS)]));
        users += usize::from(me.roster.kinds(&uid(&name)) == WS);
        for (_, ask) in me.roster.take_asks(me.now) {
            asked += 1;
            me.answer(&n2, n2.answer(&ask, 1_000));
        }
        me.pass_with(1_000, &[]);
    }
    assert!(
        (4..12).contains(&asked),
        "{asked} snapshots in four minutes"
    );
    assert!(users > 220, "{users} of 240 seen at once");
    assert_eq!(me.roster.ready(), Ok(()));
    assert_eq!(me.roster.counts().any, 241);
    me.hear(n2.beat());
    me.pass_with(100_000, &[&n2]);
    me.sync(&[&n2]);
    me.hear(n2.beat());
    assert!(me.roster.nodes().all(|node| node.synced));
}

/// A node whose digest did not match often, so that the next snapshot is far away.
fn never_matching() -> (Node, Other) {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    me.hear(n2.delta(&[("a", WS)]));
    for _ in 0..60 {
        let mut beat = n2.beat_itself();
        beat.digest ^= 1;
        me.hear(Message::Beat(beat));
        for (_, ask) in me.roster.take_asks(me.now) {
            me.answer(&n2, n2.answer(&ask, 1_000));
        }
        me.pass(1_000);
    }
    (me, n2)
}

#[test]
fn a_gap_is_closed_at_once_also_while_a_snapshot_is_put_off() {
    let (mut me, mut n2) = never_matching();
    for name in ["b", "c", "d"] {
        n2.delta(&[(name, POLL)]);
        me.hear(n2.delta(&[(name, WS)]));
        let ask = me.ask();
        assert_eq!(ask.have_seq, Some(n2.seq - 2));
        me.answer(&n2, n2.answer(&ask, 2));
        assert_eq!(me.roster.kinds(&uid(name)), WS);
        let mut beat = n2.beat_itself();
        beat.digest ^= 1;
        assert_eq!(me.hear(Message::Beat(beat)), Heard::Differs);
    }
    assert_eq!(me.asks(), [], "and the snapshot is still put off");
}

#[test]
fn a_new_life_is_not_to_blame_for_the_digests_of_the_former_one() {
    let (mut me, _) = never_matching();
    let mut again = Other::new("n2", 50);
    again.delta(&[("b", WS)]);
    me.hear(again.beat());
    me.sync(&[&again]);
    assert_eq!(me.roster.kinds(&uid("b")), WS);
}

#[test]
fn deltas_that_wait_are_bounded_and_what_was_dropped_is_had_again() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    n2.delta(&[("a", WS)]);
    me.hear(n2.beat());
    for n in 0..3_000 {
        let name = format!("u{n:04}");
        me.hear(n2.delta(&[(name.as_str(), WS)]));
    }
    let waits = me.roster.peers[&n2.id]
        .sync
        .as_ref()
        .map(|sync| sync.buffer.len());
    assert!(waits.is_some_and(|waits| waits <= 1_024), "{waits:?}");
    let ask = me.ask();
    me.answer(&n2, n2.answer(&ask, 10_000));
    me.hear(n2.beat());
    me.sync(&[&n2]);
    assert_eq!(me.roster.counts().any, 3_001);
}

#[test]
fn sixteen_questions_are_out_at_a_time_and_the_others_wait_their_turn() {
    let mut me = Node::ready("n1");
    let others: Vec<Other> = (0..100)
        .map(|n| {
            let mut other = Other::new(&format!("m{n:03}"), 5);
            let name = format!("u{n}");
            other.delta(&[(name.as_str(), WS)]);
            other
        })
        .collect();
    for other in &others {
        me.hear(other.beat());
    }
    me.pass(100);
    let first = me.roster.take_asks(me.now);
    assert_eq!(first.len(), 16);
    assert_eq!(me.roster.take_asks(me.now), []);
    for (id, ask) in first {
        let other = others.iter().find(|other| other.id == id).expect("known");
        me.answer(other, other.answer(&ask, 2));
    }
    me.sync(&others.iter().collect::<Vec<_>>());
    assert_eq!(me.roster.counts().any, 100);
}

#[test]
fn bans_come_with_the_first_part() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    n2.delta(&[("a", WS)]);
    me.hear(n2.beat());
    let ask = me.ask();
    let SyncAnswer::Part(mut part) = n2.answer(&ask, 2) else {
        panic!("no part");
    };
    part.bans = vec![(uid("mallory"), 9)];
    me.answer(&n2, SyncAnswer::Part(part));
    assert_eq!(me.roster.take_bans(), [(uid("mallory"), 9)]);
    assert_eq!(me.roster.take_bans(), []);
}
