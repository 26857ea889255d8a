//! A session that wanders between three nodes while pushes reach each of them at their own pace: nothing is lost, repeated or out of order.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Enough for any mistake that was ever made here.
const SEEDS: u64 = 100;

const NAMES: [&str; 3] = ["a", "b", "c"];

enum Happening {
    Hear(usize, Push),
    Told(usize, Forward),
    /// The client reads what its node has for it.
    Read,
    /// The client says hello at this node.
    Move(usize),
    Ask,
    Answer(Answer),
    Tick,
}

/// Steele, Lea and Flood's SplitMix64: the same world for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Three nodes, a client that moves between them, and what is under way.
struct World {
    chance: Chance,
    nodes: [Node; 3],
    now: u64,
    line: BTreeMap<(u64, u64), Happening>,
    happened: u64,
    /// When the last push of a publisher, or message of a node, arrives at a node: both keep order.
    arrives: BTreeMap<(usize, usize), u64>,
    home: usize,
    attempt: u64,
    take: Option<(Take, usize)>,
    asked: usize,
    /// What came with each read.
    seen: Vec<Vec<String>>,
    received: u64,
    moves: u32,
    /// How long a push takes to a node at most.
    lag: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut chance = Chance(seed);
        let lag = [1, 30, 300, 900][chance.below(4) as usize];
        let [mut b, c] = [Node::new("b"), Node::new("c")];
        b.link = Link(0);
        World {
            nodes: [Node::home(), b, c],
            now: 100_000,
            line: BTreeMap::new(),
            happened: 0,
            arrives: BTreeMap::new(),
            home: 0,
            attempt: 1,
            take: None,
            asked: 0,
            seen: Vec::new(),
            received: 0,
            moves: 0,
            lag,
            chance,
        }
    }

    fn at(&mut self, later: u64, what: Happening) {
        self.happened += 1;
        self.line.insert((self.now + later, self.happened), what);
    }

    /// In the order of all that goes from `from` to `to`.
    fn in_order(&mut self, from: usize, to: usize, what: Happening) {
        let arrives = self.now + self.chance.below(self.lag + 1);
        let last = self.arrives.entry((from, to)).or_insert(0);
        let arrives = arrives.max(*last);
        *last = arrives;
        self.at(arrives - self.now, what);
    }

    fn publish(&mut self, publisher: usize, push: &Push) {
        for node in 0..3 {
            self.in_order(publisher, node, Happening::Hear(node, push.clone()));
        }
    }

    fn step(&mut self) -> bool {
        let Some(((at, _), what)) = self.line.pop_first() else {
            return false;
        };
        self.now = at;
        for node in &mut self.nodes {
            node.now = Millis(at);
        }
        match what {
            Happening::Hear(node, push) => drop(self.nodes[node].hear(&push)),
            Happening::Told(node, forward) => {
                if self.nodes[node].session.is_some() {
                    self.nodes[node].told_by(&forward);
                }
            }
            Happening::Read => self.read(),
            Happening::Move(to) => self.hello(to),
            Happening::Ask => self.ask(),
            Happening::Answer(answer) => self.answered(answer),
            Happening::Tick => {
                for node in &mut self.nodes {
                    node.later(0);
                }
            }
        }
        for from in 0..3 {
            while let Some((to, forward)) = self.nodes[from].told.pop_front() {
                let to = NAMES.iter().position(|name| *name == to.as_str());
                self.in_order(
                    10 + from,
                    to.unwrap(),
                    Happening::Told(to.unwrap(), forward),
                );
            }
        }
        true
    }

    fn read(&mut self) {
        if self.take.is_some() {
            return;
        }
        let items = self.nodes[self.home].written();
        self.received += items.len() as u64;
        self.seen.push(items);
    }

    /// The client breaks off and goes to another node, which asks the one before, or everybody.
    fn hello(&mut self, to: usize) {
        if self.take.is_some() {
            return;
        }
        self.attempt += 1;
        if to == self.home {
            return self.nodes[to].attach(self.attempt, Some(self.received));
        }
        let (first, id) = (NAMES[self.home], self.happened.into());
        let node = &mut self.nodes[to];
        let take = Take::begin(node, first, self.attempt, self.received, id);
        self.take = Some((take, to));
        self.asked = self.home;
        self.moves += 1;
        self.ask_later();
    }

    fn ask_later(&mut self) {
        let later = self.chance.below(40);
        self.at(later, Happening::Ask);
    }

    fn ask(&mut self) {
        let Some((take, _)) = &self.take else { return };
        let question = take.question().clone();
        let answer = self.nodes[self.asked].asked(&question);
        let later = self.chance.below(40);
        self.at(later, Happening::Answer(answer));
    }

    fn answered(&mut self, answer: Answer) {
        let Some((mut take, to)) = self.take.take() else {
            return;
        };
        take.heard(&mut self.nodes[to], Heard::Answer(answer));
        match take.finish() {
            None => {
                self.take = Some((take, to));
                self.ask_later();
            }
            Some(Finish::Taken) => {
                self.home = to;
                self.nodes[to].attach(self.attempt, Some(self.received));
            }
            Some(other) => panic!("{other:?}"),
        }
    }
}

