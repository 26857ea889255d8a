//! One step after another: what a teller says and when, and what a follower makes of it.

use std::collections::BTreeSet;

use super::view::{View, node, uid};
use super::world::World;
use crate::ids::Uid;
use crate::millis::Millis;
use crate::presence::{
    Differs, Epoch, Feed, FeedAction, Followed, Follower, Said, Stream, Telling, Told, ToldPage,
    Unanswered,
};

fn stream(name: &str) -> Stream {
    let (teller, epoch) = (node(name), Epoch(7));
    Stream { teller, epoch }
}

fn message(from: &Stream, n: u64, said: Said) -> Feed {
    Feed {
        stream: from.clone(),
        n,
        handled: n,
        said,
    }
}

fn opens(from: &Stream, n: u64, name: &str) -> Feed {
    let (opens, closes) = (vec![uid(name)], vec![]);
    message(from, n, Said::Change { opens, closes })
}

fn closes(from: &Stream, n: u64, name: &str) -> Feed {
    let (opens, closes) = (vec![], vec![uid(name)]);
    message(from, n, Said::Change { opens, closes })
}

fn page(from: &Stream, n: u64, names: &[&str], next: Option<&str>) -> ToldPage {
    ToldPage {
        stream: from.clone(),
        n,
        same: false,
        uids: names.iter().map(|name| uid(name)).collect(),
        next: next.map(uid),
    }
}

/// A follower that waits for its first page, and its copy.
fn loading(now: Millis) -> (Follower, BTreeSet<Uid>) {
    let (mut follower, copy) = (Follower::new(None, 1, now), BTreeSet::new());
    assert!(follower.take_ask(&copy, now).is_some());
    (follower, copy)
}

/// One that follows `n1` after its number 5.
fn following(now: Millis) -> (Follower, BTreeSet<Uid>) {
    let (mut follower, mut copy) = loading(now);
    let base = page(&stream("n1"), 5, &["alice"], None);
    follower.answered(1, Ok(&base), &mut copy, now);
    assert!(follower.is_whole());
    (follower, copy)
}

fn names(copy: &BTreeSet<Uid>) -> Vec<&str> {
    copy.iter().map(Uid::as_str).collect()
}

fn published(telling: &mut Telling) -> Vec<Feed> {
    let feed = telling
        .take_actions()
        .into_iter()
        .filter_map(|action| match action {
            FeedAction::Publish(body) => Some(Feed::decode(&body).expect("what a teller writes")),
            _ => None,
        });
    feed.collect()
}

#[test]
fn a_new_teller_waits_two_seconds_says_reload_and_then_only_what_differs() {
    let me = node("n1");
    let mut telling = Telling::new(me.clone(), false, 1, Millis(0));
    let mut view = View::default();
    for name in ["alice", "bob"] {
        view.announce(&uid(name), true, Millis(0));
    }
    let former = stream("n0");
    view.gone.insert(node("n0"));
    let known = opens(&former, 3, "alice").encode();
    telling
        .heard(&known, &mut view, Millis(0))
        .expect("a message");
    for now in [0, 1_000, 1_999] {
        telling.tick(Some(&me), Epoch(7), &mut view, Millis(now));
        assert_eq!(published(&mut telling), [], "{now}");
        assert!(!telling.is_telling());
    }
    telling.tick(Some(&me), Epoch(7), &mut view, Millis(2_000));
    let said: Vec<Said> = published(&mut telling)
        .into_iter()
        .map(|feed| feed.said)
        .collect();
    let (opens, closes) = (vec![uid("bob")], vec![]);
    assert_eq!(said, [Said::Reload, Said::Change { opens, closes }]);
    telling.tick(Some(&me), Epoch(7), &mut view, Millis(6_999));
    assert_eq!(published(&mut telling), []);
    telling.tick(Some(&me), Epoch(7), &mut view, Millis(7_000));
    let mark = published(&mut telling);
    assert_eq!(mark, [message(&stream("n1"), 2, Said::Mark)], "every 5 s");
}

