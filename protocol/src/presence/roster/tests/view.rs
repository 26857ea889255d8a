//! The merged view: counts, places, pages and diffs are those of a plain map, whatever happens.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::transport::Transport;

#[test]
fn f50_a_user_is_everywhere_at_once_and_counted_once() {
    let mut me = Node::ready("n1");
    let (mut n2, mut n3) = (Other::new("n2", 5), Other::new("n3", 5));
    me.hear(n2.delta(&[("alice", WS), ("bob", POLL)]));
    me.hear(n3.delta(&[("alice", POLL), ("carol", BOTH)]));
    me.roster
        .own(Epoch(1_000), 1, &[(uid("alice"), WS)], [0; 2], me.now);
    let counts = me.roster.counts();
    assert_eq!((counts.ws, counts.poll, counts.any), (2, 3, 3));
    assert_eq!(
        me.view(),
        [
            "alice:ws and poll@n1+n2+n3",
            "bob:poll@n2",
            "carol:ws and poll@n3"
        ]
    );
    let mut places: Vec<_> = me.roster.uid(&uid("alice")).collect();
    places.sort_unstable_by_key(|(node, _)| node.as_str());
    assert_eq!(
        places,
        [(&node("n1"), WS), (&node("n2"), WS), (&node("n3"), POLL)]
    );
    me.hear(n3.delta(&[("alice", GONE)]));
    assert_eq!(me.roster.kinds(&uid("alice")), WS);
}

#[test]
fn f51_diffs_say_what_changed_and_nothing_else() {
    let mut me = Node::ready("n1");
    let (mut n2, mut n3) = (Other::new("n2", 5), Other::new("n3", 5));
    me.hear(n2.delta(&[("alice", WS), ("bob", POLL)]));
    let (alice, bob) = ("alice".to_owned(), "bob".to_owned());
    assert_eq!(
        me.diffs(),
        [(alice.clone(), GONE, WS), (bob.clone(), GONE, POLL)]
    );
    me.hear(n2.delta(&[("alice", WS)]));
    assert_eq!(me.diffs(), [], "no no-ops");
    me.hear(n3.delta(&[("alice", WS)]));
    assert_eq!(me.diffs(), [(alice, WS, WS)], "only the nodes are others");
    me.hear(n2.delta(&[("bob", BOTH)]));
    me.hear(n2.delta(&[("bob", GONE)]));
    assert_eq!(me.diffs(), [(bob, POLL, GONE)], "each once");
}

#[test]
fn pages_are_in_order_and_go_on_where_they_ended_also_by_one_transport() {
    let mut me = Node::ready("n1");
    let mut n2 = Other::new("n2", 5);
    let users: Vec<String> = (0..9_000).map(|n| format!("u{n:04}")).collect();
    let kinds = |n: usize| if n % 4_000 == 3_999 { POLL } else { WS };
    let changes = users.iter().enumerate();
    let changes: Vec<_> = changes.map(|(n, user)| (user.as_str(), kinds(n))).collect();
    me.hear(n2.delta(&changes));
    let all = |limit: usize, only: Option<Transport>| {
        let (mut after, mut all, mut pages) = (None, Vec::new(), 0);
        loop {
            let page = me.roster.page(after.as_ref(), limit, only);
            assert!(page.users.len() <= limit);
            all.extend(page.users.into_iter().map(|(user, _)| user.to_string()));
            pages += 1;
            after = page.next;
            if after.is_none() {
                return (all, pages);
            }
        }
    };
    assert_eq!(all(1_000, None), (users.clone(), 9));
    let (poll, pages) = all(2, Some(Transport::Poll));
    assert_eq!(poll, ["u3999", "u7999"]);
    assert!(pages > 1, "no page walks over everybody");
    assert_eq!(me.roster.page(Some(&uid("u8999")), 10, None).users, []);
    let page = me.roster.page(Some(&uid("u8989x")), 10, None);
    assert_eq!((page.users.len(), page.next), (10, None));
}

#[test]
fn a_beat_says_what_the_others_will_compare() {
    let mut me = Node::ready("n1");
    let mut same = Other::new("n1", 1_000);
    same.delta(&[("alice", WS), ("bob", WS), ("carol", POLL)]);
    same.delta(&[("alice", GONE), ("bob", BOTH)]);
    for delta in same.said.clone() {
        me.roster
            .own(delta.epoch, delta.seq, &delta.changes, [1, 2], me.now);
    }
    let ours = me.beat();
    assert_eq!((ours.seq, ours.users, ours.digest), {
        let theirs = same.beat_itself();
        (theirs.seq, theirs.users, theirs.digest)
    });
    assert_eq!((ours.anonymous, ours.ready), ([1, 2], true));
}

