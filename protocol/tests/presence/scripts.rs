//! Small worlds in which one fixed trouble comes at a fixed moment, each with a question of its own; a seed decides the rest.

mod feed;
mod hearing;
mod members;
mod said;
mod syncing;

use crate::bus::Peer;
use crate::chance::Chance;
use crate::judge;
use crate::plan::{Plan, WARM_MS};
use crate::played::Script;
use crate::world::World;
use std::collections::BTreeMap;
use tengen_protocol::presence::{Kinds, Roster};
use tengen_protocol::{Transport, Uid};

/// All of them.
pub(crate) const SCRIPTS: &[&[Script]] = &[
    hearing::SCRIPTS,
    members::SCRIPTS,
    said::SCRIPTS,
    syncing::SCRIPTS,
    feed::SCRIPTS,
];

/// A cluster of so many nodes that has found itself, and one user for each two nodes or so many as
/// the plan has; all have been told.
fn cluster(seed: u64, plan: Plan) -> World {
    let (nodes, users) = (plan.nodes, plan.users);
    let mut world = World::of(plan, seed, Chance::new(seed), false);
    world.book.is_open = true;
    world.begin();
    pass(&mut world, WARM_MS);
    for user in 0..users {
        world.open(user, user % nodes, Transport::Ws);
    }
    pass(&mut world, 12_000);
    world
}

/// A plan whose every step is looked at, with a bus that may lose things.
fn plan(nodes: usize, users: usize) -> Plan {
    Plan {
        closely: true,
        links: true,
        crashes: true,
        ..Plan::still(nodes, users)
    }
}

/// Lets time pass.
fn pass(world: &mut World, milliseconds: u64) {
    watch(world, milliseconds, |_| {});
}

/// Lets time pass, and asks the same after every step.
fn watch(world: &mut World, milliseconds: u64, mut ask: impl FnMut(&World)) {
    let until = world.now + milliseconds;
    while world.now < until {
        world.step();
        ask(world);
    }
}

fn roster(world: &World, slot: usize) -> &Roster {
    world.nodes[slot].member.as_ref().unwrap().roster()
}

fn is_ready(world: &World, slot: usize) -> bool {
    world.nodes[slot].member.as_ref().unwrap().ready().is_ok()
}

/// How many nodes it lists, itself included.
fn lists(world: &World, slot: usize) -> usize {
    roster(world, slot).nodes().count()
}

fn view(world: &World, slot: usize) -> BTreeMap<Uid, Kinds> {
    judge::view(roster(world, slot), None).into_iter().collect()
}

fn kinds(world: &World, slot: usize, user: usize) -> Kinds {
    let uid = world.users[user].uid.as_ref().unwrap();
    roster(world, slot).kinds(uid)
}

/// All ways between the ones and the others, both ways.
fn between(ones: &[Peer], others: &[Peer]) -> Vec<(Peer, Peer)> {
    let pairs = ones
        .iter()
        .flat_map(|one| others.iter().map(move |other| (*one, *other)));
    pairs
        .flat_map(|(one, other)| [(one, other), (other, one)])
        .collect()
}

/// The slot of the node that tells, as node `slot` sees it.
fn teller(world: &World, slot: usize) -> usize {
    let teller = roster(world, slot).teller().unwrap();
    let mut slots = 0..world.nodes.len();
    slots
        .find(|slot| world.nodes[*slot].member.is_some() && world.nodes[*slot].id == *teller)
        .unwrap()
}

/// Waits until this node has just said a beat.
fn until_beat(world: &mut World, slot: usize) {
    let before = world.book.beats.len();
    let said = |world: &World| world.book.beats[before..].iter().any(|it| it.1 == slot);
    while !said(world) {
        world.step();
    }
}
