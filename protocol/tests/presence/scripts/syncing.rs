//! Snapshots in many parts: how many at once, how often, and what happens meanwhile.

use super::{cluster, is_ready, kinds, pass, plan, view, watch};
use crate::bus::Peer;
use crate::plan::Plan;
use crate::played::Script;
use crate::world::World;
use std::collections::BTreeSet;
use tengen_protocol::Transport;
use tengen_protocol::presence::{Kinds, SyncAnswer};

pub(super) const SCRIPTS: &[Script] = &[
    ("five ask for a snapshot at once", five),
    ("users change while a snapshot is under way", changes),
    ("an answer in the middle of a snapshot gets lost", lost_part),
    ("a node joins one with many users", joins),
];

/// One node with many users, and slots for those who join.
fn large(seed: u64, joiners: usize) -> World {
    cluster(
        seed,
        Plan {
            slots: 1 + joiners,
            part_bytes: 40,
            latency: 10,
            ..plan(1, 60)
        },
    )
}

/// The parts that node 0 sent: when, to whom, the first or the last.
fn parts(world: &World) -> Vec<(u64, Peer, bool, bool)> {
    let answers = world.book.answers.iter().filter(|it| it.1 == 0);
    let parts = answers.filter_map(|(at, _, to, answer)| match answer {
        SyncAnswer::Part(part) => Some((*at, *to, part.part == 0, part.is_last())),
        _ => None,
    });
    parts.collect()
}

/// Two get it at a time, and all in the end.
fn five(seed: u64) {
    let mut world = large(seed, 5);
    for slot in 1..6 {
        world.start(slot);
    }
    pass(&mut world, 20_000);
    let mut under_way = BTreeSet::new();
    let mut got = BTreeSet::new();
    for (_, to, _, is_last) in parts(&world) {
        under_way.insert(to);
        assert!(under_way.len() <= 2, "{under_way:?} get a snapshot at once");
        if is_last {
            under_way.remove(&to);
            got.insert(to);
        }
    }
    assert_eq!(got.len(), 5, "only these got a snapshot: {got:?}");
    world.judge_views();
}

fn firsts(world: &World) -> usize {
    parts(world).iter().filter(|it| it.2).count()
}

/// Until node 1 has so many parts.
fn until_part(world: &mut World, count: usize) {
    while parts(world).len() < count {
        world.step();
    }
}

/// What was announced meanwhile goes over it: it is not asked for again.
fn changes(seed: u64) {
    let mut world = large(seed, 1);
    world.start(1);
    until_part(&mut world, 3);
    // One of the first part, one of the last, and so again.
    for user in [0, 1, 62 - 3, 10, 58] {
        world.open(user, 0, Transport::Poll);
        pass(&mut world, 60);
    }
    pass(&mut world, 6_000);
    assert_eq!(firsts(&world), 1, "one snapshot is enough");
    let both = Kinds::NONE.with(Transport::Ws).with(Transport::Poll);
    assert_eq!(kinds(&world, 1, 0), both);
    world.judge_views();
}

/// That part is asked for again, soon, and not all.
fn lost_part(seed: u64) {
    let mut world = large(seed, 1);
    world.start(1);
    until_part(&mut world, 4 + seed as usize);
    let until = world.now + 150;
    world.cut(vec![(0, 1), (1, 0)], until);
    pass(&mut world, 4_000);
    let (whole, users) = (view(&world, 0).len(), view(&world, 1).len());
    assert_eq!(users, whole, "what got lost is not asked for again");
    pass(&mut world, 2_000);
    assert_eq!(firsts(&world), 1, "the missing part is enough");
    world.judge_views();
}

/// It is not ready before it knows them all.
fn joins(seed: u64) {
    let mut world = cluster(
        seed,
        Plan {
            slots: 2,
            part_bytes: 40,
            latency: 60,
            ..plan(1, 400)
        },
    );
    let users = view(&world, 0).len();
    world.start(1);
    watch(&mut world, 15_000, |world| {
        if is_ready(world, 1) {
            assert_eq!(view(world, 1).len(), users, "ready without knowing all");
        }
    });
    assert!(is_ready(&world, 1));
}
