//! One node and a few at one bus: epochs, beats, byes and what is said when, in virtual time.

use bytes::Bytes;

use super::super::{
    Action, Beat, Channel, Door, Epoch, Feed, Kinds, Message, Options, Said, SyncReq, Unanswered,
};
use super::Member;
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::transport::Transport::{Poll, Ws};

/// The wall clock when a world begins, unless a test says otherwise.
const WALL: u64 = 1_800_000_000_000;

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

fn uid(name: &str) -> Uid {
    Uid::parse(name).unwrap()
}

/// Nodes at a bus that takes no time.
#[derive(Default)]
struct World {
    members: Vec<Member>,
    up: Vec<bool>,
    now: u64,
    /// What was said on the bus: when, by whom.
    said: Vec<(u64, usize, Message)>,
    /// What the feed told: opens, closes.
    told: Vec<(u64, Vec<Uid>, Vec<Uid>)>,
    exited: Vec<usize>,
    asked: usize,
}

impl World {
    fn of(names: &[&str]) -> World {
        let mut world = World::default();
        for name in names {
            world.join(name, WALL);
        }
        world
    }

    fn join(&mut self, name: &str, wall_ms: u64) -> usize {
        let seed = self.members.len() as u64;
        let options = Options::new(node(name));
        let mut member = Member::new(options, wall_ms, seed, self.now());
        member.bus(true, "server", self.now());
        self.members.push(member);
        self.up.push(true);
        self.members.len() - 1
    }

    fn now(&self) -> Millis {
        Millis(self.now)
    }

    fn open(&mut self, at: usize, name: &str) {
        let now = self.now();
        self.members[at].opened(Some(&uid(name)), Ws, now);
    }

    fn close(&mut self, at: usize, name: &str) {
        let now = self.now();
        self.members[at].closed(Some(&uid(name)), Ws, now);
    }

    fn bus(&mut self, at: usize, up: bool) {
        self.up[at] = up;
        let now = self.now();
        self.members[at].bus(up, "server", now);
    }

    fn say(&mut self, channel: Channel, body: &Bytes) {
        let now = self.now();
        for (at, member) in self.members.iter_mut().enumerate() {
            if self.up[at] {
                member.heard(channel, body, now).expect("it can be read");
            }
        }
    }

    fn ask(&mut self, door: Door, of: Option<&NodeId>, body: &Bytes) -> Result<Bytes, Unanswered> {
        let now = self.now();
        let mut answer = Err(Unanswered::Nobody);
        for (at, member) in self.members.iter_mut().enumerate() {
            if self.up[at] && of.is_none_or(|of| of == member.node()) {
                match member.asked(door, body, now).expect("it can be read") {
                    Some(body) => return Ok(body),
                    None => answer = Err(Unanswered::Late),
                }
            }
        }
        answer
    }

