//! The feed: what a lost change, a reload or a wrong copy leads to, and how soon it is right again.

use super::{Script, cluster, pass, plan, teller};
use crate::bus::Peer;
use crate::world::World;
use std::collections::BTreeSet;
use tengen_protocol::Uid;
use tengen_protocol::presence::{Channel, Feed, Said};

pub(super) const SCRIPTS: &[Script] = &[
    ("the last change of the feed gets lost", lost_change),
    ("a node has heard something else than was told", wrong_copy),
    ("a teller begins to tell again", reload),
];

fn truth(world: &World) -> BTreeSet<Uid> {
    world.truth().into_keys().collect()
}

fn is_change(channel: Channel, body: &bytes::Bytes) -> bool {
    channel == Channel::Changes
        && matches!(
            Feed::decode(body).map(|it| it.said),
            Ok(Said::Change { .. })
        )
}

/// The next mark shows it: within a mark and a load it is made good.
fn lost_change(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let consumer: Peer = 3;
    world.close(seed as usize, 0);
    world.tamper = Some(Box::new(move |_, to, channel, body| {
        let is_lost = to == consumer && is_change(channel, body);
        (!is_lost).then(|| body.clone())
    }));
    pass(&mut world, 3_800);
    world.tamper = None;
    pass(&mut world, 8_500);
    world.judge_consumers(&truth(&world));
}

/// It names them to the teller, which tells them again.
fn wrong_copy(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let tells = teller(&world, 0);
    let wrong = (tells + 1) % 3;
    let mut empty = true;
    world.tamper = Some(Box::new(move |_, to, channel, body| {
        if to != wrong || !is_change(channel, body) || !std::mem::take(&mut empty) {
            return Some(body.clone());
        }
        let said = Said::Change {
            opens: Vec::new(),
            closes: Vec::new(),
        };
        let feed = Feed::decode(body).unwrap();
        Some(Feed { said, ..feed }.encode())
    }));
    world.close(seed as usize, 0);
    pass(&mut world, 20_000);
    let uid = world.users[seed as usize].uid.clone().unwrap();
    let roster = super::roster(&world, wrong);
    assert!(!roster.is_told(&uid), "node {wrong} still has who has gone");
}

/// Whoever follows loads the base then.
fn reload(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let tells = teller(&world, 0);
    let now = world.millis();
    world.disturb(&[tells], now.0 + 1_500);
    world.bus.disconnects(tells);
    let member = world.nodes[tells].member.as_mut().unwrap();
    member.bus(false, "", now);
    world.carry_out(tells);
    pass(&mut world, 1_500);
    world.bus.connects(tells);
    let now = world.millis();
    let member = world.nodes[tells].member.as_mut().unwrap();
    member.bus(true, "s1", now);
    world.carry_out(tells);
    let before = world.now;
    let reloads = |world: &World| {
        let told = world.book.told.iter();
        let mut told = told.filter(|it| it.0 > before && it.2 == Said::Reload);
        told.next().map(|it| it.0)
    };
    while reloads(&world).is_none() {
        world.step();
        assert!(world.now < before + 20_000, "it does not tell again");
    }
    let at = reloads(&world).unwrap();
    pass(&mut world, 4_000);
    let loads = world.book.loads.iter().any(|it| it.0 > at);
    assert!(loads, "a service goes on after a reload as if nothing was");
    pass(&mut world, 5_000);
    world.close(seed as usize, 0);
    pass(&mut world, 10_000);
    world.judge_consumers(&truth(&world));
}
