//! Holders that are behind, cut off or asked twice while they give a session away.

use super::{Scene, loose_scene, scene};
use crate::played::Script;

pub(super) const SCRIPTS: &[Script] = &[
    (
        "a holder that is far behind gives a session away and dies",
        far_behind,
    ),
    (
        "a holder that is a little behind gives a session away and dies",
        a_little_behind,
    ),
    (
        "a holder is cut off from the bus between its parts and its yes",
        cut_off,
    ),
    (
        "a taker asks for the yes when another one has the parts",
        two_takers,
    ),
];

/// The holder is so far behind, with a push that its taker, which has begun just now, never hears;
/// and dies when the session has gone.
fn behind(seed: u64, milliseconds: u64) -> Scene {
    let mut scene = scene(seed, 2);
    scene.crash_node(1);
    let until = scene.now + milliseconds;
    scene.ingest_lags(0, until);
    scene.push();
    scene.pass(50);
    scene.start_node(1);
    scene.until("it hears the bus", |scene| scene.nodes[1].confirmed);
    scene.moves_to(1);
    scene.crash_node(0);
    scene.ends_well();
    scene
}

fn far_behind(seed: u64) {
    let scene = behind(seed, 3_000);
    assert_eq!(scene.gaps(), 1, "the holder's word is all there is");
}

fn a_little_behind(seed: u64) {
    let scene = behind(seed, 400);
    assert_eq!(scene.gaps(), 0, "nothing was lost");
}

fn cut_off(seed: u64) {
    let mut scene = loose_scene(seed, 2);
    let session = scene.session();
    scene.goes_to(1);
    scene.until("its parts are under way", |scene| scene.cut_for().is_some());
    scene.bus.cut(0);
    scene.bus_lost(0);
    scene.until("the tab is open", |scene| scene.is_at(1));
    let taken = scene.session() == session;
    assert!(
        !taken,
        "its holder has not said yes, and clients reach it still"
    );
    scene.bus.restore(0);
    scene.confirm_interest(0);
    scene.ends_well();
}

fn two_takers(seed: u64) {
    let mut scene = loose_scene(seed, 3);
    scene.goes_to(1);
    scene.until("its parts are under way", |scene| scene.cut_for().is_some());
    scene.pause(1, 600);
    scene.goes_to(2);
    scene.until("its parts are under way to another node", |scene| {
        scene.cut_for() == Some(&scene.nodes[2].id)
    });
    scene.pause(2, 900);
    scene.pass(800);
    // The ledger knows which take is void.
    scene.ends_well();
}
