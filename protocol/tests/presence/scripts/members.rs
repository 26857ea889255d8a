//! Parts of a cluster that are cut off, leave, join or come again: who is ready, who tells, and who is still there.

use super::{between, cluster, is_ready, kinds, lists, pass, plan, roster, teller, watch};
use crate::plan::{BEGIN, Plan};
use crate::played::Script;
use crate::trouble::Mend;
use crate::world::{Happening, World};
use tengen_protocol::presence::{Channel, Epoch, Message, Said};

pub(super) const SCRIPTS: &[Script] = &[
    ("three of ten nodes are cut off", minority),
    ("two of four nodes are cut off", half),
    ("three of five nodes say bye", bye),
    ("one with a lower id joins", joiner),
    ("messages of an earlier life come late", old_life),
    ("a second process begins under an id that is taken", double),
    ("a node begins again at once", begins_again),
    ("the teller dies", teller_dies),
    ("somebody speaks once under a node's id", goes_above),
];

/// From 8 s on, when they have given the others up, until these are no members any more.
fn cut_off(world: &mut World, few: &[usize]) {
    let peers = world.plan.slots + world.plan.consumers;
    let many: Vec<usize> = (0..peers).filter(|peer| !few.contains(peer)).collect();
    let until = world.now + 20_000;
    world.cut(between(few, &many), until);
    pass(world, 8_000);
    watch(world, 6_000, |world| {
        for slot in 0..world.plan.nodes {
            let of_few = few.contains(&slot);
            assert_ne!(
                is_ready(world, slot),
                of_few,
                "node {slot}, of the few: {of_few}"
            );
        }
    });
    pass(world, 6_000 + 15_000);
    world.judge_views();
}

fn minority(seed: u64) {
    let mut world = cluster(seed, plan(10, 20));
    let first = seed as usize;
    cut_off(&mut world, &[first, first + 3, first + 5]);
}

fn half(seed: u64) {
    let mut world = cluster(seed, plan(4, 8));
    let with_lowest = 1 + seed as usize % 3;
    let few: Vec<usize> = (1..4).filter(|slot| *slot != with_lowest).collect();
    cut_off(&mut world, &few);
}

/// They are no members from then on, and their users wait the grace out, no longer.
fn bye(seed: u64) {
    let mut world = cluster(seed, plan(5, 5));
    let stays = [0, 1 + seed as usize % 4];
    let goes: Vec<usize> = (0..5).filter(|slot| !stays.contains(slot)).collect();
    let now = world.millis();
    for slot in goes.iter().copied() {
        world.nodes[slot].member.as_mut().unwrap().leave(now);
        world.carry_out(slot);
        world.stop(slot);
    }
    pass(&mut world, 200);
    let ask = |world: &World, are_there: bool| {
        for slot in stays {
            assert!(is_ready(world, slot), "those who stay are ready");
            assert_eq!(lists(world, slot), 2, "a node that said bye is listed");
            for user in goes.iter().copied() {
                let is_there = !kinds(world, slot, user).is_none();
                assert_eq!(is_there, are_there, "user {user} of a node that said bye");
            }
        }
    };
    watch(&mut world, 2_000, |world| ask(world, true));
    pass(&mut world, 4_000);
    watch(&mut world, 9_000, |world| ask(world, false));
}

/// It never takes the telling over.
fn joiner(seed: u64) {
    let mut world = World::of(
        Plan {
            slots: 4,
            ..plan(3, 6)
        },
        seed,
        crate::chance::Chance::new(seed),
        false,
    );
    world.book.is_open = true;
    // Slots 1 to 3 first, so that the one that joins has the lowest id.
    for slot in 1..4 {
        world.at(BEGIN + slot as u64 * 50, Happening::Mend(Mend::Start(slot)));
    }
    world.at(BEGIN + 100, Happening::Mend(Mend::Bus(4)));
    pass(&mut world, 12_000);
    let tells = teller(&world, 1);
    let before = world.book.told.len();
    world.start(0);
    watch(&mut world, 15_000, |world| {
        for slot in 1..4 {
            assert_eq!(
                teller(world, slot),
                tells,
                "a joiner takes the telling over"
            );
        }
    });
    assert!(is_ready(&world, 0), "the joiner is ready");
    let reloads = |(_, _, said): &(u64, usize, Said)| *said == Said::Reload;
    assert!(!world.book.told[before..].iter().any(reloads), "a reload");
}

