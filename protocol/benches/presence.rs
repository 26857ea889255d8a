//! What presence costs, in simulated clusters: messages and bytes on the bus, processor time per change, a storm of users.
//!
//! `cargo xtask bench presence` prints the tables; as a test every part runs once, small.

#![allow(
    dead_code,
    reason = "the simulation knows troubles that a measurement does not"
)]
#![expect(clippy::unwrap_used, reason = "a broken measurement is to fail loudly")]

#[path = "../tests/presence/book.rs"]
mod book;
#[path = "../tests/presence/bus.rs"]
mod bus;
#[path = "../tests/harness/chance.rs"]
mod chance;
#[path = "../tests/presence/consumer.rs"]
mod consumer;
#[path = "../tests/harness/counters.rs"]
mod counters;
#[path = "../tests/presence/judge.rs"]
mod judge;
#[path = "../tests/presence/node.rs"]
mod node;
#[path = "../tests/presence/people.rs"]
mod people;
#[path = "../tests/presence/plan.rs"]
mod plan;
#[path = "../tests/presence/stranger.rs"]
mod stranger;
#[path = "../tests/presence/told.rs"]
mod told;
#[path = "../tests/presence/totals.rs"]
mod totals;
#[path = "../tests/presence/trouble.rs"]
mod trouble;
#[path = "../tests/presence/world.rs"]
mod world;

use bus::Carried;
use chance::Chance;
use plan::{Plan, WARM_MS};
use std::time::{Duration, Instant};
use tengen_protocol::Transport;
use tengen_protocol::presence::{Door, ToldPage, ToldRequest};
use world::World;

/// The name that a filter on the command line is compared with.
const NAME: &str = "presence";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let full = arguments.iter().any(|argument| argument == "--bench");
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    if filter.is_some_and(|filter| !NAME.contains(filter.as_str())) {
        return;
    }
    idle(if full { &[10, 50, 100] } else { &[3] });
    change(if full { &[10, 50, 100] } else { &[3] });
    let sizes: &[usize] = if full {
        &[1_000, 10_000, 100_000]
    } else {
        &[100]
    };
    processor(sizes, if full { 10 } else { 3 });
    match full {
        true => storm(&[10, 50, 100], 20_000),
        false => storm(&[3], 200),
    }
    match full {
        true => succession(100, &[10_000, 100_000]),
        false => succession(3, &[30]),
    }
    // How the suite counts a bench that ran.
    println!("Success");
}

/// A cluster that has found itself, with `users` there and told.
fn cluster(nodes: usize, users: usize) -> World {
    let mut world = World::of(Plan::still(nodes, users), 1, Chance::new(1), false);
    world.begin();
    run_for(&mut world, WARM_MS);
    world.hostile_until = u64::MAX;
    // Those who come later are not there yet.
    for user in 0..users {
        world.open(user, user % nodes, Transport::Ws);
        if user % 100 == 99 {
            run_for(&mut world, 1);
        }
    }
    run_for(&mut world, 10_000);
    world
}

fn run_for(world: &mut World, milliseconds: u64) {
    let until = world.now + milliseconds;
    while world.now < until {
        world.step();
    }
}

/// What was carried since.
fn since(world: &World, before: Carried) -> Carried {
    let now = world.bus.carried;
    Carried {
        published: now.published - before.published,
        published_bytes: now.published_bytes - before.published_bytes,
        delivered: now.delivered - before.delivered,
        delivered_bytes: now.delivered_bytes - before.delivered_bytes,
        deltas: now.deltas - before.deltas,
        asked: now.asked - before.asked,
        asked_bytes: now.asked_bytes - before.asked_bytes,
    }
}

fn idle(sizes: &[usize]) {
    println!("\nidle, per minute           each node publishes          each node hears   asks");
    for nodes in sizes.iter().copied() {
        let mut world = cluster(nodes, nodes * 10);
        let before = world.bus.carried;
        run_for(&mut world, 60_000);
        let it = since(&world, before);
        let each = nodes as u64;
        println!(
            "{nodes:>5} nodes     {:>8} messages {:>8} B  {:>8} messages {:>9} B {:>6}",
            it.published / each,
            it.published_bytes / each,
            it.delivered / each,
            it.delivered_bytes / each,
            it.asked
        );
    }
}

/// One user comes, another second another one: what is published for it, its beat not counted.
fn change(sizes: &[usize]) {
    println!("\none change                 published, its telling included");
    for nodes in sizes.iter().copied() {
        const CHANGES: u64 = 60;
        let mut world = cluster(nodes, nodes * 10 + CHANGES as usize);
        let users = nodes * 10;
        // Those of whom the change is told leave first, and are told as gone.
        for user in users..users + CHANGES as usize {
            world.close(user, 0);
        }
        run_for(&mut world, 20_000);
        let before = world.bus.carried;
        run_for(&mut world, CHANGES * 1_000);
        let still = since(&world, before);
        let before = world.bus.carried;
        for user in users..users + CHANGES as usize {
            world.open(user, user % nodes, Transport::Ws);
            run_for(&mut world, 1_000);
        }
        let it = since(&world, before);
        println!(
            "{nodes:>5} nodes     {:>8.2} messages {:>8.1} B",
            (it.published - still.published) as f64 / CHANGES as f64,
            (it.published_bytes as f64 - still.published_bytes as f64) / CHANGES as f64,
        );
    }
}