#[test]
fn who_hears_an_elder_tell_does_not_tell_until_it_is_gone_or_silent_for_longer_than_its_marks() {
    let me = node("n1");
    let tells = |elder: &Stream, gone: bool| {
        let mut telling = Telling::new(me.clone(), false, 1, Millis(0));
        let mut view = View::default();
        if gone {
            view.gone.insert(elder.teller.clone());
        }
        let mut began = None;
        for now in (0..20_000).step_by(100).map(Millis) {
            telling.tick(Some(&me), Epoch(7), &mut view, now);
            if telling.is_telling() && began.is_none() {
                began = Some(now.0);
                let mark = message(elder, 9, Said::Mark).encode();
                telling.heard(&mark, &mut view, now).expect("a mark");
                telling.tick(Some(&me), Epoch(7), &mut view, now);
                if telling.is_telling() {
                    return (began, began);
                }
            } else if telling.is_telling() {
                return (began, Some(now.0));
            }
        }
        (began, None)
    };
    let elder = Stream {
        epoch: Epoch(6),
        ..stream("n2")
    };
    // Six seconds after its mark, and the two that a new teller waits.
    assert_eq!(tells(&elder, false), (Some(2_000), Some(10_000)));
    assert_eq!(tells(&elder, true), (Some(2_000), Some(2_000)));
    assert_eq!(
        tells(&stream("n0"), false),
        (Some(2_000), Some(10_000)),
        "of equals the lower id"
    );
    assert_eq!(
        tells(&stream("n2"), false),
        (Some(2_000), Some(2_000)),
        "it is to yield itself"
    );
}

#[test]
fn a_joining_node_tells_nothing_and_a_node_that_comes_back_only_what_is_new() {
    let mut world = World::new(1, 3, 1);
    world.run(6_000);
    world.change("alice", true);
    world.run(1_000);
    let before = world.told.len();
    // It joins, and learns what is told before it is its turn.
    world.kill(2);
    world.run(5_000);
    world.restart(2);
    world.run(9_000);
    let new: Vec<&Feed> = world.told[before..].iter().collect();
    assert!(new.iter().all(|feed| feed.said == Said::Mark), "{new:?}");
    // The teller dies, and the next one has nothing to tell but the reload.
    world.kill(0);
    world.run(9_000);
    let changes = world.told[before..].iter();
    let changes = changes.filter(|feed| matches!(feed.said, Said::Change { .. }));
    assert_eq!(changes.count(), 0);
    world.change("alice", false);
    world.run(1_000);
    world.check("after all");
}

#[test]
fn what_a_dead_teller_told_and_did_not_handle_its_successor_handles() {
    let mut world = World::new(2, 3, 0);
    world.run(6_000);
    world.change("alice", true);
    world.until(|world| !world.nodes[0].ran.is_empty());
    world.run(6_000);
    world.nodes[0].runs = false;
    world.change("alice", false);
    world.change("bob", true);
    world.run(6_000);
    world.kill(0);
    world.until(|world| world.nodes[1].telling.is_telling());
    world.run(100);
    let told = [(uid("bob"), true), (uid("alice"), false)];
    assert_eq!(
        world.nodes[1].ran, told,
        "not those that its marks said are handled"
    );
    // And a third owes nothing any more.
    world.run(6_000);
    world.kill(1);
    world.until(|world| world.nodes[2].telling.is_telling());
    world.run(100);
    assert_eq!(world.nodes[2].ran, []);
}

#[test]
fn a_successor_that_dies_before_it_has_handled_what_it_inherited_leaves_it_to_the_next() {
    let mut world = World::new(3, 3, 0);
    world.run(6_000);
    world.nodes[0].runs = false;
    world.nodes[1].runs = false;
    world.change("alice", true);
    world.run(1_000);
    world.kill(0);
    world.until(|world| world.nodes[1].telling.is_telling());
    world.run(6_000);
    world.kill(1);
    world.until(|world| world.nodes[2].telling.is_telling());
    world.run(100);
    assert_eq!(world.nodes[2].ran, [(uid("alice"), true)]);
}

#[test]
fn a_teller_that_leaves_says_what_is_handled_so_that_no_handler_runs_twice() {
    let mut world = World::new(4, 2, 0);
    world.run(6_000);
    world.change("alice", true);
    world.run(500);
    assert_eq!(world.nodes[0].ran.len(), 1);
    world.nodes[0].telling.leave();
    world.run(100);
    world.kill(0);
    world.until(|world| world.nodes[1].telling.is_telling());
    world.run(100);
    assert_eq!(world.nodes[1].ran, []);
}

