//! The feed: what a lost change, a reload or a wrong copy leads to, and how soon it is right again.

use super::{cluster, pass, plan, teller};
use crate::bus::Peer;
use crate::played::Script;
use crate::world::World;
use std::collections::BTreeSet;
use tengen_protocol::presence::{Channel, Epoch, Feed, Follower, Message, Said, Stream, ToldPage};
use tengen_protocol::{Millis, NodeId, Uid};

pub(super) const SCRIPTS: &[Script] = &[
    ("the last change of the feed gets lost", lost_change),
    ("a node has heard something else than was told", wrong_copy),
    ("a teller begins to tell again", reload),
    ("a page of the base comes after a later change", late_page),
    ("another one tells a service something else", second_teller),
    ("all have what the next teller has told", same),
    ("the same is said of what was before", same_of_before),
    ("a teller is taken for one that is not ready", elder),
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
    // It has just heard something: silence alone does not make it load the base again.
    world.close(3 + seed as usize % 3, 0);
    pass(&mut world, 3_500);
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

/// The change goes over the page, which a service is sent that has nobody yet.
fn late_page(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let consumer: Peer = 3;
    world.close(seed as usize, 0);
    pass(&mut world, 2_700);
    world.book.answers_late_ms = 700;
    world.consumer_begins_again(consumer);
    pass(&mut world, 1_500);
    let changes = world.book.told.iter().filter(|it| it.2 != Said::Mark);
    let changed_at = changes.map(|it| it.0).max().unwrap();
    let loaded_at = world.book.loads.last().unwrap().0;
    assert!(
        (1..700).contains(&(changed_at - loaded_at)),
        "a page that is late"
    );
    pass(&mut world, 1_000);
    world.judge_consumers(&truth(&world));
}

/// Soon it asks again who is there.
fn second_teller(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let consumer: Peer = 3;
    let gone = world.users[seed as usize].uid.clone().unwrap();
    let mut once = true;
    world.tamper = Some(Box::new(move |_, to, channel, body| {
        if to != consumer || channel != Channel::Changes || !std::mem::take(&mut once) {
            return Some(body.clone());
        }
        let said = Said::Change {
            opens: Vec::new(),
            closes: vec![gone.clone()],
        };
        let stream = Stream {
            teller: NodeId::parse("n009").unwrap(),
            epoch: Epoch(5),
        };
        let feed = Feed::decode(body).unwrap();
        Some(
            Feed {
                said,
                stream,
                ..feed
            }
            .encode(),
        )
    }));
    pass(&mut world, 5_500 + 3_000 + 3_000);
    world.judge_consumers(&truth(&world));
}

/// Nobody is sent a user again: neither the other node nor a service.
fn same(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let tells = teller(&world, 0);
    let before = world.now;
    world.stop(tells);
    // The next one has told a reload by then, and the users of the first are not yet given up.
    pass(&mut world, 10_500);
    let pages = world.book.pages.iter().filter(|it| it.0 > before);
    let pages: Vec<_> = pages.map(|(_, to, page)| (to, page)).collect();
    assert!(pages.len() >= 2, "nobody has loaded the base: {pages:?}");
    let sent = pages.iter().find(|(_, page)| !page.same);
    assert!(sent.is_none(), "what everybody has is sent: {sent:?}");
    pass(&mut world, 10_000);
    world.judge_consumers(&truth(&world));
}

/// A change and the one after it are in the answer; only the first of them has come when it lands.
fn same_of_before(seed: u64) {
    let (uid, now) = (Uid::parse("alice").unwrap(), Millis(seed));
    let stream = Stream {
        teller: NodeId::parse("n1").unwrap(),
        epoch: Epoch(1),
    };
    let message = |n: u64, comes: bool| {
        let users = |them: bool| if them { vec![uid.clone()] } else { Vec::new() };
        let (opens, closes) = (users(comes), users(!comes));
        Feed {
            stream: stream.clone(),
            n,
            handled: n,
            said: Said::Change { opens, closes },
        }
    };
    let page = |same: bool| ToldPage {
        stream: stream.clone(),
        n: 5,
        same,
        uids: (!same).then(|| uid.clone()).into_iter().collect(),
        next: None,
    };
    let mut copy = BTreeSet::from([uid.clone()]);
    let mut follower = Follower::new(None, seed, now);
    follower.take_ask(&copy, now).unwrap();
    follower.hear(&message(4, false), &mut copy, now);
    follower.answered(1, Ok(&page(true)), &mut copy, now);
    follower.hear(&message(5, true), &mut copy, now);
    if let Some((ask, request)) = follower.take_ask(&copy, now) {
        let page = page(request.have.is_some());
        follower.answered(ask, Ok(&page), &mut copy, now);
    }
    assert!(follower.is_whole(), "it goes on asking");
    assert!(copy.contains(&uid), "it has missed who came");
}

/// As long as it tells and lives nobody else does.
fn elder(seed: u64) {
    let mut world = cluster(seed, plan(3, 6));
    let tells = teller(&world, 0);
    world.tamper = Some(Box::new(move |from, to, channel, body| {
        if (from, channel) != (tells, Channel::Presence) || to == tells {
            return Some(body.clone());
        }
        match Message::decode(body) {
            Ok(Message::Beat(mut beat)) => {
                beat.ready = false;
                Some(Message::Beat(beat).encode())
            }
            _ => Some(body.clone()),
        }
    }));
    let before = world.book.told.len();
    pass(&mut world, 20_000);
    let told = &world.book.told[before..];
    let other = told.iter().find(|it| it.1 != tells);
    assert!(other.is_none(), "two tell at once: {other:?}");
    assert!(told.len() >= 3, "nobody tells");
}