/// Publishers 0 and 1 number what they say, 2 gives message ids, 3 nothing.
fn wander(seed: u64) -> (World, usize) {
    let mut world = World::new(seed);
    let mut seq = [0; 2];
    let (mut others, mut now) = (0, 0);
    for _ in 0..400 {
        now += world.chance.below(40);
        world.now = 100_000 + now;
        match world.chance.below(10) {
            0..=4 => {
                let publisher = world.chance.below(2) as usize;
                seq[publisher] += 1;
                let push = Push {
                    identity: Identity::Batched {
                        publisher: publisher as u128,
                        seq: seq[publisher],
                        index: 0,
                        message: 0,
                    },
                    n: publisher as u64 * 10_000 + seq[publisher],
                };
                world.publish(publisher, &push);
            }
            5 => {
                others += 1;
                let push = with_message(u128::from(others) + 1, 20_000 + others);
                world.publish(2, &push);
            }
            6 => {
                others += 1;
                world.publish(3, &plain(30_000 + others));
            }
            7 => {
                let to = world.chance.below(3) as usize;
                world.at(0, Happening::Move(to));
            }
            _ => world.at(0, Happening::Read),
        }
    }
    for tick in 0..300 {
        world.now = 100_000 + tick * 100;
        world.at(0, Happening::Tick);
    }
    world.now = 128_000;
    world.at(0, Happening::Read);
    world.now = 100_000;
    while world.step() {}
    (world, (seq[0] + seq[1] + others) as usize)
}

#[test]
fn a_wandering_session_gets_every_push_once_and_in_order_or_behind_a_gap() {
    let (mut moves, mut gaps) = (0, [0; 2]);
    for seed in 0..SEEDS {
        let (world, expected) = wander(seed);
        let mut seen = BTreeSet::new();
        let mut last = [0; 2];
        for read in &world.seen {
            // Fetched anew once the gap is read, the state has all that waited behind it.
            let mut behind_gap = false;
            for item in read {
                if item == "gap" {
                    gaps[usize::from(world.lag > 30)] += 1;
                    behind_gap = true;
                    continue;
                }
                let n: u64 = item.parse().unwrap();
                assert!(seen.insert(n), "seed {seed}: {n} came twice");
                if let Some(last) = last.get_mut((n / 10_000) as usize) {
                    assert!(n > *last || behind_gap, "seed {seed}: {n} after {last}");
                    *last = n.max(*last);
                }
            }
        }
        assert_eq!(seen.len(), expected, "seed {seed}: not all came");
        moves += world.moves;
    }
    assert!(moves > SEEDS as u32 * 10, "{moves}");
    println!("{moves} moves, gaps {gaps:?}");
}
