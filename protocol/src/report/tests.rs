//! Unit tests of delivery reports: who collects, when an answer is due, and that there is one.

use super::*;
use crate::millis::Millis;

fn node(name: &str) -> NodeId {
    NodeId::parse(name).expect("valid")
}

fn nodes(names: &[&str]) -> Vec<NodeId> {
    names.iter().map(|name| node(name)).collect()
}

fn report(clients: u64, nodes: u32, missing: u32) -> Report {
    Report {
        clients,
        nodes,
        missing,
    }
}

const NOW: Millis = Millis(1_000);

#[test]
fn f63_a_report_is_answered_in_the_moment_in_which_all_have_counted() {
    let mut collector = Collector::new(10);
    collector
        .open(1, "asker", nodes(&["a", "b", "c"]), NOW)
        .unwrap();
    collector.count(1, &node("b"), 2, NOW).unwrap();
    collector.count(1, &node("a"), 1, NOW).unwrap();
    assert_eq!(collector.take_answers(), []);
    collector.count(1, &node("c"), 0, NOW.plus(3)).unwrap();
    assert_eq!(collector.take_answers(), [("asker", report(3, 3, 0))]);
    assert!(collector.is_empty());
    assert_eq!(collector.next(), None);
}

#[test]
fn f63_who_has_not_counted_in_time_is_missing_and_comes_too_late_afterwards() {
    let mut collector = Collector::new(10);
    collector
        .open(1, "asker", nodes(&["a", "b", "c"]), NOW)
        .unwrap();
    collector.count(1, &node("a"), 1, NOW).unwrap();
    assert_eq!(collector.next(), Some(NOW.plus(WAIT_MS)));
    assert_eq!(collector.tick(NOW.plus(WAIT_MS - 1)), 0);
    assert_eq!(collector.take_answers(), []);
    assert_eq!(collector.tick(NOW.plus(WAIT_MS)), 0);
    assert_eq!(collector.take_answers(), [("asker", report(1, 1, 2))]);
    // What comes now opens nothing that would be answered again.
    let late = NOW.plus(WAIT_MS + 20);
    collector.count(1, &node("b"), 5, late).unwrap();
    assert_eq!(collector.tick(late.plus(WAIT_MS)), 1);
    assert_eq!(collector.take_answers(), []);
    assert!(collector.is_empty());
}

#[test]
fn f63_for_a_user_who_is_nowhere_the_answer_waits_a_moment_for_a_node_the_roster_lacks() {
    let mut collector = Collector::new(10);
    collector.open(1, "nobody", [], NOW).unwrap();
    collector.open(2, "just came", [], NOW).unwrap();
    collector.count(2, &node("a"), 1, NOW.plus(2)).unwrap();
    assert_eq!(collector.take_answers(), []);
    assert_eq!(collector.next(), Some(NOW.plus(SETTLE_MS)));
    collector.tick(NOW.plus(SETTLE_MS));
    assert_eq!(
        collector.take_answers(),
        [("nobody", report(0, 0, 0)), ("just came", report(1, 1, 0))]
    );
}

#[test]
fn counts_that_overtake_the_push_are_kept_for_it() {
    let mut collector = Collector::new(10);
    collector.count(1, &node("b"), 2, NOW).unwrap();
    collector
        .open(1, "asker", nodes(&["a", "b"]), NOW.plus(100))
        .unwrap();
    assert_eq!(collector.take_answers(), []);
    // Its time runs from the push on.
    collector.tick(NOW.plus(WAIT_MS));
    assert_eq!(collector.take_answers(), []);
    collector.count(1, &node("a"), 1, NOW.plus(300)).unwrap();
    assert_eq!(collector.take_answers(), [("asker", report(3, 2, 0))]);

    collector.count(2, &node("b"), 2, NOW).unwrap();
    collector
        .open(2, "all were early", nodes(&["b"]), NOW)
        .unwrap();
    assert_eq!(
        collector.take_answers(),
        [("all were early", report(2, 1, 0))]
    );
}

#[test]
fn a_node_that_the_roster_did_not_expect_counts_too() {
    let mut collector = Collector::new(10);
    collector.open(1, "asker", nodes(&["a"]), NOW).unwrap();
    collector.count(1, &node("x"), 1, NOW).unwrap();
    collector.count(1, &node("a"), 1, NOW).unwrap();
    assert_eq!(collector.take_answers(), [("asker", report(2, 2, 0))]);
}

#[test]
fn a_nodes_first_word_counts() {
    let mut collector = Collector::new(10);
    collector.open(1, "asker", nodes(&["a", "b"]), NOW).unwrap();
    for clients in [3, 4, u64::MAX] {
        collector.count(1, &node("a"), clients, NOW).unwrap();
    }
    collector.count(1, &node("b"), u64::MAX, NOW).unwrap();
    // Numbers from outside saturate.
    assert_eq!(
        collector.take_answers(),
        [("asker", report(u64::MAX, 2, 0))]
    );
}

