//! Grace, batches, numbers and parts of a node's own users, in virtual time.

use super::super::{Delta, Epoch, Kinds, Options, SyncAnswer, SyncReq};
use super::Local;
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::transport::Transport::{self, Poll, Ws};

const EPOCH: Epoch = Epoch(7);

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

fn uid(name: &str) -> Uid {
    Uid::parse(name).unwrap()
}

/// A node's own users, and what they have announced.
struct World {
    local: Local,
    now: u64,
    told: Vec<(u64, Vec<(String, Kinds)>)>,
}

impl World {
    fn new() -> World {
        World::with(Options::new(node("a")))
    }

    fn with(options: Options) -> World {
        let mut local = Local::new(options);
        local.begin(EPOCH);
        World {
            local,
            now: 0,
            told: Vec::new(),
        }
    }

    fn now(&self) -> Millis {
        Millis(self.now)
    }

    fn open(&mut self, name: &str, transport: Transport) {
        self.local.opened(Some(&uid(name)), transport, self.now());
    }

    fn close(&mut self, name: &str, transport: Transport) {
        self.local.closed(Some(&uid(name)), transport, self.now());
    }

    fn hand_over(&mut self, name: &str, is_there: bool) {
        let (uid, b) = (uid(name), node("b"));
        self.local
            .handed_over(Some(&uid), Ws, &b, is_there, Millis(self.now));
    }

    /// Lets time pass as a driver does: ticks only when something is due.
    fn pass(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.local.next() <= Millis(until) {
            self.now = self.now.max(self.local.next().0);
            let deltas = self.local.tick(Millis(self.now));
            for Delta { seq, changes, .. } in deltas {
                let changes = changes.into_iter();
                let changes = changes.map(|(uid, kinds)| (uid.to_string(), kinds));
                assert_eq!(seq, self.told.len() as u64 + 1, "numbers have no holes");
                self.told.push((self.now, changes.collect()));
            }
        }
        self.now = until;
    }

    fn ask(
        &mut self,
        by: &str,
        have_seq: Option<u64>,
        part: u32,
        after: Option<&str>,
    ) -> SyncAnswer {
        let asked = SyncReq {
            by: node(by),
            epoch: EPOCH,
            have_seq,
            part,
            after: after.map(uid),
        };
        self.local.sync(&asked, self.now()).unwrap()
    }
}

fn said(at: u64, name: &str, kinds: Kinds) -> (u64, Vec<(String, Kinds)>) {
    (at, vec![(name.to_owned(), kinds)])
}

#[test]
fn a_user_is_announced_within_a_batch_and_leaves_after_the_grace_of_the_transport() {
    for (transport, kinds, grace) in [(Ws, Kinds::WS, 3_000), (Poll, Kinds::POLL, 5_500)] {
        let mut world = World::new();
        world.open("alice", transport);
        world.pass(1_000);
        world.close("alice", transport);
        world.pass(10_000);
        let gone = said(1_000 + grace + 50, "alice", Kinds::NONE);
        assert_eq!(world.told, [said(50, "alice", kinds), gone]);
        assert_eq!(world.local.users.len(), 0, "nothing is kept of who is gone");
    }
}

#[test]
fn f54_a_reconnect_within_the_grace_is_announced_to_nobody() {
    let mut world = World::new();
    world.open("alice", Ws);
    world.pass(100);
    for _ in 0..20 {
        world.close("alice", Ws);
        world.pass(2_999);
        world.open("alice", Ws);
        world.pass(10);
    }
    world.pass(20_000);
    assert_eq!(world.told, [said(50, "alice", Kinds::WS)]);
}

#[test]
fn the_last_of_several_clients_decides_and_each_leave_has_its_own_grace() {
    let mut world = World::new();
    world.open("alice", Ws);
    world.open("alice", Ws);
    world.pass(1_000);
    world.close("alice", Ws);
    world.pass(2_000);
    // The first one is back, the second one goes: its grace begins now.
    world.open("alice", Ws);
    world.close("alice", Ws);
    world.close("alice", Ws);
    world.pass(2_999);
    assert_eq!(world.told, [said(50, "alice", Kinds::WS)]);
    world.pass(1_000);
    assert_eq!(world.told[1..], [said(6_050, "alice", Kinds::NONE)]);
}

