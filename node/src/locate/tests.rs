//! What is remembered of places, for how long, and how much.

use super::*;

fn session(number: u128) -> SessionId {
    SessionId::new(&node("n1"), number.to_le_bytes())
}

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

const TTL: Duration = Duration::from_secs(60);

#[test]
fn a_place_is_believed_for_a_ttl_after_it_was_last_right() {
    let locate = Locate::new(TTL);
    let at = |second: u64| Millis(second * 1_000);
    assert_eq!(locate.remembered(&session(1), at(0)), None);
    locate.found(&session(1), &node("n2"), at(0));
    assert_eq!(locate.remembered(&session(1), at(59)), Some(node("n2")));
    assert_eq!(locate.remembered(&session(1), at(60)), None);
    locate.found(&session(1), &node("n3"), at(59));
    assert_eq!(locate.remembered(&session(1), at(100)), Some(node("n3")));
    locate.lost(&session(1));
    assert_eq!(locate.remembered(&session(1), at(100)), None);
    assert_eq!(locate.len(), 0);
}

#[test]
fn no_more_places_are_remembered_than_the_bound_and_the_newest_stay() {
    let locate = Locate::bounded(TTL, 100);
    for number in 0..1_000 {
        locate.found(&session(number), &node("n2"), Millis(0));
        assert!(locate.len() <= 100, "{number}");
    }
    for number in 950..1_000 {
        let place = locate.remembered(&session(number), Millis(1));
        assert_eq!(place, Some(node("n2")), "{number}");
    }
}

#[test]
fn old_places_go_without_being_asked_for() {
    let locate = Locate::bounded(TTL, 100);
    locate.found(&session(1), &node("n2"), Millis(0));
    locate.found(&session(2), &node("n2"), Millis(60_000));
    locate.found(&session(3), &node("n2"), Millis(120_000));
    assert_eq!(locate.len(), 2);
}
