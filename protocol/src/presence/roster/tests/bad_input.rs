//! Claims of others' ids, epochs that cannot be, more nodes than there are: ignored, counted, bounded.

use super::*;

#[test]
fn before_it_has_an_epoch_a_node_notes_the_highest_heard_for_its_id() {
    let options = Options::new(node("n1"));
    let mut roster = Roster::new(node("n1"), &options, 1, Millis(0));
    assert_eq!(roster.highest_own(), None);
    for epoch in [7, 9, 8] {
        let beat = Other::new("n1", epoch).beat();
        assert_eq!(roster.hear(beat, Millis(10)), Heard::OwnEcho);
    }
    assert_eq!(roster.highest_own(), Some(Epoch(9)));
    assert_eq!(roster.nodes().count(), 0);
}

#[test]
fn a_higher_epoch_for_ones_own_id_is_gone_above_once_and_twice_in_a_minute_is_a_duplicate() {
    let mut me = Node::ready("n1");
    let usurped = |epoch| Heard::Usurped {
        epoch: Epoch(epoch),
    };
    assert_eq!(me.hear(Other::new("n1", 2_000).beat()), usurped(2_001));
    me.roster.begin(Epoch(2_001), me.now);
    assert_eq!(me.hear(Other::new("n1", 2_000).beat()), Heard::Old);
    me.pass(61_000);
    assert_eq!(me.hear(Other::new("n1", 2_002).beat()), usurped(2_003));
    me.roster.begin(Epoch(2_003), me.now);
    me.pass(59_000);
    assert_eq!(me.hear(Other::new("n1", 2_004).beat()), Heard::Duplicate);
}

#[test]
fn another_process_with_ones_own_id_and_epoch_is_noticed_by_what_it_says() {
    let mut me = Node::ready("n1");
    let mut twin = Other::new("n1", 1_000);
    let usurped = Heard::Usurped {
        epoch: Epoch(1_001),
    };
    assert_eq!(me.hear(twin.delta(&[("alice", WS)])), usurped);
    let mut me = Node::ready("n1");
    assert_eq!(me.hear(Other::new("n1", 1_000).bye()), usurped);
    assert!(me.roster.bye().is_some());
    assert_eq!(me.hear(Other::new("n1", 1_000).bye()), Heard::OwnEcho);
}

#[test]
fn ones_own_messages_come_back_and_change_nothing() {
    let mut me = Node::ready("n1");
    let mut own = Other::new("n1", 1_000);
    let delta = own.delta(&[("alice", WS)]);
    me.roster
        .own(Epoch(1_000), 1, &[(uid("alice"), WS)], [0; 2], me.now);
    me.roster
        .own(Epoch(1_000), 2, &[(uid("alice"), GONE)], [0; 2], me.now);
    assert_eq!(me.hear(delta), Heard::OwnEcho);
    assert_eq!(me.view(), [""; 0]);
}

#[test]
fn an_epoch_that_nobody_could_go_above_is_ignored() {
    let mut me = Node::ready("n1");
    let n2 = Other::new("n2", 5);
    me.hear(n2.beat());
    for epoch in [u64::MAX, u64::MAX - 1, 5_000_000_000_000] {
        for id in ["n1", "n2", "n3"] {
            assert_eq!(me.hear(Other::new(id, epoch).beat()), Heard::Wild);
            assert_eq!(me.hear(Other::new(id, epoch).bye()), Heard::Wild);
        }
    }
    me.answer(
        &n2,
        SyncAnswer::Other {
            epoch: Epoch(u64::MAX),
        },
    );
    let epochs: Vec<_> = me.roster.nodes().map(|node| node.epoch).collect();
    assert_eq!(epochs, [Epoch(1_000), Epoch(5)]);
}

#[test]
fn more_nodes_than_any_cluster_has_are_ignored() {
    let mut me = Node::ready("n0");
    let mut too_many = 0;
    for n in 0..3_000 {
        let heard = me.hear(Other::new(&format!("m{n}"), 5).beat());
        too_many += usize::from(heard == Heard::TooMany);
    }
    assert_eq!(too_many, 3_000 - 1_024);
    me.pass(60_000);
    assert_eq!(me.roster.nodes().count(), 1);
    assert_eq!(me.hear(Other::new("n2", 5).beat()), Heard::Applied);
}

#[test]
fn a_node_that_claims_a_new_epoch_with_every_message_makes_neither_questions_nor_lives_without_end()
{
    let mut me = Node::ready("n1");
    let mut asked = 0;
    for epoch in 5..20_005 {
        let mut n2 = Other::new("n2", epoch);
        me.hear(n2.delta(&[("alice", WS)]));
        n2.delta(&[("bob", WS)]);
        me.hear(n2.beat());
        asked += me.roster.take_asks(me.now).len();
        if epoch % 100 == 0 {
            me.pass(10);
        }
    }
    assert!(asked < 12, "{asked} questions in two seconds");
    me.pass(20_000);
    assert_eq!(me.view(), [""; 0]);
}