#[test]
fn equal_requests_at_once_are_answered_one_by_one_with_the_same_numbers() {
    let mut collector = Collector::new(10);
    collector.open(1, "asker", nodes(&["a", "b"]), NOW).unwrap();
    collector.open(1, "asker", nodes(&["a", "b"]), NOW).unwrap();
    for _ in 0..2 {
        collector.count(1, &node("a"), 1, NOW).unwrap();
    }
    for _ in 0..2 {
        collector.count(1, &node("b"), 1, NOW).unwrap();
    }
    collector.tick(NOW.plus(WAIT_MS));
    assert_eq!(collector.take_answers(), [("asker", report(2, 2, 0)); 2]);
}

#[test]
fn reports_and_early_counts_are_bounded_and_give_their_room_back() {
    let mut collector = Collector::new(2);
    collector.open(1, "one", nodes(&["a"]), NOW).unwrap();
    collector.count(2, &node("a"), 1, NOW).unwrap();
    assert_eq!(collector.open(3, "three", [], NOW), Err(Full));
    assert_eq!(collector.count(3, &node("a"), 1, NOW), Err(Full));
    // What is under way is not touched by that.
    collector.open(2, "two", nodes(&["a"]), NOW).unwrap();
    assert_eq!(collector.take_answers(), [("two", report(1, 1, 0))]);
    collector.open(3, "three", [], NOW).unwrap();
    collector.tick(Millis::MAX);
    assert_eq!(collector.take_answers().len(), 2);
    assert!(collector.is_empty());
    assert_eq!(collector.next(), None);
}

#[test]
fn equal_requests_and_nodes_that_count_for_one_report_are_bounded() {
    let mut collector = Collector::new(10);
    let asked = (0..5_000).filter(|asker| collector.open(1, *asker, nodes(&["a"]), NOW).is_ok());
    assert_eq!(asked.count(), 1_024);
    let counts = |name: u32| collector.count(2, &node(&format!("n{name}")), 1, NOW);
    assert_eq!((0..5_000).map(counts).filter(Result::is_ok).count(), 1_024);
    collector.count(1, &node("a"), 3, NOW).unwrap();
    let answers = collector.take_answers();
    assert_eq!(answers.len(), 1_024);
    assert!(answers.iter().all(|(_, said)| *said == report(3, 1, 0)));
    collector.open(1, 7, nodes(&["a"]), NOW).unwrap();
}

#[test]
fn all_nodes_agree_who_is_first_whatever_order_they_know_each_other_in() {
    let mut known = nodes(&["n1", "n2", "n3", "n4"]);
    let mut firsts = std::collections::BTreeMap::<_, u32>::new();
    for user in 0..4_000 {
        let key = format!("user-{user}");
        let first = rendezvous(key.as_bytes(), &known).unwrap().clone();
        known.rotate_left(1);
        assert_eq!(rendezvous(key.as_bytes(), &known), Some(&first));
        *firsts.entry(first).or_default() += 1;
    }
    // Each has its share: a quarter is 1,000, five standard deviations are 137.
    for (node, share) in firsts {
        assert!((863..=1_137).contains(&share), "{node}: {share}");
    }
    assert_eq!(rendezvous(b"alice", []), None);
}

#[test]
fn a_node_that_goes_hands_only_its_own_users_on() {
    let all = nodes(&["n1", "n2", "n3"]);
    for user in 0..500 {
        let key = format!("user-{user}");
        let before = rendezvous(key.as_bytes(), &all).unwrap();
        let after = rendezvous(key.as_bytes(), &all[..2]).unwrap();
        assert!(before == after || *before == all[2], "{key}");
    }
}

