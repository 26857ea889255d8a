//! A node judges others, and speaks for the cluster, only while it hears itself and is not among the few.

use super::*;

#[test]
fn a_cold_node_is_ready_three_seconds_after_its_start() {
    let mut me = Node::new("n1");
    me.pass(2_900);
    assert_eq!(me.roster.ready(), Err(NotReady::Young));
    me.pass(400);
    assert_eq!(me.roster.ready(), Ok(()));
}

#[test]
fn a_joiner_is_ready_after_two_beats_of_its_own() {
    let mut me = Node::new("n1");
    let n2 = Other::new("n2", 5);
    me.hear(n2.beat());
    me.pass(900);
    assert_eq!(me.roster.ready(), Err(NotReady::Young));
    me.pass(200);
    assert_eq!((me.roster.own_beats_back(), me.roster.ready()), (2, Ok(())));
}

#[test]
fn a_joiner_is_not_ready_before_it_has_synced_with_every_live_peer() {
    let mut me = Node::new("n1");
    let (n2, mut n3) = (Other::new("n2", 5), Other::new("n3", 5));
    n3.delta(&[("zoe", WS)]);
    me.pass_with(4_000, &[&n2, &n3]);
    assert_eq!(me.roster.ready(), Err(NotReady::Syncing(1)));
    me.sync(&[&n3]);
    assert_eq!(me.roster.ready(), Ok(()));
}

#[test]
fn a_lost_delta_does_not_make_a_ready_node_unready_but_a_peer_that_stays_behind_does() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    me.hear(n2.delta(&[("a", WS)]));
    n2.delta(&[("b", WS)]);
    assert_eq!(me.hear(n2.beat()), Heard::Gap);
    me.pass_with(2_900, &[&n2]);
    assert_eq!(me.roster.ready(), Ok(()));
    me.pass_with(300, &[&n2]);
    assert_eq!(me.roster.ready(), Err(NotReady::Syncing(1)));
    me.sync(&[&n2]);
    assert_eq!(me.roster.ready(), Ok(()));
}

#[test]
fn a_node_that_does_not_hear_itself_judges_nobody() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    me.hear(n2.delta(&[("alice", WS)]));
    me.echo = false;
    me.pass(60_000);
    assert_eq!(me.roster.ready(), Err(NotReady::Deaf));
    assert_eq!(me.view(), ["alice:ws@n2"]);
    assert_eq!(me.roster.nodes().count(), 2);
    // On return every peer gets its full time.
    me.echo = true;
    me.pass(5_500);
    assert_eq!(me.roster.nodes().count(), 2);
    me.pass(2_000);
    assert_eq!(me.roster.nodes().count(), 1);
}

#[test]
fn a_beat_that_comes_back_too_late_is_no_hearing() {
    let mut me = Node::ready("n1");
    me.echo = false;
    let mut late = Vec::new();
    for _ in 0..10 {
        late.push((me.now, me.beat()));
        me.pass(900);
        while late.first().is_some_and(|(at, _)| me.now >= at.plus(1_600)) {
            let (_, beat) = late.remove(0);
            me.hear(Message::Beat(beat));
        }
    }
    assert_eq!(me.roster.ready(), Err(NotReady::Deaf));
}

#[test]
fn one_lost_beat_is_not_deafness() {
    let mut me = Node::ready("n1");
    me.echo = false;
    me.pass(1_400);
    me.echo = true;
    me.pass(1_000);
    assert_eq!(me.roster.ready(), Ok(()));
}

#[test]
fn a_paused_node_judges_nobody_and_is_ready_only_after_two_beats_again() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    me.hear(n2.delta(&[("alice", WS)]));
    let waited = me.roster.beat(&"s1".into(), me.now);
    me.now = me.now.plus(20_000);
    // What waited in the socket comes first.
    assert_eq!(me.hear(Message::Beat(waited)), Heard::OwnEcho);
    assert_eq!(me.roster.ready(), Err(NotReady::Deaf));
    me.beaten = me.now;
    me.roster.tick(me.now);
    assert_eq!(me.roster.nodes().count(), 2);
    me.pass(1_900);
    assert_eq!(me.roster.ready(), Err(NotReady::Young));
    me.pass(200);
    assert_eq!(me.roster.ready(), Ok(()));
    me.pass(3_500);
    assert_eq!(
        me.roster.nodes().count(),
        2,
        "the full time since it hears again"
    );
}

#[test]
fn without_the_bus_a_node_is_not_ready_and_asks_nobody() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    n2.delta(&[("alice", WS)]);
    me.hear(n2.beat());
    me.roster.bus(false, me.now);
    me.echo = false;
    assert_eq!(me.roster.ready(), Err(NotReady::BusDown));
    assert_eq!(me.asks(), []);
    me.pass(30_000);
    assert_eq!(me.roster.nodes().count(), 2);
    me.roster.bus(true, me.now);
    assert_eq!(me.roster.own_beats_back(), 0);
    assert_eq!(me.roster.ready(), Err(NotReady::Deaf));
    me.echo = true;
    assert_eq!(me.asks().len(), 1);
}

/// `me` among nodes that it has known for long enough; the first `heard` of them go on.
fn split(me: &str, others: &[&str], heard: usize) -> Result<(), NotReady> {
    let mut me = Node::ready(me);
    let others: Vec<Other> = others.iter().map(|id| Other::new(id, 5)).collect();
    let all: Vec<&Other> = others.iter().collect();
    me.pass_with(12_000, &all);
    assert_eq!(me.roster.ready(), Ok(()));
    me.pass_with(7_000, &all[..heard]);
    let verdict = me.roster.ready();
    // It passes: those who are left are the members then.
    me.pass_with(10_000, &all[..heard]);
    assert_eq!(me.roster.ready(), Ok(()));
    verdict
}

#[test]
fn whoever_hears_fewer_than_half_is_not_ready_for_ten_seconds() {
    let verdict = split("n1", &["n2", "n3", "n4", "n5"], 1);
    let (heard, members) = (2, 5);
    assert_eq!(verdict, Err(NotReady::Minority { heard, members }));
    assert_eq!(split("n1", &["n2", "n3", "n4", "n5"], 2), Ok(()));
}

#[test]
fn of_two_halves_the_one_with_the_lowest_id_is_ready() {
    assert_eq!(split("n1", &["n2", "n3", "n4"], 1), Ok(()));
    let (heard, members) = (2, 4);
    assert_eq!(
        split("n2", &["n3", "n1", "n4"], 1),
        Err(NotReady::Minority { heard, members })
    );
    assert_eq!(split("n2", &["n1", "n3", "n4"], 1), Ok(()));
    let (heard, members) = (1, 2);
    assert_eq!(
        split("n2", &["n1"], 0),
        Err(NotReady::Minority { heard, members })
    );
    assert_eq!(split("n1", &["n2"], 0), Ok(()));
}

#[test]
fn members_that_said_bye_do_not_count() {
    let mut me = Node::ready("n3");
    let (n1, n2) = (Other::new("n1", 5), Other::new("n2", 5));
    me.pass_with(12_000, &[&n1, &n2]);
    me.hear(n1.bye());
    me.hear(n2.bye());
    assert_eq!(me.roster.ready(), Ok(()));
    me.pass(20_000);
    assert_eq!(me.roster.ready(), Ok(()));
}
