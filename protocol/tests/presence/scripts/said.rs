//! What shows at once, and what is not said at all.

use super::{Script, cluster, kinds, pass, plan, until_beat, watch};
use crate::bus::Peer;
use tengen_protocol::Transport;
use tengen_protocol::presence::{Kinds, SyncAnswer};

pub(super) const SCRIPTS: &[Script] = &[
    ("a user changes the transport", switch),
    ("one announcement gets lost, the next does not", gap),
    ("users come and go while the bus is down", bus_down),
    ("an announcement comes twice, the second time late", twice),
];

/// Within 200 ms everybody sees the new one, and the old one no more.
fn switch(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let (user, slot) = (seed as usize, seed as usize % 3);
    let now = world.millis();
    let uid = world.users[user].uid.clone();
    world.users[user].clients[0].transport = Transport::Poll;
    let member = world.nodes[slot].member.as_mut().unwrap();
    member.switched(uid.as_ref(), Transport::Ws, Transport::Poll, now);
    world.carry_out(slot);
    pass(&mut world, 200);
    let polls = Kinds::NONE.with(Transport::Poll);
    watch(&mut world, 8_000, |world| {
        for slot in 0..3 {
            assert_eq!(kinds(world, slot, user), polls, "node {slot}");
        }
    });
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
    let delta = tengen_protocol::presence::Message::Delta(delta.2.clone()).encode();
    world.close(slot, 0);
    pass(&mut world, 8_000);
    assert!(kinds(&world, other, slot).is_none());
    let channel = tengen_protocol::presence::Channel::Presence;
    world.publish(slot, channel, &delta, true);
    watch(&mut world, 3_000, |world| {
        assert!(
            kinds(world, other, slot).is_none(),
            "who left is there again"
        );
    });
}