/// The processor time of a change at one node, by how many users the cluster has.
fn processor(sizes: &[usize], nodes: usize) {
    println!("\ntime at each of {nodes} nodes, the simulation's own included");
    println!("    users    a second of idling    a change, alone in its announcement");
    for users in sizes.iter().copied() {
        const CHANGES: usize = 300;
        let mut world = cluster(nodes, users);
        let window = |world: &mut World, busy: bool| {
            let began = Instant::now();
            for change in 0..CHANGES {
                if busy {
                    // A second client by the other transport: the user's kinds change.
                    world.open(change % users, change % nodes, Transport::Poll);
                }
                run_for(world, 100);
            }
            began.elapsed()
        };
        let (still, busy) = (window(&mut world, false), window(&mut world, true));
        let each = |time: Duration, count: usize| time.as_secs_f64() * 1e6 / (count * nodes) as f64;
        println!(
            "{users:>9}    {:>14.1} µs    {:>14.1} µs",
            each(still, CHANGES / 10),
            each(busy.saturating_sub(still), CHANGES),
        );
    }
}

/// All come within five seconds.
fn storm(sizes: &[usize], users: usize) {
    println!("\n{users} users come in 5 s");
    for nodes in sizes.iter().copied() {
        let mut plan = Plan::still(nodes, users);
        plan.storm_ms = Some(5_000);
        let mut world = World::of(plan, 1, Chance::new(1), false);
        world.begin();
        run_for(&mut world, WARM_MS);
        world.hostile_until = u64::MAX;
        let (before, began) = (world.bus.carried, spent());
        world.storm();
        run_for(&mut world, 5_001);
        let last = world.now;
        let truth = world.truth().len();
        let views = until(&mut world, |world| {
            let mut members = world.nodes.iter().filter_map(|node| node.member.as_ref());
            members.all(|member| member.roster().counts().any == truth)
        });
        let told = until(&mut world, |world| world.told.last.len() == truth);
        let it = since(&world, before);
        println!(
            "{nodes:>5} nodes     {:>5} announcements of {:>5.1} users, {:>8} B published; all views right \
             {} ms after the last came, all told after {} ms; {:.2} s of processor time",
            it.deltas,
            truth as f64 / it.deltas as f64,
            it.published_bytes,
            views - last,
            told - last,
            spent().saturating_sub(began).as_secs_f64()
        );
    }
}

/// The node that tells dies, and all who follow ask the next one for the base.
fn succession(nodes: usize, sizes: &[usize]) {
    println!("\nthe teller of {nodes} nodes dies");
    for users in sizes.iter().copied() {
        let mut world = cluster(nodes, users);
        let tells = |world: &World| {
            let members = world.nodes.iter().map(|node| node.member.as_ref());
            let first = members.flatten().next().unwrap();
            let teller = first.roster().teller().unwrap().clone();
            world
                .nodes
                .iter()
                .position(|node| node.id == teller)
                .unwrap()
        };
        let first = tells(&world);
        let before = world.bus.carried;
        world.stop(first);
        // The next one has told a reload by then, and the users of the first are not yet given up.
        run_for(&mut world, 10_500);
        let it = since(&world, before);
        let next = tells(&world);
        assert_ne!(next, first, "it goes on without it");
        // What each of them would be sent had it nothing.
        let (mut after, mut base) = (None, 0);
        loop {
            let request = ToldRequest {
                after,
                ..ToldRequest::default()
            };
            let now = world.millis();
            let member = world.nodes[next].member.as_mut().unwrap();
            let asked = member.asked(Door::Told, &request.encode(), now);
            let answer = asked.unwrap().unwrap();
            base += answer.len();
            after = ToldPage::decode(&answer).unwrap().next;
            if after.is_none() {
                break;
            }
        }
        println!(
            "{users:>9} users    {:>5} questions, {:>8} B with their answers; everybody, to one who has nobody: {base:>8} B",
            it.asked, it.asked_bytes
        );
    }
}

/// When this became true.
fn until(world: &mut World, is: impl Fn(&World) -> bool) -> u64 {
    let deadline = world.now + 60_000;
    while !is(world) {
        assert!(world.now < deadline, "it does not come to an end");
        run_for(world, 5);
    }
    world.now
}

/// Processor time of this thread, which does everything here. The kernel counts at its ticks: for what
/// takes long.
fn spent() -> Duration {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = said.split(' ').next().and_then(|it| it.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}