#[derive(Clone, Debug)]
enum Step {
    Change(usize, Vec<(String, u64)>),
    /// A delta that this node does not hear.
    Lose(usize, Vec<(String, u64)>),
    Beat(usize),
    Restart(usize),
    Bye(usize),
    Told(String, bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let changes = || vec(("[a-f]{1,2}", 0u64..4), 1..6);
    prop_oneof![
        8 => (0usize..3, changes()).prop_map(|(n, list)| Step::Change(n, list)),
        2 => (0usize..3, changes()).prop_map(|(n, list)| Step::Lose(n, list)),
        2 => (0usize..3).prop_map(Step::Beat),
        1 => (0usize..3).prop_map(Step::Restart),
        1 => (0usize..3).prop_map(Step::Bye),
        2 => ("[a-f]{1,2}", any::<bool>()).prop_map(|(user, told)| Step::Told(user, told)),
        2 => (0u64..8_000).prop_map(Step::Pass),
    ]
}

fn delta(other: &mut Other, list: &[(String, u64)]) -> Message {
    let kinds = |code: &u64| Kinds::from_code(*code).expect("below 4");
    let list: Vec<_> = list
        .iter()
        .map(|(user, code)| (user.as_str(), kinds(code)))
        .collect();
    other.delta(&list)
}

/// What is kept agrees with what a walk over all rows finds.
fn consistent(me: &Node) {
    let page = me.roster.page(None, 10_000, None);
    let has = |which| {
        page.users
            .iter()
            .filter(|(_, kinds)| kinds.has(which))
            .count()
    };
    let counts = me.roster.counts();
    let found = (has(Transport::Ws), has(Transport::Poll), page.users.len());
    assert_eq!((counts.ws, counts.poll, counts.any), found);
    let there: Vec<&Uid> = page.users.iter().map(|(user, _)| user).collect();
    let told = me.roster.told_page(None, 10_000).users;
    let mut differ: Vec<(&Uid, bool)> = Vec::new();
    differ.extend(
        there
            .iter()
            .filter(|user| !told.contains(user))
            .map(|user| (*user, true)),
    );
    differ.extend(
        told.iter()
            .filter(|user| !there.contains(user))
            .map(|user| (user, false)),
    );
    differ.sort_unstable();
    let differ: Vec<(&str, bool)> = differ
        .iter()
        .map(|(u, there)| (u.as_str(), *there))
        .collect();
    let kept: Vec<(&str, bool)> = me
        .roster
        .differing()
        .map(|(u, _, there)| (u, there))
        .collect();
    assert_eq!(kept, differ);
    for user in there {
        let places: Vec<_> = me.roster.uid(user).collect();
        let mut nodes: Vec<_> = places.iter().map(|(node, _)| node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        assert_eq!(nodes.len(), places.len(), "{user} twice on one node");
        let union = places
            .iter()
            .fold(GONE, |all, (_, kinds)| all.union(*kinds));
        assert_eq!(union, me.roster.kinds(user));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens_the_view_is_consistent_and_in_the_end_the_truth(steps in vec(step(), 1..60)) {
        let mut me = Node::ready("n1");
        let mut watched: BTreeMap<String, Kinds> = BTreeMap::new();
        let mut others: Vec<Other> = (2u64..5).map(|n| Other::new(&format!("n{n}"), n)).collect();
        for step in &steps {
            match step {
                Step::Change(n, list) => {
                    let message = delta(&mut others[*n], list);
                    me.hear(message);
                }
                Step::Lose(n, list) => drop(delta(&mut others[*n], list)),
                Step::Beat(n) => drop(me.hear(others[*n].beat())),
                Step::Restart(n) => {
                    let id = others[*n].id.to_string();
                    others[*n] = Other::new(&id, others[*n].epoch + 10);
                }
                Step::Bye(n) => {
                    me.hear(others[*n].bye());
                    let id = others[*n].id.to_string();
                    others[*n] = Other::new(&id, others[*n].epoch + 10);
                }
                Step::Told(user, told) => me.roster.set_told(&uid(user), *told, me.now),
                Step::Pass(millis) => me.pass(*millis),
            }
            for (id, ask) in me.roster.take_asks(me.now) {
                let other = others.iter().find(|other| other.id == id).expect("known");
                me.roster.answered(&id, Ok(other.answer(&ask, 3)), me.now);
            }
            for (user, before, now) in me.diffs() {
                let known = watched.remove(&user).unwrap_or(GONE);
                prop_assert_eq!(known, before, "{}", user);
                if !now.is_none() {
                    watched.insert(user, now);
                }
            }
            consistent(&me);
        }
        for _ in 0..4 {
            let all: Vec<&Other> = others.iter().collect();
            me.pass_with(2_000, &all);
            me.sync(&all);
        }
        let all: Vec<&Other> = others.iter().collect();
        me.pass_with(8_000, &all);
        consistent(&me);
        let mut truth: BTreeMap<String, Kinds> = BTreeMap::new();
        for (user, kinds) in others.iter().flat_map(|other| &other.users) {
            let known = truth.entry(user.clone()).or_insert(GONE);
            *known = known.union(*kinds);
        }
        let view = me.roster.page(None, 10_000, None).users;
        let view: BTreeMap<_, _> = view.into_iter().map(|(u, kinds)| (u.to_string(), kinds)).collect();
        prop_assert_eq!(view, truth);
    }
}