    fn carry_out(&mut self, by: usize) {
        for action in self.members[by].take_actions() {
            let now = self.now();
            match action {
                Action::Publish { channel, body } => {
                    assert!(self.up[by], "nothing is said to a bus that is down");
                    match channel {
                        Channel::Presence => {
                            let message = Message::decode(&body).unwrap();
                            self.said.push((self.now, by, message));
                        }
                        Channel::Changes => {
                            if let Said::Change { opens, closes } =
                                Feed::decode(&body).unwrap().said
                            {
                                self.told.push((self.now, opens, closes));
                            }
                        }
                    }
                    self.say(channel, &body);
                }
                Action::Ask {
                    id,
                    node,
                    door,
                    body,
                    ..
                } => {
                    self.asked += 1;
                    let answer = match self.up[by] {
                        true => self.ask(door, Some(&node), &body),
                        false => Err(Unanswered::BusDown),
                    };
                    self.members[by].answered(id, answer, now).unwrap();
                }
                Action::AskTold { id, body, .. } => {
                    let answer = match self.up[by] {
                        true => self.ask(Door::Told, None, &body),
                        false => Err(Unanswered::BusDown),
                    };
                    self.members[by].answered(id, answer, now).unwrap();
                }
                Action::Told { .. } => panic!("nobody has handlers here"),
                Action::Exit { .. } => self.exited.push(by),
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..100 {
            let due: Vec<usize> = (0..self.members.len())
                .filter(|at| self.members[*at].next() <= self.now())
                .collect();
            for at in &due {
                let now = self.now();
                self.members[*at].tick(now);
                self.carry_out(*at);
            }
            if due.is_empty() {
                return;
            }
        }
        panic!("something is always due at {}", self.now);
    }

    /// Lets time pass as a driver does: each node ticks when it says.
    fn pass(&mut self, millis: u64) {
        let until = self.now + millis;
        loop {
            self.settle();
            let next = self.members.iter().map(Member::next).min();
            match next {
                Some(Millis(next)) if next <= until => self.now = next.max(self.now),
                _ => break,
            }
        }
        self.now = until;
    }

    fn kinds(&self, at: usize, name: &str) -> Kinds {
        self.members[at].roster().kinds(&uid(name))
    }

    fn beats(&self, by: usize) -> Vec<&Beat> {
        let said = self.said.iter().filter(|(_, who, _)| *who == by);
        said.filter_map(|(_, _, message)| match message {
            Message::Beat(beat) => Some(beat),
            _ => None,
        })
        .collect()
    }

    /// When a node announced this of a user.
    fn announced(&self, by: usize, name: &str) -> Vec<(u64, Kinds)> {
        let (name, mut announced) = (uid(name), Vec::new());
        for (at, who, message) in &self.said {
            if let Message::Delta(delta) = message
                && *who == by
            {
                let changes = delta.changes.iter().filter(|(uid, _)| *uid == name);
                announced.extend(changes.map(|(_, kinds)| (*at, *kinds)));
            }
        }
        announced
    }

    /// Whether each change told one user came or went, in order.
    fn told(&self, name: &str) -> Vec<bool> {
        let name = uid(name);
        let mut told = Vec::new();
        for (_, opens, closes) in &self.told {
            told.extend(opens.iter().filter(|uid| **uid == name).map(|_| true));
            told.extend(closes.iter().filter(|uid| **uid == name).map(|_| false));
        }
        told
    }
}

#[test]
fn a_node_alone_listens_then_beats_every_second_is_ready_and_tells() {
    let mut world = World::of(&["a"]);
    world.open(0, "alice");
    world.pass(1_499);
    assert_eq!(world.said, [], "it may have had a life before");
    world.pass(100);
    assert_eq!(world.kinds(0, "alice"), Kinds::WS);
    world.pass(8_400);
    assert_eq!(world.members[0].ready(), Ok(()));
    assert_eq!(world.told("alice"), [true]);
    let beats = world.beats(0);
    assert_eq!(beats.len(), 9, "one at 1.5 s and then one a second");
    assert!(beats.iter().all(|beat| beat.epoch == Epoch(WALL + 1_500)));
    let last = beats.last().unwrap();
    assert_eq!((last.seq, last.users, last.ready), (1, 1, true));
    assert_eq!(&*last.server_id, "server");
}

#[test]
fn the_epoch_is_above_that_of_an_earlier_life_whose_clock_was_ahead() {
    let mut world = World::of(&["a"]);
    world.pass(3_000);
    let earlier = world.beats(0)[0].epoch;
    // The same id on a machine whose clock is an hour behind, while the last words arrive.
    let now = world.now();
    let last_words = world.members[0].roster.beat(&"server".into(), now);
    world.members.clear();
    world.up.clear();
    let again = world.join("a", WALL - 3_600_000);
    world.pass(100);
    world.say(Channel::Presence, &Message::Beat(last_words).encode());
    world.said.clear();
    world.pass(3_000);
    assert_eq!(world.beats(again)[0].epoch, Epoch(earlier.0 + 1));
}

#[test]
fn a_claim_on_the_id_is_answered_from_above_once_and_then_the_node_ends() {
    let mut world = World::of(&["a", "b"]);
    world.open(0, "alice");
    world.pass(8_000);
    let mut claim = world.beats(0).pop().unwrap().clone();
    claim.epoch = Epoch(claim.epoch.0 + 1_000);
    world.say(Channel::Presence, &Message::Beat(claim.clone()).encode());
    world.pass(3_000);
    assert_eq!(world.exited, []);
    assert_eq!(
        world.beats(0).pop().unwrap().epoch,
        Epoch(claim.epoch.0 + 1)
    );
    assert_eq!(
        world.kinds(1, "alice"),
        Kinds::WS,
        "nobody has gone by that"
    );
    assert_eq!(world.told("alice"), [true]);

    claim.epoch = Epoch(claim.epoch.0 + 2);
    world.say(Channel::Presence, &Message::Beat(claim).encode());
    world.settle();
    assert_eq!(
        world.exited,
        [] as [usize; 0],
        "actions are taken by its driver"
    );
    world.carry_out(0);
    assert_eq!(world.exited, [0]);
    let said = world.said.len();
    world.pass(500);
    let by_it = |(_, by, _): &&(u64, usize, Message)| *by == 0;
    assert_eq!(world.said[said..].iter().filter(by_it).count(), 0);
}

#[test]
fn nodes_that_hear_each_other_agree_and_one_of_them_tells_each_change_once() {
    let mut world = World::of(&["a", "b", "c"]);
    world.pass(8_000);
    for (at, name) in [(0, "alice"), (1, "bob"), (2, "carol"), (1, "alice")] {
        world.open(at, name);
        world.pass(300);
    }
    world.close(0, "alice");
    world.close(1, "bob");
    world.members[2].opened(None, Poll, Millis(world.now));
    world.pass(6_000);
    for at in 0..3 {
        let roster = world.members[at].roster();
        let all: Vec<_> = roster.page(None, 10, None).users;
        let expected = [(uid("alice"), Kinds::WS), (uid("carol"), Kinds::WS)];
        assert_eq!(all, expected, "at {at}");
        assert_eq!(roster.counts().anonymous, [0, 1]);
        assert_eq!(world.members[at].ready(), Ok(()));
    }
    assert_eq!(world.told("alice"), [true]);
    assert_eq!(world.told("bob"), [true, false]);
    assert_eq!(world.told("carol"), [true]);
    assert_eq!(world.announced(1, "alice").len(), 1, "no no-ops");
}

#[test]
fn nothing_is_said_while_the_bus_is_down_and_what_was_missed_is_asked_for_afterwards() {
    let mut world = World::of(&["a", "b"]);
    world.open(0, "alice");
    world.pass(8_000);
    let asked = world.asked;
    world.bus(0, false);
    world.open(0, "bob");
    world.close(0, "alice");
    world.pass(4_000);
    assert_eq!(world.kinds(0, "bob"), Kinds::WS, "its own view goes on");
    assert_eq!(world.kinds(1, "alice"), Kinds::WS);
    assert!(world.members[0].ready().is_err());
    world.bus(0, true);
    world.pass(2_500);
    assert_eq!(world.kinds(1, "bob"), Kinds::WS);
    assert_eq!(world.kinds(1, "alice"), Kinds::NONE);
    assert!(world.asked > asked);
    world.pass(12_000);
    assert_eq!(world.told("alice"), [true, false]);
    assert_eq!(world.told("bob"), [true]);
    assert_eq!(world.members[0].ready(), Ok(()));
}

#[test]
fn the_users_of_a_node_that_says_bye_wait_the_grace_out_at_the_others() {
    let mut world = World::of(&["a", "b"]);
    world.open(1, "alice");
    world.open(1, "bob");
    world.pass(8_000);
    world.close(1, "alice");
    let now = world.now();
    world.members[1].leave(now);
    world.carry_out(1);
    assert!(matches!(
        world.said.last(),
        Some((_, 1, Message::Bye { .. }))
    ));
    let said = world.said.len();
    world.open(0, "bob");
    world.pass(5_000);
    assert_eq!(world.kinds(0, "alice"), Kinds::WS);
    world.pass(1_500);
    assert_eq!(world.kinds(0, "alice"), Kinds::NONE);
    assert_eq!(world.kinds(0, "bob"), Kinds::WS);
    assert_eq!(
        (world.told("alice"), world.told("bob")),
        (vec![true, false], vec![true])
    );
    let by_b = |(_, by, _): &&(u64, usize, Message)| *by == 1;
    assert_eq!(world.said[said..].iter().filter(by_b).count(), 0);
    assert_eq!(world.members[1].next(), Millis::MAX);
}

#[test]
fn f54_who_is_handed_over_is_announced_by_the_taker_before_the_holder_lets_go() {
    let mut world = World::of(&["a", "b"]);
    world.open(0, "alice");
    world.pass(8_000);
    world.close(0, "alice");
    world.pass(30);
    let (now, b) = (world.now(), node("b"));
    world.members[0].handed_over(Some(&uid("alice")), Ws, &b, now);
    world.open(1, "alice");
    world.pass(10_000);
    let (there, gone) = (world.announced(1, "alice"), world.announced(0, "alice"));
    assert_eq!(there[0].1, Kinds::WS);
    assert_eq!(gone[1].1, Kinds::NONE);
    assert_eq!(gone[1].0 - there[0].0, 550, "0.5 s and a batch");
    assert_eq!(world.told("alice"), [true]);
    assert_eq!(world.kinds(0, "alice"), Kinds::WS);
}

#[test]
fn what_cannot_be_read_changes_nothing_and_says_why() {
    let mut world = World::of(&["a"]);
    world.pass(3_000);
    let (now, member) = (Millis(3_000), &mut world.members[0]);
    let nonsense = Bytes::from_static(b"nonsense");
    for channel in [Channel::Presence, Channel::Changes] {
        assert!(member.heard(channel, &nonsense, now).is_err());
    }
    for door in [Door::Sync, Door::Differs, Door::Told] {
        assert!(member.asked(door, &nonsense, now).is_err());
    }
    let other = SyncReq {
        by: node("b"),
        epoch: Epoch(3),
        have_seq: None,
        part: 0,
        after: None,
    };
    let answer = member.asked(Door::Sync, &other.encode(), now).unwrap();
    assert!(answer.is_some(), "its epoch is another, which it says");
}
