//! Worlds by chance: tellers die at any step, messages are lost, late, twice and out of order, and at every quiet point all agree.

use std::collections::BTreeSet;

use super::world::World;

/// Long enough for everything that repairs: silence, marks, names, loading again.
const QUIET_MS: u64 = 30_000;

fn trouble(seed: u64) {
    let mut world = World::new(seed, 4, 3);
    for round in 0..3 {
        (world.loss, world.twice, world.delay) = match seed % 4 {
            0 => (0, 0, 5),
            1 => (30, 30, 60),
            2 => (0, 100, 400),
            _ => (200, 50, 150),
        };
        for _ in 0..40 {
            let name = format!("user-{}", world.pick(12));
            let there = world.chance(500);
            world.change(&name, there);
            let pause = [0, 10, 70, 300][world.pick(4)];
            world.run(pause);
            something(&mut world);
        }
        (world.loss, world.twice, world.delay) = (0, 0, 5);
        world.run(QUIET_MS);
        world.check(&format!("seed {seed}, round {round}"));
    }
}

fn something(world: &mut World) {
    let index = world.pick(world.nodes.len());
    let living = (0..world.nodes.len()).filter(|index| !world.is_dead(*index));
    let living = living.count();
    match world.pick(30) {
        0 if living > 1 => {
            // Mostly the one that matters.
            let victim = world.telling().unwrap_or(index);
            world.kill(victim);
        }
        1 | 2 if world.is_dead(index) => world.restart(index),
        3 => {
            let service = world.pick(world.services.len());
            for up in [false, true] {
                let now = world.now;
                world.services[service].follower.bus(up, now);
                world.run(200);
            }
        }
        _ => {}
    }
}

#[test]
fn whatever_is_lost_and_whoever_dies_all_agree_when_it_is_quiet() {
    for seed in 0..120 {
        trouble(seed);
    }
}

#[test]
fn f52_f53_without_faults_opens_and_closes_alternate_and_handlers_run_once_each() {
    for seed in 0..20 {
        let mut world = World::new(seed, 3, 1);
        world.run(8_000);
        for _ in 0..200 {
            let name = format!("user-{}", world.pick(10));
            let there = world.chance(500);
            world.change(&name, there);
            let pause = [0, 10, 100][world.pick(3)];
            world.run(pause);
        }
        world.run(10_000);
        world.check(&format!("seed {seed}"));
        let mut online = BTreeSet::new();
        for (uid, there) in world.nodes.iter().flat_map(|node| &node.ran) {
            let changed = if *there {
                online.insert(uid.clone())
            } else {
                online.remove(uid)
            };
            assert!(changed, "seed {seed}: {uid} {there} twice");
        }
        assert_eq!(online, world.truth, "seed {seed}");
        let ran = world.nodes.iter().filter(|node| !node.ran.is_empty());
        assert!(ran.count() <= 1, "handlers run on the teller alone");
    }
}
