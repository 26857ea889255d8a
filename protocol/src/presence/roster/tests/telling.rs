//! Who tells, and what it owes: a flag of each row, and the users whose flag is not as the view.

use super::*;

fn differing(me: &Node) -> Vec<(String, u64, bool)> {
    let differing = me.roster.differing();
    let owed = differing.map(|(uid, since, there)| (uid.to_string(), me.now.0 - since.0, there));
    owed.collect()
}

fn told(me: &Node) -> Vec<String> {
    let page = me.roster.told_page(None, 100);
    page.users.iter().map(Uid::to_string).collect()
}

#[test]
fn the_ready_node_of_the_lowest_epoch_tells_and_of_equals_that_of_the_lowest_id() {
    let mut me = Node::ready("n3");
    assert_eq!(me.roster.teller(), Some(&node("n3")));
    let mut first = Other::new("n9", 999);
    first.ready = false;
    me.hear(first.beat());
    me.hear(Other::new("n1", 1_001).beat());
    assert_eq!(
        me.roster.teller(),
        Some(&node("n3")),
        "a joiner never takes over"
    );
    me.hear(Other::new("n2", 1_000).beat());
    assert_eq!(me.roster.teller(), Some(&node("n2")));
    first.ready = true;
    me.hear(first.beat());
    assert_eq!(me.roster.teller(), Some(&node("n9")));
    me.hear(first.bye());
    assert_eq!(me.roster.teller(), Some(&node("n2")));
}

#[test]
fn a_node_that_is_not_ready_does_not_think_that_it_tells() {
    let mut me = Node::ready("n1");
    me.roster.bus(false, me.now);
    assert_eq!(me.roster.teller(), None);
    me.hear(Other::new("n2", 5_000).beat());
    assert_eq!(me.roster.teller(), Some(&node("n2")));
}

#[test]
fn whoever_is_there_and_not_told_or_told_and_not_there_is_owed_since_it_began() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    me.hear(n2.delta(&[("alice", WS), ("bob", WS)]));
    me.pass_with(100, &[&n2]);
    let there = |name: &str, since| (name.to_owned(), since, true);
    assert_eq!(differing(&me), [there("alice", 100), there("bob", 100)]);
    me.roster.set_told(&uid("alice"), true, me.now);
    assert_eq!(differing(&me), [there("bob", 100)]);
    me.hear(n2.delta(&[("alice", GONE), ("bob", GONE)]));
    assert_eq!(differing(&me), [("alice".to_owned(), 0, false)]);
    assert_eq!(told(&me), ["alice"]);
    me.roster.set_told(&uid("alice"), false, me.now);
    assert_eq!((differing(&me), told(&me)), (vec![], vec![]));
    assert_eq!(
        me.roster.view.rows.after(None).count(),
        0,
        "nothing is left of them"
    );
}

#[test]
fn another_transport_or_node_is_nothing_to_tell() {
    let mut me = Node::ready("n1");
    let (mut n2, mut n3) = (Other::new("n2", 5), Other::new("n3", 5));
    me.hear(n2.delta(&[("alice", WS)]));
    me.roster.set_told(&uid("alice"), true, me.now);
    me.hear(n2.delta(&[("alice", POLL)]));
    me.hear(n3.delta(&[("alice", WS)]));
    me.hear(n2.delta(&[("alice", GONE)]));
    assert_eq!(differing(&me), []);
}

#[test]
fn whoever_is_told_and_nowhere_is_remembered_until_that_is_told() {
    let mut me = Node::ready("n1");
    me.roster.set_told(&uid("ghost"), true, me.now);
    assert!(me.roster.is_told(&uid("ghost")));
    assert_eq!((me.view(), me.roster.counts().any), (vec![], 0));
    assert_eq!(differing(&me), [("ghost".to_owned(), 0, false)]);
    let mut n2 = Other::new("n2", 5);
    me.hear(n2.delta(&[("ghost", WS)]));
    assert_eq!(differing(&me), []);
}

#[test]
fn a_page_of_the_base_replaces_its_range_and_nothing_else() {
    let mut me = Node::ready("n1");
    for name in ["a", "b", "c", "d", "e"] {
        me.roster.set_told(&uid(name), true, me.now);
    }
    let list = [uid("bb"), uid("c"), uid("zz")];
    let (after, until) = (uid("a"), uid("d"));
    me.roster
        .retain_told_in(Some(&after), Some(&until), &list, me.now);
    assert_eq!(told(&me), ["a", "bb", "c", "e"]);
    me.roster
        .retain_told_in(Some(&uid("c")), None, &[uid("f")], me.now);
    assert_eq!(told(&me), ["a", "bb", "c", "f"]);
    me.roster.retain_told_in(None, None, &[], me.now);
    assert_eq!((told(&me), differing(&me)), (vec![], vec![]));
}

#[test]
fn pages_of_the_told_go_on_where_they_ended() {
    let mut me = Node::ready("n1");
    for n in 0..25 {
        me.roster.set_told(&uid(&format!("u{n:02}")), true, me.now);
    }
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = me.roster.told_page(after.as_ref(), 10);
        all.extend(page.users);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(all.len(), 25);
    assert!(all.is_sorted());
}