#[test]
fn what_is_said_while_the_base_loads_stands_over_the_pages_made_before() {
    let (mut follower, mut copy) = loading(Millis(0));
    let teller = stream("n1");
    follower.hear(&opens(&teller, 6, "carol"), &mut copy, Millis(1));
    follower.hear(&closes(&teller, 7, "alice"), &mut copy, Millis(2));
    let first = page(&teller, 5, &["alice", "bob"], Some("bob"));
    follower.answered(1, Ok(&first), &mut copy, Millis(3));
    assert!(!follower.is_whole());
    assert_eq!(
        follower
            .take_ask(&copy, Millis(3))
            .map(|(_, ask)| ask.after),
        Some(Some(uid("bob")))
    );
    // Made before carol came, although it was asked for later.
    let second = page(&teller, 5, &["dave"], None);
    follower.answered(2, Ok(&second), &mut copy, Millis(4));
    assert!(follower.is_whole());
    assert_eq!(names(&copy), ["bob", "carol", "dave"]);
    assert_eq!(
        follower.hear(&opens(&teller, 8, "erin"), &mut copy, Millis(5)),
        Followed::Applied
    );
}

#[test]
fn a_base_with_a_hole_behind_it_is_loaded_again() {
    let (mut follower, mut copy) = loading(Millis(0));
    let teller = stream("n1");
    follower.hear(&opens(&teller, 8, "carol"), &mut copy, Millis(1));
    // 6 and 7 came before this follower listened: what they said of alice is nowhere.
    follower.answered(
        1,
        Ok(&page(&teller, 5, &["alice"], None)),
        &mut copy,
        Millis(2),
    );
    assert!(!follower.is_whole());
    let (ask, _) = follower.take_ask(&copy, Millis(2_000)).expect("asks again");
    follower.answered(
        ask,
        Ok(&page(&teller, 8, &["carol"], None)),
        &mut copy,
        Millis(2_001),
    );
    assert!(follower.is_whole());
    assert_eq!(names(&copy), ["carol"]);
}

#[test]
fn pages_that_cannot_follow_each_other_are_not_put_together() {
    let teller = stream("n1");
    let odd = [
        page(&stream("n2"), 5, &["carol"], None),
        page(&teller, 4, &["carol"], None),
        page(&teller, 5, &["alice"], None),
        page(&teller, 5, &[], Some("bob")),
    ];
    for second in odd {
        let (mut follower, mut copy) = loading(Millis(0));
        let first = page(&teller, 5, &["alice", "bob"], Some("bob"));
        follower.answered(1, Ok(&first), &mut copy, Millis(1));
        follower
            .take_ask(&copy, Millis(1))
            .expect("the second page");
        follower.answered(2, Ok(&second), &mut copy, Millis(2));
        assert!(!follower.is_whole(), "{second:?}");
        let (_, ask) = follower
            .take_ask(&copy, Millis(10_000))
            .expect("asks again");
        assert_eq!(ask.after, None, "from the beginning");
    }
}

#[test]
fn an_answer_to_an_earlier_question_is_not_taken_for_the_first_page() {
    let (mut follower, mut copy) = loading(Millis(0));
    copy.insert(uid("alice"));
    follower.bus(true, Millis(1));
    let (second, _) = follower.take_ask(&copy, Millis(1)).expect("asks anew");
    follower.answered(
        1,
        Ok(&page(&stream("n1"), 5, &["bob"], None)),
        &mut copy,
        Millis(2),
    );
    assert_eq!(names(&copy), ["alice"]);
    follower.answered(second, Err(Unanswered::Late), &mut copy, Millis(3));
    assert!(
        follower.take_ask(&copy, Millis(3)).is_none(),
        "with patience"
    );
    assert!(follower.take_ask(&copy, follower.next()).is_some());
}

