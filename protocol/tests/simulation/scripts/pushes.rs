//! Pushes that reach the nodes between which a session moves at different times.

use super::loose_scene;
use crate::played::Script;
use tengen_protocol::server::Standing;

pub(super) const SCRIPTS: &[Script] = &[
    ("a push comes to the holder behind the cut", behind_the_cut),
    (
        "a push comes to the holder when the session has moved",
        when_it_has_moved,
    ),
    (
        "a push comes to the first of two holders when the session has moved",
        when_it_has_moved_on,
    ),
    (
        "a push comes to the taker alone, before the session",
        to_the_taker_alone,
    ),
    (
        "a push comes to the holder alone, behind a later one",
        behind_a_later_one,
    ),
];

fn behind_the_cut(seed: u64) {
    let mut scene = loose_scene(seed, 2);
    scene.hold_up_pushes(0, 300);
    let push = scene.push();
    scene.pass(50);
    scene.goes_to(1);
    scene.until("it is cut", |scene| scene.cut_for().is_some());
    scene.pause(1, 600);
    scene.pass(500);
    assert_eq!(scene.standing(0), Some(Standing::Frozen));
    scene.ends_well();
    assert!(scene.has_come(push), "a gap is no push");
}

fn when_it_has_moved(seed: u64) {
    let mut scene = loose_scene(seed, 2);
    scene.hold_up_pushes(0, 1_500);
    let push = scene.push();
    scene.pass(50);
    scene.moves_to(1);
    scene.ends_well();
    assert!(scene.has_come(push), "a gap is no push");
}

fn when_it_has_moved_on(seed: u64) {
    let mut scene = loose_scene(seed, 3);
    scene.hold_up_pushes(0, 1_500);
    let push = scene.push();
    scene.pass(50);
    scene.moves_to(1);
    scene.moves_to(2);
    scene.ends_well();
    assert!(scene.has_come(push), "a gap is no push");
}

fn to_the_taker_alone(seed: u64) {
    let mut scene = loose_scene(seed, 2);
    scene.hold_up_pushes(0, 5_000);
    scene.goes_to(1);
    scene.until("the session is on its way", |scene| {
        scene.standing(1) == Some(Standing::Arriving)
    });
    scene.pause(0, 500);
    let push = scene.push();
    scene.until("the session is there", |scene| scene.is_at(1));
    scene.crash_node(0);
    scene.ends_well();
    assert!(
        scene.has_come(push) && scene.gaps() == 0,
        "nothing was lost"
    );
}

fn behind_a_later_one(seed: u64) {
    let mut scene = loose_scene(seed, 2);
    scene.numbers_pushes();
    scene.hold_up_pushes(0, 1_500);
    let first = scene.push();
    scene.pass(50);
    scene.moves_to(1);
    let second = scene.push();
    scene.until("the second has come", |scene| scene.has_come(second));
    let told = scene.gaps();
    assert!(!scene.has_come(first));
    scene.until("the first has come", |scene| scene.has_come(first));
    assert!(scene.gaps() > told, "nothing tells that it is out of order");
    scene.ends_well();
}
