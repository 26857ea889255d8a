//! A follower that has the base already is told so, and believes it only of what it asked about.

use std::collections::BTreeSet;

use super::view::{node, uid};
use crate::ids::Uid;
use crate::millis::Millis;
use crate::presence::{Epoch, Feed, Follower, Said, Stream, ToldPage, ToldRequest};

fn stream(teller: &str) -> Stream {
    Stream {
        teller: node(teller),
        epoch: Epoch(1),
    }
}

fn change(from: &str, n: u64, name: &str, comes: bool) -> Feed {
    let (here, nobody) = (vec![uid(name)], Vec::new());
    let (opens, closes) = if comes {
        (here, nobody)
    } else {
        (nobody, here)
    };
    Feed {
        stream: stream(from),
        n,
        handled: n,
        said: Said::Change { opens, closes },
    }
}

fn page(from: &str, n: u64, names: &[&str]) -> ToldPage {
    ToldPage {
        stream: stream(from),
        n,
        same: false,
        uids: names.iter().map(|name| uid(name)).collect(),
        next: None,
    }
}

fn same(n: u64, next: Option<&str>) -> ToldPage {
    ToldPage {
        same: true,
        next: next.map(uid),
        ..page("n1", n, &[])
    }
}

struct World {
    follower: Follower,
    copy: BTreeSet<Uid>,
}

impl World {
    /// It has these users, and asks anew.
    fn asking(names: &[&str]) -> (World, u64, ToldRequest) {
        let mut world = World {
            follower: Follower::new(None, 1, Millis(0)),
            copy: names.iter().map(|name| uid(name)).collect(),
        };
        let (ask, request) = world.ask();
        (world, ask, request)
    }

    fn ask(&mut self) -> (u64, ToldRequest) {
        let asks = self.follower.take_ask(&self.copy, Millis(3));
        asks.expect("it asks")
    }

    fn hear(&mut self, feed: &Feed) {
        self.follower.hear(feed, &mut self.copy, Millis(2));
    }

    fn land(&mut self, ask: u64, page: &ToldPage) {
        self.follower
            .answered(ask, Ok(page), &mut self.copy, Millis(3));
    }

    fn has(&self) -> Vec<&str> {
        self.copy.iter().map(Uid::as_str).collect()
    }
}

#[test]
fn who_has_nobody_asks_for_pages_and_who_has_somebody_says_whom() {
    let (_, _, request) = World::asking(&[]);
    assert_eq!(request, ToldRequest::default(), "as it always was");
    let (mut world, ask, request) = World::asking(&["alice", "bob"]);
    assert_eq!(request.have.expect("says it").all.users, 2);
    world.land(ask, &same(5, None));
    assert!(world.follower.is_whole());
    assert_eq!(world.has(), ["alice", "bob"]);
    // And goes on after that number.
    world.hear(&change("n1", 5, "bob", false));
    world.hear(&change("n1", 6, "carol", true));
    assert_eq!(world.has(), ["alice", "bob", "carol"]);
}

#[test]
fn a_node_that_does_not_know_the_question_answers_by_a_page() {
    let (mut world, ask, _) = World::asking(&["alice", "bob"]);
    world.land(ask, &page("n1", 5, &["alice", "carol"]));
    assert!(world.follower.is_whole());
    assert_eq!(world.has(), ["alice", "carol"]);
}

#[test]
fn the_same_counts_with_what_was_told_after_it() {
    let (mut world, ask, _) = World::asking(&["alice"]);
    world.hear(&change("n1", 6, "bob", true));
    world.land(ask, &same(5, None));
    assert!(world.follower.is_whole());
    assert_eq!(world.has(), ["alice", "bob"]);
}

#[test]
fn the_same_does_not_count_when_something_of_before_has_come_in_since_it_was_asked() {
    // Asked with alice there; 4 says that she went, 5 that she came, and only 4 is here.
    let (mut world, ask, _) = World::asking(&["alice"]);
    world.hear(&change("n1", 4, "alice", false));
    world.land(ask, &same(5, None));
    assert!(!world.follower.is_whole());
    let (ask, request) = world.ask();
    assert_eq!(request.have, None, "now it wants to see");
    world.land(ask, &page("n1", 5, &["alice"]));
    assert!(world.follower.is_whole());
    world.hear(&change("n1", 5, "alice", true));
    assert_eq!(world.has(), ["alice"]);
}

#[test]
fn the_same_does_not_count_when_another_teller_has_said_something_since() {
    for before in [true, false] {
        let (mut world, ask, _) = World::asking(&["alice"]);
        if before {
            world.hear(&change("n1", 6, "bob", true));
        }
        world.hear(&change("n2", 9, "alice", false));
        world.land(ask, &same(5, None));
        assert!(!world.follower.is_whole());
    }
}

#[test]
fn the_same_does_not_count_when_it_was_not_asked_for() {
    let (mut world, ask, _) = World::asking(&[]);
    world.hear(&change("n1", 6, "bob", true));
    world.land(ask, &same(5, None));
    assert!(!world.follower.is_whole());
    let again = world.follower.next();
    let asks = world.follower.take_ask(&world.copy, again);
    assert!(asks.is_some(), "it asks again");
}

#[test]
fn a_follower_asks_about_more_ranges_the_more_are_the_same() {
    let names: Vec<String> = (0..70_000).map(|n| format!("u{n:06}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut world, ask, request) = World::asking(&names);
    let ranges = |request: &ToldRequest| request.have.as_ref().map_or(0, |it| it.upto.len());
    assert_eq!(ranges(&request), 16);
    world.land(ask, &same(5, Some("u000099")));
    let (ask, request) = world.ask();
    assert_eq!(request.after, Some(uid("u000099")));
    assert_eq!(ranges(&request), 16);
    let other = ToldPage {
        next: Some(uid("u000200")),
        ..page("n1", 5, &["u000150"])
    };
    world.land(ask, &other);
    assert_eq!(world.copy.len(), 70_000 - 100, "its range is replaced");
    for (next, expected) in [("u000300", 1), ("u000400", 2), ("u000500", 4)] {
        let (ask, request) = world.ask();
        assert_eq!(ranges(&request), expected);
        world.land(ask, &same(5, Some(next)));
    }
}