#[test]
fn a_gap_a_reload_silence_and_a_reconnect_start_a_follower_again() {
    let teller = stream("n1");
    for (what, said) in [
        ("gap", opens(&teller, 7, "bob")),
        ("mark ahead", message(&teller, 6, Said::Mark)),
        ("reload", message(&teller, 6, Said::Reload)),
        ("a new teller", message(&stream("n2"), 1, Said::Reload)),
    ] {
        let (mut follower, mut copy) = following(Millis(0));
        let followed = follower.hear(&said, &mut copy, Millis(1));
        assert_eq!(followed, Followed::Restarted, "{what}");
        assert!(follower.take_ask(&copy, Millis(600)).is_some(), "{what}");
    }
    let (mut follower, mut copy) = following(Millis(0));
    for old in [opens(&teller, 5, "bob"), message(&teller, 4, Said::Reload)] {
        assert_eq!(follower.hear(&old, &mut copy, Millis(1)), Followed::Old);
    }
    let mark = message(&teller, 5, Said::Mark);
    assert_eq!(
        follower.hear(&mark, &mut copy, Millis(10_000)),
        Followed::Applied
    );
    assert!(follower.take_ask(&copy, Millis(25_999)).is_none());
    assert!(
        follower
            .take_ask(&copy, follower.next().plus(500))
            .is_none(),
        "a moment, so that not all ask at once"
    );
    assert!(
        follower.take_ask(&copy, follower.next()).is_some(),
        "after three marks that did not come"
    );
    let (mut follower, mut copy) = following(Millis(0));
    follower.bus(false, Millis(1));
    assert_eq!(
        follower.hear(&opens(&teller, 6, "bob"), &mut copy, Millis(2)),
        Followed::Old
    );
    assert_eq!(
        follower.next(),
        Millis::MAX,
        "nothing is asked of a bus that is down"
    );
    follower.bus(true, Millis(3));
    assert!(follower.take_ask(&copy, Millis(3)).is_some());
}

#[test]
fn a_second_teller_is_believed_and_the_base_loaded_again_three_seconds_later() {
    let (mut follower, mut copy) = following(Millis(0));
    follower.hear(&opens(&stream("n2"), 4, "bob"), &mut copy, Millis(1_000));
    follower.hear(&closes(&stream("n2"), 5, "alice"), &mut copy, Millis(2_000));
    assert_eq!(names(&copy), ["bob"]);
    assert!(follower.is_whole());
    assert_eq!(follower.next(), Millis(4_000));
    assert!(follower.take_ask(&copy, Millis(3_999)).is_none());
    assert!(follower.take_ask(&copy, Millis(4_000)).is_none());
    assert!(!follower.is_whole());
    assert!(follower.take_ask(&copy, Millis(4_500)).is_some());
    // An earlier life of the teller that is followed is no second teller.
    let (mut follower, mut copy) = following(Millis(0));
    let earlier = Stream {
        epoch: Epoch(6),
        ..stream("n1")
    };
    assert_eq!(
        follower.hear(&closes(&earlier, 9, "alice"), &mut copy, Millis(1)),
        Followed::Old
    );
    assert_eq!(names(&copy), ["alice"]);
}

#[test]
fn a_teller_that_came_again_with_its_clock_set_back_is_followed_from_its_reload_on() {
    let (mut follower, mut copy) = following(Millis(0));
    let again = Stream {
        epoch: Epoch(3),
        ..stream("n1")
    };
    let reload = message(&again, 1, Said::Reload);
    assert_eq!(
        follower.hear(&reload, &mut copy, Millis(1_000)),
        Followed::Restarted
    );
    follower.hear(&opens(&again, 2, "bob"), &mut copy, Millis(1_100));
    let (ask, _) = follower
        .take_ask(&copy, Millis(1_500))
        .expect("asks within 500 ms");
    let base = page(&again, 1, &["carol"], None);
    follower.answered(ask, Ok(&base), &mut copy, Millis(1_510));
    assert!(follower.is_whole());
    assert_eq!(names(&copy), ["bob", "carol"]);
}

#[test]
fn what_differs_for_five_seconds_is_named_to_the_teller_and_told_again() {
    let mut world = World::new(5, 3, 1);
    world.run(8_000);
    world.change("alice", true);
    world.run(1_000);
    // A flag that no message explains.
    let now = world.now;
    world.nodes[2].view.set_told(&uid("alice"), false, now);
    let before = world.told.len();
    world.run(4_900);
    assert!(!world.nodes[2].view.is_told(&uid("alice")));
    world.run(2_000);
    assert!(world.nodes[2].view.is_told(&uid("alice")));
    let again = world.told[before..]
        .iter()
        .filter(|feed| feed.said != Said::Mark);
    assert_eq!(again.count(), 1, "once, and no reload");
    world.check("named");
}