/// Whoever has begun again is not taken for who it was.
fn old_life(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let slot = seed as usize % 3;
    let other = (slot + 1) % 3;
    let (_, _, delta) = world.book.deltas.iter().find(|it| it.1 == slot).unwrap();
    let delta = Message::Delta(delta.clone()).encode();
    let beat = world.book.beats.iter().rfind(|it| it.1 == slot).unwrap();
    let beat = Message::Beat(beat.2.clone()).encode();
    world.stop(slot);
    world.start(slot);
    pass(&mut world, 15_000);
    let epoch = |world: &World| {
        let mut nodes = roster(world, other).nodes();
        nodes
            .find(|node| *node.id == world.nodes[slot].id)
            .unwrap()
            .epoch
    };
    let now: Epoch = epoch(&world);
    for body in [delta, beat] {
        world.publish(slot, Channel::Presence, &body, true);
        watch(&mut world, 300, |world| {
            assert_eq!(
                epoch(world),
                now,
                "an earlier life is taken for the present one"
            );
            assert!(is_ready(world, other));
        });
    }
    pass(&mut world, 5_000);
    world.judge_views();
}

/// It listens before it says anything, and begins above what it has heard.
fn double(seed: u64) {
    let mut world = cluster(
        seed,
        Plan {
            slots: 4,
            doubles: true,
            ..plan(3, 6)
        },
    );
    let of = seed as usize % 3;
    world.nodes[3].id = world.nodes[of].id.clone();
    world.nodes[3].clock = -3_600_000;
    world.disturb(&[3, of], u64::MAX);
    world.start(3);
    let began = world.now;
    pass(&mut world, 3_000);
    let beats = &world.book.beats;
    let first = beats.iter().find(|it| it.1 == 3).unwrap();
    let before = beats.iter().filter(|it| it.1 == of && it.0 < began);
    let highest = before.map(|it| it.2.epoch).max().unwrap();
    assert!(first.2.epoch > highest, "it begins below what it has heard");
}

/// What was known of it stays until there is something else: nobody is gone in between.
fn begins_again(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let slot = seed as usize % 3;
    world.stop(slot);
    world.start(slot);
    pass(&mut world, 100);
    world.open(slot, slot, tengen_protocol::Transport::Ws);
    watch(&mut world, 10_000, |world| {
        for other in (0..3).filter(|other| *other != slot) {
            let is_there = !kinds(world, other, slot).is_none();
            assert!(is_there, "a user is gone while the node begins again");
        }
    });
    pass(&mut world, 5_000);
    world.judge_views();
}

/// The node goes on under a new epoch, and its users are there all the time.
fn goes_above(seed: u64) {
    let mut world = cluster(
        seed,
        Plan {
            doubles: true,
            ..plan(3, 6)
        },
    );
    let slot = seed as usize % 3;
    let mut beats = world.book.beats.iter();
    let (_, _, mut beat) = beats.rfind(|it| it.1 == slot).unwrap().clone();
    let claimed = Epoch(beat.epoch.0 + 5);
    beat.epoch = claimed;
    let body = Message::Beat(beat).encode();
    world.publish(slot, Channel::Presence, &body, true);
    watch(&mut world, 10_000, |world| {
        for other in (0..3).filter(|other| *other != slot) {
            let is_there = !kinds(world, other, slot).is_none();
            assert!(is_there, "a user is gone while its node changes its epoch");
        }
    });
    let last = world.book.beats.iter().rfind(|it| it.1 == slot).unwrap();
    assert!(last.2.epoch > claimed, "a node stays below who has its id");
    world.judge_views();
}

/// The next one tells, 2 s after the former is given up, and not before.
fn teller_dies(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let tells = teller(&world, 0);
    let stays: Vec<usize> = (0..3).filter(|slot| *slot != tells).collect();
    world.stop(tells);
    let before = world.book.told.len();
    while stays.iter().all(|slot| lists(&world, *slot) == 3) {
        world.step();
    }
    watch(&mut world, 1_500, |world| {
        let told = &world.book.told[before..];
        assert!(told.is_empty(), "a new teller does not wait: {told:?}");
    });
    pass(&mut world, 2_000);
    assert!(world.book.told.len() > before, "nobody tells");
}