#[test]
fn a_report_for_a_publisher_reads_as_it_was_written_and_nothing_else_does() {
    let one = report(7, 2, 1);
    assert_eq!(&*one.to_json(), br#"{"clients":7,"nodes":2,"missing":1}"#);
    let written = one.to_batch_json(300, 4);
    assert_eq!(&*written, b"[300,4,7,2,1]");
    assert_eq!(Report::from_batch_json(&written), Some((300, 4, one)));
    let huge = report(u64::MAX, 1, 0);
    let read = Report::from_batch_json(&huge.to_batch_json(u64::MAX, u16::MAX));
    assert_eq!(read, Some((u64::MAX, u16::MAX, huge)));
    let read = |text: &'static str| Report::from_batch_json(&Bytes::from_static(text.as_bytes()));
    assert_eq!(read("[300,4,7,2,1,\"later\"]"), Some((300, 4, one)));
    for bad in [
        "",
        "[",
        "[]",
        "[1,2,3,4]",
        "[1,-2,3,4,5]",
        "[1,65536,0,0,0]",
        "[1,2,3,4,4294967296]",
        "{}",
        "[\"1\",2,3,4,5]",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn names_of_different_reports_differ() {
    let ids = [
        id_of_request("_INBOX.a", 1, 0),
        id_of_request("_INBOX.b", 1, 0),
        id_of_request("_INBOX.a", 2, 0),
        id_of_request("_INBOX.a", 1, 1),
        id_in_batch(1, 1, 0),
        id_in_batch(1, 1, 1),
        id_in_batch(1, 2, 0),
        id_in_batch(2, 1, 0),
    ];
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn f63_the_second_in_line_takes_over_what_the_first_has_not_answered() {
    let mut standby = Standby::new(10);
    standby.stand_by(1, "answered", nodes(&["a"]), NOW);
    standby.stand_by(2, "orphan", nodes(&["a", "b"]), NOW);
    standby.stand_by(2, "equal", nodes(&["a", "b"]), NOW.plus(1));
    standby.answered(1, NOW.plus(3));
    assert_eq!(standby.next(), Some(NOW.plus(STANDBY_MS)));
    assert_eq!(standby.tick(NOW.plus(STANDBY_MS - 1)), []);
    let orphan = Orphan {
        id: 2,
        askers: ["orphan", "equal"].into_iter().collect(),
        expected: nodes(&["a", "b"]).into_iter().collect(),
    };
    assert_eq!(standby.tick(NOW.plus(STANDBY_MS)), [orphan]);
    assert!(standby.is_empty());
    assert_eq!(standby.next(), None);
}

#[test]
fn f63_a_first_one_whose_word_overtakes_the_push_is_not_answered_for_again() {
    let mut standby = Standby::new(10);
    standby.answered(1, NOW);
    standby.stand_by(1, "asker", nodes(&["a"]), NOW.plus(20));
    assert!(standby.is_empty(), "the word is used up");
    // And a word for a push that never comes is forgotten.
    standby.answered(2, NOW);
    assert_eq!(standby.tick(NOW.plus(1_999)), []);
    assert_eq!(standby.len(), 1);
    assert_eq!(standby.tick(NOW.plus(2_000)), []);
    assert!(standby.is_empty());
}

#[test]
fn f63_equal_requests_need_a_word_each_in_whatever_order() {
    // Both words overtake: neither push is answered for again.
    let mut standby = Standby::new(10);
    standby.answered(1, NOW);
    standby.answered(1, NOW);
    standby.stand_by(1, "one", nodes(&["a"]), NOW.plus(1));
    standby.stand_by(1, "other", nodes(&["a"]), NOW.plus(2));
    assert!(standby.is_empty());
    // One of them does.
    standby.stand_by(1, "one", nodes(&["a"]), NOW);
    standby.answered(1, NOW.plus(1));
    standby.answered(1, NOW.plus(1));
    standby.stand_by(1, "other", nodes(&["a"]), NOW.plus(2));
    assert!(standby.is_empty());
    // The first one has answered one, and dies.
    standby.stand_by(1, "equal", nodes(&["a"]), NOW);
    standby.stand_by(1, "equal", nodes(&["a"]), NOW);
    standby.answered(1, NOW.plus(1));
    let orphans = standby.tick(NOW.plus(STANDBY_MS));
    assert_eq!(orphans.len(), 1);
    assert_eq!(orphans[0].askers.as_slice(), ["equal"]);
}

#[test]
fn nobody_makes_a_second_in_line_keep_more_than_its_bound() {
    let mut standby = Standby::new(2);
    for id in 0..10 {
        standby.stand_by(id, "asker", nodes(&["a"]), NOW);
        standby.answered(100 + id, NOW);
    }
    assert_eq!(standby.len(), 2);
    assert_eq!(standby.tick(NOW.plus(STANDBY_MS)).len(), 1);
    standby.tick(NOW.plus(2_000));
    assert!(standby.is_empty());
    for _ in 0..5_000 {
        standby.stand_by(1, "equal", nodes(&["a"]), NOW);
    }
    assert_eq!(standby.tick(NOW.plus(STANDBY_MS))[0].askers.len(), 1_024);
}

#[test]
fn what_was_counted_is_remembered_for_two_seconds_and_within_its_bound() {
    let mut counted = Counted::new(3);
    for id in 0..5 {
        counted.remember(id, 10 + id as u64, NOW);
    }
    assert_eq!(
        [4, 0, 2].map(|id| counted.of(id)),
        [Some(14), None, Some(12)]
    );
    // An equal request a second later is remembered from then on, and no number twice.
    counted.remember(4, 24, NOW.plus(1_000));
    counted.remember(9, 19, NOW.plus(2_000));
    assert_eq!(
        [2, 4, 9].map(|id| counted.of(id)),
        [None, Some(24), Some(19)]
    );
    counted.remember(10, 20, NOW.plus(3_000));
    assert_eq!([4, 9].map(|id| counted.of(id)), [None, Some(19)]);
}

#[test]
fn the_second_in_line_is_who_would_be_first_without_the_first() {
    let all = nodes(&["n1", "n2", "n3", "n4", "n5"]);
    for n in 0..100 {
        let key = format!("user-{n}");
        let (first, second) = rendezvous_two(key.as_bytes(), &all).unwrap();
        let others: Vec<_> = all.iter().filter(|node| *node != first).cloned().collect();
        assert_eq!(second, rendezvous(key.as_bytes(), &others), "{key}");
        assert_eq!(Some(first), rendezvous(key.as_bytes(), &all), "{key}");
    }
    assert_eq!(rendezvous_two(b"alone", &all[..1]), Some((&all[0], None)));
    assert_eq!(rendezvous_two(b"nobody", &[]), None);
}