#[test]
fn f50_a_change_of_transport_shows_at_once_whether_connected_or_in_between() {
    let mut world = World::new();
    world.open("alice", Poll);
    world.pass(1_000);
    let alice = uid("alice");
    world
        .local
        .switched(Some(&alice), Poll, Ws, Millis(world.now));
    world.pass(1_000);
    world.close("alice", Ws);
    world.pass(500);
    world
        .local
        .returned(Some(&alice), Ws, Poll, Millis(world.now));
    world.pass(10_000);
    let expected = [
        said(50, "alice", Kinds::POLL),
        said(1_050, "alice", Kinds::WS),
        said(2_550, "alice", Kinds::POLL),
    ];
    assert_eq!(world.told, expected);
}

#[test]
fn f50_a_second_client_by_another_transport_shows_as_both_and_leaves_alone() {
    let mut world = World::new();
    world.open("alice", Ws);
    world.pass(100);
    world.open("alice", Poll);
    world.pass(100);
    world.close("alice", Ws);
    world.pass(10_000);
    let expected = [
        said(50, "alice", Kinds::WS),
        said(150, "alice", Kinds::BOTH),
        said(3_250, "alice", Kinds::POLL),
    ];
    assert_eq!(world.told, expected);
}

#[test]
fn a_storm_is_announced_in_batches_and_who_came_and_went_within_one_only_by_the_grace() {
    let mut world = World::new();
    for n in 0..1_000 {
        world.open(&format!("user-{n:04}"), Ws);
        world.pass(n % 2);
    }
    assert!(world.told.len() <= 11, "{} deltas", world.told.len());
    world.pass(100);
    let users: usize = world.told.iter().map(|(_, changes)| changes.len()).sum();
    assert_eq!(users, 1_000);
}

#[test]
fn a_delta_has_no_more_bytes_than_it_may_and_nobody_is_left_out() {
    let mut options = Options::new(node("a"));
    options.max_part_bytes = 100;
    let mut world = World::with(options);
    for n in 0..100 {
        world.open(&format!("user-{n:05}"), Ws);
    }
    world.pass(50);
    // 15 bytes each: six fit into 100.
    assert_eq!(world.told.len(), 17);
    let users: usize = world.told.iter().map(|(_, changes)| changes.len()).sum();
    assert_eq!(users, 100);
}

#[test]
fn who_was_handed_over_leaves_half_a_second_after_the_other_node_has_announced_them() {
    let mut world = World::new();
    world.open("alice", Ws);
    world.pass(1_000);
    world.close("alice", Ws);
    world.hand_over("alice", false);
    world.pass(200);
    let b = node("b");
    let (others, at) = ([(uid("alice"), Kinds::WS)], Millis(world.now));
    world.local.announced_by(&node("c"), &others, at);
    world
        .local
        .announced_by(&b, &[(uid("alice"), Kinds::NONE)], at);
    world.pass(300);
    world.local.announced_by(&b, &others, Millis(world.now));
    world.pass(10_000);
    assert_eq!(world.told[1..], [said(2_050, "alice", Kinds::NONE)]);
}

#[test]
fn who_was_handed_over_leaves_with_the_grace_if_the_other_node_never_announces_them() {
    let mut world = World::new();
    world.open("alice", Ws);
    world.pass(1_000);
    world.close("alice", Ws);
    world.hand_over("alice", false);
    world.pass(10_000);
    assert_eq!(world.told[1..], [said(4_050, "alice", Kinds::NONE)]);
}

#[test]
fn who_was_handed_over_and_is_there_already_leaves_half_a_second_later() {
    let mut world = World::new();
    world.open("alice", Ws);
    world.pass(1_000);
    world.close("alice", Ws);
    world.hand_over("alice", true);
    world.pass(10_000);
    assert_eq!(world.told[1..], [said(1_550, "alice", Kinds::NONE)]);
}

#[test]
fn a_client_that_stays_keeps_its_user_when_another_is_handed_over() {
    let mut world = World::new();
    world.open("alice", Ws);
    world.open("alice", Ws);
    world.pass(1_000);
    world.close("alice", Ws);
    world.hand_over("alice", true);
    world.pass(10_000);
    assert_eq!(world.told.len(), 1);
}

#[test]
fn a_close_of_who_was_never_here_changes_nothing() {
    let mut world = World::new();
    world.close("alice", Ws);
    world.local.closed(None, Poll, Millis(0));
    world.hand_over("alice", true);
    world.pass(10_000);
    assert_eq!(world.told, []);
    assert_eq!(world.local.anonymous(), [0, 0]);
}

