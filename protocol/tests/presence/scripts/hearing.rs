//! A node that cannot hear itself, stands still or hears only half: whom it judges, and what it says.

use super::{cluster, is_ready, lists, pass, plan, roster, teller, view, watch};
use crate::played::Script;
use crate::world::World;
use tengen_protocol::Transport;
use tengen_protocol::presence::{Channel, Message};

pub(super) const SCRIPTS: &[Script] = &[
    ("a teller hears nobody and itself not for 20 s", deaf),
    ("a node stands still for 20 s", still),
    ("a node's beats get lost, its deltas do not", no_beats),
];

/// It is not ready and tells nothing, it gives nobody up, and afterwards it waits anew.
fn deaf(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let deaf = teller(&world, 0);
    let users = view(&world, deaf);
    let ways = (0..4).flat_map(|peer| [(peer, deaf), (deaf, peer)]);
    let mut ways: Vec<_> = ways.collect();
    ways.sort_unstable();
    ways.dedup();
    let until = world.now + 20_000;
    world.cut(ways, until);
    pass(&mut world, 3_000);
    let silent_since = world.now;
    watch(&mut world, 17_000, |world| {
        assert!(!is_ready(world, deaf), "a deaf node is ready");
        assert_eq!(lists(world, deaf), 3, "a deaf node gives others up");
        assert_eq!(view(world, deaf), users, "a deaf node gives users up");
    });
    let said = |world: &World| {
        let told = &world.book.told;
        told.iter()
            .any(|(at, slot, _)| *slot == deaf && *at > silent_since)
    };
    assert!(!said(&world), "a deaf node tells");
    // Whoever hears again gives everybody the whole time.
    watch(&mut world, 5_000, |world| {
        assert_eq!(lists(world, deaf), 3, "others are given up by an old date");
    });
    pass(&mut world, 15_000);
    world.judge_views();
}

/// When it goes on it does not take its own absence for that of all others.
fn still(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let slot = seed as usize % 3;
    let until = world.now + 20_000;
    world.nodes[slot].paused_until = until;
    world.disturb(&[slot], until);
    watch(&mut world, 25_000, |world| {
        assert_eq!(lists(world, slot), 3, "a node that stood still judges");
    });
    pass(&mut world, 10_000);
    world.judge_views();
}

/// Whoever announces users lives, and still announces them.
fn no_beats(seed: u64) {
    let mut world = cluster(seed, plan(3, 30));
    world.tamper = Some(Box::new(|from, to, channel, body| {
        let is_beat = channel == Channel::Presence
            && matches!(Message::decode(body), Ok(Message::Beat(_)))
            && (from, to) == (0, 1);
        (!is_beat).then(|| body.clone())
    }));
    for second in 0..12 {
        // A second client by the other transport: node 0 announces it.
        world.open(
            3 * [0, 1, 2, 3, 4, 6, 7, 8, 9][second % 9],
            0,
            transport(second),
        );
        watch(&mut world, 1_000, |world| {
            assert_eq!(lists(world, 1), 3, "a node that announces is given up");
        });
    }
    world.tamper = None;
    pass(&mut world, 5_000);
    assert!(roster(&world, 1).ready().is_ok());
    world.judge_views();
}

fn transport(second: usize) -> Transport {
    if second < 9 {
        Transport::Poll
    } else {
        Transport::Ws
    }
}