#[test]
fn named_users_are_bounded_and_a_node_that_does_not_tell_forgets_them() {
    let me = node("n1");
    let mut telling = Telling::new(me.clone(), false, 1, Millis(0));
    let mut view = View::default();
    for now in [0, 2_000] {
        telling.tick(Some(&me), Epoch(7), &mut view, Millis(now));
    }
    telling.take_actions();
    for round in 0..20 {
        let uids = (0..1_000).map(|n| uid(&format!("{round}-{n}"))).collect();
        let named = Differs { uids }.encode();
        telling.asked_differs(&named).expect("a thousand");
    }
    telling.tick(Some(&me), Epoch(7), &mut view, Millis(2_100));
    let told = published(&mut telling)
        .into_iter()
        .map(|feed| match feed.said {
            Said::Change { opens, closes } => opens.len() + closes.len(),
            Said::Mark | Said::Reload => 0,
        });
    assert_eq!(told.sum::<usize>(), 10_000);
    let uids = (0..1_001).map(|n| uid(&n.to_string())).collect();
    assert!(telling.asked_differs(&Differs { uids }.encode()).is_err());
}

#[test]
fn many_to_tell_go_out_in_messages_and_pages_of_bounded_size() {
    let me = node("n1");
    let mut telling = Telling::new(me.clone(), false, 1, Millis(0));
    let mut view = View::default();
    let many = 20_000;
    for n in 0..many {
        // The longest there are, of what takes the most in JSON.
        view.announce(&uid(&format!("{:\"<250}{n:06}", "")), true, Millis(0));
    }
    let (mut told, mut now) = (0, Millis(0));
    while told < many {
        telling.tick(Some(&me), Epoch(7), &mut view, now);
        let bodies = telling
            .take_actions()
            .into_iter()
            .filter_map(|action| match action {
                FeedAction::Publish(body) => Some(body),
                _ => None,
            });
        let bodies: Vec<_> = bodies.collect();
        assert!(bodies.iter().all(|body| body.len() < 65 << 10));
        assert!(bodies.len() <= 18, "not all at once");
        for body in bodies {
            if let Said::Change { opens, .. } = Feed::decode(&body).expect("a change").said {
                told += opens.len();
            }
        }
        now = telling.next(&view);
        assert!(now < Millis(20_000), "{told}");
    }
    let (mut follower, mut copy) = loading(Millis(0));
    let mut ask = Some((1, crate::presence::ToldRequest::default()));
    while let Some((number, request)) = ask {
        let body = telling
            .asked_told(&request.encode(), &view)
            .expect("a request");
        let body = body.expect("it tells");
        assert!(body.len() < 257 << 10);
        let page = ToldPage::decode(&body).expect("a page");
        follower.answered(number, Ok(&page), &mut copy, Millis(1));
        ask = follower.take_ask(&copy, Millis(1));
    }
    assert_eq!(copy, view.told);
}

#[test]
fn a_teller_that_waits_for_the_base_of_its_predecessor_looks_at_the_clock_once() {
    let mut telling = Telling::new(node("n2"), false, 1, Millis(0));
    let mut view = View::default();
    let (me, epoch) = (node("n2"), Epoch(8));
    telling.tick(None, epoch, &mut view, Millis(0));
    let FeedAction::AskTold { ask, .. } = telling.take_actions().remove(0) else {
        panic!("it asks for the base");
    };
    let first = page(&stream("n1"), 5, &["alice"], Some("alice"));
    let answer = Ok(first.encode());
    telling.answered(ask, answer, &mut view, Millis(1)).unwrap();
    let (mut now, mut ticks) = (Millis(1), 0);
    while !telling.is_telling() {
        telling.tick(Some(&me), epoch, &mut view, now);
        let next = telling.next(&view);
        assert!(next > now || telling.is_telling(), "spins at {now:?}");
        (now, ticks) = (next, ticks + 1);
        assert!(ticks < 100);
    }
    assert!(now >= Millis(10_000), "it began at {now:?}");
}