#[test]
fn anonymous_clients_are_counted_by_transport_without_a_delta() {
    let mut world = World::new();
    for transport in [Ws, Ws, Poll] {
        world.local.opened(None, transport, Millis(0));
    }
    world.local.switched(None, Ws, Poll, Millis(0));
    world.local.closed(None, Poll, Millis(0));
    world.pass(1_000);
    assert_eq!(world.local.anonymous(), [1, 1]);
    assert_eq!(world.told, []);
}

#[test]
fn whoever_missed_a_few_deltas_gets_those_alone_and_whoever_missed_many_a_snapshot() {
    let mut options = Options::new(node("a"));
    options.ring = 3;
    let mut world = World::with(options);
    for name in ["a", "b", "c", "d", "e"] {
        world.open(name, Ws);
        world.pass(100);
    }
    let SyncAnswer::Deltas(deltas) = world.ask("b", Some(2), 0, None) else {
        panic!("the ring reaches back to 3");
    };
    let seqs: Vec<u64> = deltas.iter().map(|delta| delta.seq).collect();
    assert_eq!(seqs, [3, 4, 5]);
    assert_eq!(world.ask("b", Some(5), 0, None), SyncAnswer::Deltas(vec![]));
    for have_seq in [Some(1), None, Some(6), Some(u64::MAX)] {
        let SyncAnswer::Part(part) = world.ask("b", have_seq, 0, None) else {
            panic!("{have_seq:?} is not in the ring");
        };
        assert_eq!((part.seq, part.part, part.of), (5, 0, 1));
        assert_eq!(part.users.len(), 5);
    }
}

#[test]
fn all_parts_carry_the_number_of_the_first_and_leave_nobody_out() {
    let mut options = Options::new(node("a"));
    options.max_part_bytes = 40;
    let mut world = World::with(options);
    for n in 0..10 {
        world.open(&format!("user-{n:03}"), Ws);
    }
    world.pass(100);
    let first_seq = world.local.seq();
    let (mut users, mut part, mut have_seq) = (Vec::new(), 0, None);
    loop {
        let after = users.last().cloned();
        let SyncAnswer::Part(answer) = world.ask("b", have_seq, part, after.as_deref()) else {
            panic!("one asker is not too many");
        };
        assert_eq!((answer.seq, answer.part), (first_seq, part));
        users.extend(answer.users.iter().map(|(uid, _)| uid.to_owned()));
        // Someone comes between two parts: with a newer number, which says it all.
        world.open("zoe", Poll);
        world.pass(60);
        if answer.of == part + 1 {
            break;
        }
        (part, have_seq) = (part + 1, Some(answer.seq));
    }
    assert_eq!(part, 3, "three users of 13 bytes fit into 40");
    assert_eq!(users.len(), 11);
    assert_eq!(world.local.seq(), first_seq + 1);
}

#[test]
fn two_nodes_are_sent_snapshots_at_once_and_a_third_when_one_has_gone() {
    let mut options = Options::new(node("a"));
    options.max_part_bytes = 20;
    let mut world = World::with(options);
    for name in ["user-1", "user-2", "user-3"] {
        world.open(name, Ws);
    }
    world.pass(100);
    for by in ["b", "c", "b"] {
        assert!(matches!(world.ask(by, None, 0, None), SyncAnswer::Part(_)));
    }
    assert_eq!(world.ask("d", None, 0, None), SyncAnswer::Busy);
    // The last part makes room at once; who stops asking makes it a little later.
    let last = world.ask("b", Some(1), 2, Some("user-2"));
    assert!(matches!(last, SyncAnswer::Part(part) if part.of == 3));
    assert!(matches!(world.ask("d", None, 0, None), SyncAnswer::Part(_)));
    assert_eq!(world.ask("e", None, 0, None), SyncAnswer::Busy);
    world.pass(1_400);
    assert!(matches!(world.ask("e", None, 0, None), SyncAnswer::Part(_)));
}

#[test]
fn under_another_epoch_nothing_is_answered_and_numbers_begin_anew() {
    let mut world = World::new();
    world.open("alice", Ws);
    world.pass(100);
    world.local.begin(Epoch(9));
    assert_eq!(
        world.ask("b", Some(0), 0, None),
        SyncAnswer::Other { epoch: Epoch(9) }
    );
    assert_eq!(world.local.seq(), 0);
    let announced: Vec<_> = world.local.announced(None).collect();
    assert_eq!(announced, [(&uid("alice"), Kinds::WS)], "the users stay");
}