#[test]
fn answers_that_nobody_asked_for_or_of_other_nodes_change_nothing() {
    let mut me = Node::ready("n1");
    let (mut n2, mut n3) = (Other::new("n2", 5), Other::new("n3", 5));
    n2.delta(&[("alice", WS)]);
    n3.delta(&[("eve", WS)]);
    let any = SyncReq {
        by: node("n1"),
        epoch: Epoch(5),
        have_seq: None,
        part: 0,
        after: None,
    };
    me.answer(&n2, n2.answer(&any, 2));
    me.hear(n2.beat());
    me.answer(&n2, n2.answer(&any, 2));
    assert_eq!(me.view(), [""; 0]);
    let ask = me.ask();
    me.answer(&n2, n3.answer(&ask, 2));
    assert_eq!(me.view(), [""; 0]);
    let ask = me.ask();
    me.answer(&n2, n2.answer(&ask, 2));
    assert_eq!(me.view(), ["alice:ws@n2"]);
}

#[test]
fn numbers_at_their_end_stop_nobody() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    n2.seq = u64::MAX - 1;
    assert_eq!(me.hear(n2.delta(&[("alice", WS)])), Heard::Gap);
    let mut beat = n2.beat_itself();
    (beat.users, beat.anonymous) = (u64::MAX, [u64::MAX; 2]);
    me.hear(Message::Beat(beat));
    me.sync(&[&n2]);
    me.pass_with(3_000, &[&n2]);
    assert_eq!(me.view(), ["alice:ws@n2"]);
}

#[test]
fn one_that_beats_and_has_no_doors_keeps_nobody_from_being_ready_for_long() {
    let mut me = Node::ready("n1");
    let mut impostor = Other::new("n2", 5);
    impostor.delta(&[("eve", WS)]);
    let mut unready = 0;
    for _ in 0..600 {
        me.hear(impostor.beat());
        for _ in me.roster.take_asks(me.now) {
            me.unanswered(&impostor, Unanswered::Nobody);
        }
        me.pass(100);
        unready += u32::from(me.roster.ready().is_err());
    }
    assert!(unready < 60, "{unready} tenths of a second of a minute");
    assert_eq!(me.roster.ready(), Ok(()));
    // One that only does not answer may be a node that is slow, with users that are real.
    let mut me = Node::ready("n1");
    for _ in 0..300 {
        me.hear(impostor.beat());
        for _ in me.roster.take_asks(me.now) {
            me.unanswered(&impostor, Unanswered::Late);
        }
        me.pass(100);
    }
    assert_eq!(me.roster.ready(), Err(NotReady::Syncing(1)));
}

#[test]
fn a_node_that_begins_again_without_end_leaves_room_for_others() {
    let mut me = Node::ready("n1");
    for epoch in 5..40_005 {
        let mut n2 = Other::new("n2", epoch);
        let user = format!("u{}", epoch % 50);
        assert_eq!(me.hear(n2.delta(&[(&user, WS)])), Heard::Applied, "{epoch}");
        if epoch % 100 == 0 {
            me.pass(10);
        }
    }
    assert_eq!(me.hear(Other::new("n3", 5).beat()), Heard::Applied);
    me.pass(20_000);
    assert_eq!(me.view(), [""; 0]);
}

#[test]
fn a_node_whose_id_was_claimed_with_the_highest_epoch_that_may_be_is_heard_by_those_who_come_later()
{
    let mut me = Node::ready("n1");
    let mut own = 1_000;
    for claimed in [4_102_444_799_998, 4_102_444_799_999, 4_102_444_800_000] {
        if let Heard::Usurped { epoch } = me.hear(Other::new("n1", claimed).beat()) {
            me.roster.begin(epoch, me.now);
            own = epoch.0;
        }
        me.pass(61_000);
    }
    let mut joiner = Node::ready("n2");
    assert_eq!(joiner.hear(Other::new("n1", own).beat()), Heard::Applied);
}

#[test]
fn a_node_that_is_silent_again_and_again_keeps_its_users_each_time_it_is_heard_in_time() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    me.hear(n2.delta(&[("alice", WS)]));
    for _ in 0..20 {
        me.pass(8_000);
        assert_eq!(me.roster.nodes().count(), 1);
        me.hear(n2.beat());
        me.pass_with(2_000, &[&n2]);
        assert_eq!(me.view(), ["alice:ws@n2"]);
    }
}
