//! What shows at once, and what is not said at all.

use super::{cluster, kinds, pass, plan, until_beat, watch};
use crate::bus::Peer;
use crate::played::Script;
use crate::world::World;
use tengen_protocol::Transport;
use tengen_protocol::presence::{Channel, Kinds, Message, SyncAnswer};

pub(super) const SCRIPTS: &[Script] = &[
    ("a user changes the transport", switch),
    (
        "a user comes back in time, and then changes the transport",
        back,
    ),
    ("one announcement gets lost, the next does not", gap),
    ("users come and go while the bus is down", bus_down),
    ("an announcement comes twice, the second time late", twice),
    (
        "an announcement comes with other users than were said",
        other_users,
    ),
    ("a node announces something all the time", busy),
    ("three users come to a node at once", together),
];

/// Within 200 ms everybody sees the new one, and the old one no more.
fn switch(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let (user, slot) = (seed as usize, seed as usize % 3);
    shows_at_once(&mut world, user, slot);
}

fn shows_at_once(world: &mut World, user: usize, slot: usize) {
    let now = world.millis();
    let uid = world.users[user].uid.clone();
    world.users[user].clients[0].transport = Transport::Poll;
    let member = world.nodes[slot].member.as_mut().unwrap();
    member.switched(uid.as_ref(), Transport::Ws, Transport::Poll, now);
    world.carry_out(slot);
    pass(world, 200);
    let polls = Kinds::NONE.with(Transport::Poll);
    watch(world, 8_000, |world| {
        for slot in 0..3 {
            assert_eq!(kinds(world, slot, user), polls, "node {slot}");
        }
    });
}

/// Nobody hears of the coming back, and of the old transport nothing is left: its grace is not under way.
fn back(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let (user, slot) = (seed as usize, seed as usize % 3);
    let deltas = world.book.deltas.len();
    world.close(user, 0);
    pass(&mut world, 500);
    world.open(user, slot, Transport::Ws);
    pass(&mut world, 500);
    assert_eq!(world.book.deltas.len(), deltas, "a coming back is said");
    shows_at_once(&mut world, user, slot);
}

/// The next one shows that something is missing, and the ring has it: no snapshot, no waiting.
fn gap(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let (from, to): (Peer, Peer) = (seed as usize % 3, (seed as usize + 1) % 3);
    until_beat(&mut world, from);
    let until = world.now + 130;
    world.cut(vec![(from, to)], until);
    world.open(from, from, Transport::Poll);
    pass(&mut world, 150);
    world.open(from + 3, from, Transport::Poll);
    pass(&mut world, 400);
    let both = Kinds::NONE.with(Transport::Ws).with(Transport::Poll);
    assert_eq!(kinds(&world, to, from), both, "what was lost");
    assert_eq!(kinds(&world, to, from + 3), both, "what came next");
    pass(&mut world, 3_000);
    let part = world.book.answers.iter().find(|(at, by, _, answer)| {
        *by == from && *at + 130 > until && matches!(answer, SyncAnswer::Part(_))
    });
    assert!(part.is_none(), "a snapshot for one lost delta: {part:?}");
    world.judge_views();
}

/// Nothing of it is said late, and afterwards it is true.
fn bus_down(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let slot = seed as usize % 3;
    let now = world.millis();
    world.disturb(&[slot], now.0 + 5_000);
    world.bus.disconnects(slot);
    world.nodes[slot]
        .member
        .as_mut()
        .unwrap()
        .bus(false, "", now);
    world.carry_out(slot);
    world.open(slot, slot, Transport::Poll);
    pass(&mut world, 1_000);
    world.close(slot, 1);
    pass(&mut world, 4_000);
    world.bus.connects(slot);
    let now = world.millis();
    world.nodes[slot]
        .member
        .as_mut()
        .unwrap()
        .bus(true, "s1", now);
    world.carry_out(slot);
    pass(&mut world, 15_000);
    world.judge_views();
}

/// A user who has left since is not there again.
fn twice(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let slot = seed as usize % 3;
    let other = (slot + 1) % 3;
    let delta = world.book.deltas.iter().find(|it| it.1 == slot).unwrap();
    let delta = Message::Delta(delta.2.clone()).encode();
    world.close(slot, 0);
    pass(&mut world, 8_000);
    assert!(kinds(&world, other, slot).is_none());
    let asked = world.book.asked.len();
    world.publish(slot, Channel::Presence, &delta, true);
    watch(&mut world, 3_000, |world| {
        assert!(
            kinds(world, other, slot).is_none(),
            "who left is there again"
        );
    });
    assert_eq!(world.book.asked.len(), asked, "what was known is asked for");
}

/// The next beat shows it, and a snapshot puts it right.
fn other_users(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let slot = seed as usize % 3;
    let other = (slot + 1) % 3;
    let wrong = world.users[other].uid.clone().unwrap();
    world.tamper = Some(Box::new(move |from, to, _, body| {
        match Message::decode(body) {
            Ok(Message::Delta(mut delta)) if (from, to) == (slot, other) => {
                for (uid, _) in &mut delta.changes {
                    *uid = wrong.clone();
                }
                Some(Message::Delta(delta).encode())
            }
            _ => Some(body.clone()),
        }
    }));
    world.open(slot, slot, Transport::Poll);
    pass(&mut world, 100);
    world.tamper = None;
    pass(&mut world, 3_000);
    world.judge_views();
}

/// It beats every second all the same.
fn busy(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let slot = seed as usize % 3;
    let began = world.now;
    let deltas = world.book.deltas.len();
    for turn in 0..20 {
        let now = world.millis();
        let uid = world.users[slot].uid.clone();
        let (from, to) = match turn % 2 {
            0 => (Transport::Ws, Transport::Poll),
            _ => (Transport::Poll, Transport::Ws),
        };
        let member = world.nodes[slot].member.as_mut().unwrap();
        member.switched(uid.as_ref(), from, to, now);
        world.carry_out(slot);
        pass(&mut world, 250);
    }
    let deltas = world.book.deltas[deltas..].iter().filter(|it| it.1 == slot);
    assert!(deltas.count() >= 18, "it announces something");
    let beats = world.book.beats.iter();
    let beats = beats.filter(|it| it.1 == slot && it.0 > began).count();
    assert!(beats >= 4, "{beats} beats in 5 s");
}

/// What comes at one moment is one announcement, however often the node looks meanwhile.
fn together(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let slot = seed as usize % 3;
    let deltas = world.book.deltas.len();
    for user in 0..3 {
        world.open(user, slot, Transport::Poll);
        let now = world.millis();
        world.nodes[slot].member.as_mut().unwrap().tick(now);
        world.carry_out(slot);
    }
    pass(&mut world, 500);
    let deltas = world.book.deltas[deltas..].iter().filter(|it| it.1 == slot);
    assert_eq!(deltas.count(), 1, "three changes are one announcement");
}
