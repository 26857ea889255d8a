//! Watchers beside a view that changes: nothing missed, nothing that is no change, nothing without end.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tengen_protocol::presence::{Epoch, Options};
use tengen_protocol::{Millis, NodeId};

use super::*;

/// A view with users of its own node alone, and what it has told.
struct View {
    roster: Roster,
    watching: Watching,
    /// While it is there, somebody watches.
    watched: Option<watch::Receiver<u64>>,
    seq: u64,
}

const EPOCH: Epoch = Epoch(1);

impl View {
    fn new() -> View {
        let node = NodeId::parse("n1").expect("valid");
        let mut roster = Roster::new(node.clone(), &Options::new(node), 1, Millis(0));
        roster.begin(EPOCH, Millis(0));
        let watching = Watching::default();
        View {
            roster,
            watched: Some(watching.changed()),
            watching,
            seq: 0,
        }
    }

    fn set(&mut self, users: &[(Uid, Kinds)]) {
        self.seq += 1;
        self.roster.own(EPOCH, self.seq, users, [0; 2], Millis(0));
        self.watching.tell(&self.roster.take_diffs());
    }

    fn step(&self, cursor: &mut Cursor) -> Option<Update> {
        cursor.step(&self.watching, &self.roster)
    }

    fn everybody(&self) -> BTreeMap<Uid, Kinds> {
        let mut cursor = Cursor::new();
        let mut users = BTreeMap::new();
        while !cursor.is_loaded() {
            let update = self.step(&mut cursor).expect("it loads");
            users.extend(update.changes.into_iter().map(|diff| (diff.uid, diff.now)));
        }
        users
    }
}

fn uid(number: u32) -> Uid {
    Uid::parse(&format!("user-{number:05}")).expect("valid")
}

fn change(number: u32, before: Kinds, now: Kinds) -> Diff {
    Diff {
        uid: uid(number),
        before,
        now,
    }
}

/// What a watcher knows by what it was told; complains of what changes nothing.
#[derive(Default)]
struct Copy(BTreeMap<Uid, Kinds>);

impl Copy {
    fn apply(&mut self, update: &Update) {
        if update.reload {
            self.0.clear();
        }
        for diff in &update.changes {
            let had = self.0.get(&diff.uid).copied().unwrap_or_default();
            assert_eq!(had, diff.before, "{diff:?} is told of another state");
            assert_ne!(diff.before, diff.now, "{diff:?} is no change");
            match diff.now.is_none() {
                true => self.0.remove(&diff.uid),
                false => self.0.insert(diff.uid.clone(), diff.now),
            };
        }
    }
}

#[test]
fn f51_a_watcher_is_told_everybody_and_then_each_change_once() {
    let mut view = View::new();
    view.set(&[(uid(1), Kinds::WS)]);
    let mut cursor = Cursor::new();
    let first = view.step(&mut cursor).expect("everybody");
    assert!(first.reload && !first.loading);
    assert_eq!(first.changes, [change(1, Kinds::NONE, Kinds::WS)]);
    assert_eq!(view.step(&mut cursor), None);

    view.set(&[(uid(1), Kinds::BOTH)]);
    view.set(&[(uid(2), Kinds::POLL)]);
    let second = view.step(&mut cursor).expect("two changes");
    assert!(!second.reload);
    assert_eq!(second.n, first.n + 2);
    assert_eq!(
        second.changes,
        [
            change(1, Kinds::WS, Kinds::BOTH),
            change(2, Kinds::NONE, Kinds::POLL)
        ]
    );
    assert_eq!(view.step(&mut cursor), None);
    // Said again, as after a snapshot of a peer: nothing has changed.
    view.set(&[(uid(1), Kinds::BOTH)]);
    assert_eq!(view.step(&mut cursor), None);
}

#[test]
fn nobody_at_all_is_told_too() {
    let view = View::new();
    let mut cursor = Cursor::new();
    let first = view.step(&mut cursor).expect("that there is nobody");
    assert!(first.reload && !first.loading && first.changes.is_empty());
    assert!(cursor.is_loaded());
    assert_eq!(view.step(&mut cursor), None);
}

#[test]
fn changes_while_it_loads_are_told_once_and_only_if_they_are_some() {
    let mut view = View::new();
    let many: Vec<_> = (0..2_500).map(|number| (uid(number), Kinds::WS)).collect();
    view.set(&many);
    let (mut cursor, mut copy) = (Cursor::new(), Copy::default());
    let first = view.step(&mut cursor).expect("a part");
    assert!(first.loading && first.changes.len() < many.len());
    copy.apply(&first);

    // One who was told, one who was not; and both there and back again.
    view.set(&[(uid(0), Kinds::NONE), (uid(2_499), Kinds::POLL)]);
    view.set(&[(uid(1), Kinds::NONE), (uid(2_498), Kinds::NONE)]);
    view.set(&[(uid(1), Kinds::WS), (uid(2_498), Kinds::WS)]);
    while !cursor.is_loaded() {
        copy.apply(&view.step(&mut cursor).expect("the rest"));
    }
    assert_eq!(view.step(&mut cursor), None);
    assert_eq!(copy.0, view.everybody());
}

#[test]
fn a_watcher_that_never_reads_is_told_to_reload_and_nothing_is_kept_for_it() {
    let mut view = View::new();
    let mut cursor = Cursor::new();
    view.step(&mut cursor).expect("nobody");
    let users: Vec<Uid> = (0..1_000).map(uid).collect();
    for round in 0..100 {
        let now = if round % 2 == 0 {
            Kinds::WS
        } else {
            Kinds::NONE
        };
        let all: Vec<_> = users.iter().map(|uid| (uid.clone(), now)).collect();
        view.set(&all);
        assert!(view.watching.recent.lock().kept <= MAX_KEPT);
    }
    view.set(&[(uid(7), Kinds::WS)]);
    let update = view.step(&mut cursor).expect("it is told");
    assert!(update.reload);
    assert_eq!(update.changes, [change(7, Kinds::NONE, Kinds::WS)]);
    assert_eq!(view.step(&mut cursor), None);
}

#[test]
fn more_at_once_than_is_kept_is_a_reload_for_all() {
    let view = View::new();
    let mut cursor = Cursor::new();
    view.step(&mut cursor).expect("nobody");
    let diffs = (0..=MAX_KEPT as u32).map(|number| change(number, Kinds::NONE, Kinds::WS));
    view.watching.tell(&diffs.collect::<Vec<_>>());
    assert!(view.watching.recent.lock().kept <= MAX_KEPT);
    assert!(view.step(&mut cursor).expect("it is told").reload);
}

#[test]
fn while_nobody_watches_only_enough_is_kept_for_one_that_comes_back_soon() {
    let mut view = View::new();
    let users: Vec<_> = (0..5_000).map(|number| (uid(number), Kinds::WS)).collect();
    for some in users.chunks(50) {
        view.set(some);
    }
    assert_eq!(view.watching.recent.lock().kept, 5_000);
    view.watched = None;
    view.set(&[(uid(0), Kinds::POLL)]);
    let recent = view.watching.recent.lock();
    assert!(recent.kept <= KEPT_UNWATCHED && recent.batches.capacity() < 128);
    let (n, oldest) = (recent.n, recent.oldest());
    drop(recent);
    assert_eq!(n, 101);

    // Its number is as good as if everything had been kept.
    let mut back = Cursor::after(&view.watching, n - 1).expect("kept");
    let update = view.step(&mut back).expect("one change");
    assert_eq!(update.changes, [change(0, Kinds::WS, Kinds::POLL)]);
    assert!(
        Cursor::after(&view.watching, oldest - 2).is_none(),
        "long ago"
    );
    assert!(Cursor::after(&view.watching, n).is_some());
}

#[test]
fn a_watcher_that_is_far_behind_is_told_a_page_at_a_time_and_numbered_as_it_goes() {
    let mut view = View::new();
    let mut cursor = Cursor::new();
    view.step(&mut cursor).expect("nobody");
    for _ in 0..3 {
        for kinds in [Kinds::WS, Kinds::NONE] {
            let all: Vec<_> = (0..2_500).map(|number| (uid(number), kinds)).collect();
            view.set(&all);
        }
    }
    let (mut copy, mut told, mut n) = (Copy::default(), 0, 0);
    while let Some(update) = view.step(&mut cursor) {
        assert!(update.changes.len() <= 2 * PAGE, "{}", update.changes.len());
        assert!(!update.reload && update.n > n);
        copy.apply(&update);
        (told, n) = (told + update.changes.len(), update.n);
        // Whoever is cut off here comes back to the very next change.
        let mut back = Cursor::after(&view.watching, n).expect("kept");
        let next = view.step(&mut back);
        assert_eq!(
            next,
            view.step(&mut Cursor {
                told: cursor.told,
                stage: Stage::Follows,
                places: false
            })
        );
    }
    assert_eq!((told, copy.0.len()), (15_000, 0));
}

#[test]
fn one_that_comes_back_goes_on_where_it_was_if_that_is_still_kept() {
    let mut view = View::new();
    for number in 1..=3 {
        view.set(&[(uid(number), Kinds::WS)]);
    }
    let mut cursor = Cursor::after(&view.watching, 1).expect("kept");
    let update = view.step(&mut cursor).expect("two changes");
    assert!(!update.reload);
    let expected = [2, 3].map(|number| change(number, Kinds::NONE, Kinds::WS));
    assert_eq!(update.changes, expected);
    let mut current = Cursor::after(&view.watching, 3).expect("kept");
    assert_eq!(view.step(&mut current), None);
    assert!(Cursor::after(&view.watching, 4).is_none(), "of the future");
    let all = (0..=MAX_KEPT as u32).map(|number| change(number, Kinds::NONE, Kinds::WS));
    view.watching.tell(&all.collect::<Vec<_>>());
    assert!(Cursor::after(&view.watching, 3).is_none(), "long ago");
    assert!(Cursor::after(&view.watching, 4).is_some());
}

#[test]
fn moves_between_nodes_are_told_to_those_alone_who_show_nodes() {
    let mut view = View::new();
    view.set(&[(uid(1), Kinds::WS)]);
    let (mut sets, mut places) = (Cursor::new(), Cursor::of_places(&view.watching));
    view.step(&mut sets).expect("everybody");
    view.watching.tell(&[change(1, Kinds::WS, Kinds::WS)]);
    assert_eq!(view.step(&mut sets), None);
    let moved = view.step(&mut places).expect("a move");
    assert_eq!(moved.changes, [change(1, Kinds::WS, Kinds::WS)]);
    // It has no number among the changes of the sets.
    assert_eq!(moved.n, 1);
    view.set(&[(uid(2), Kinds::WS)]);
    let mut back = Cursor::after(&view.watching, 1).expect("kept");
    let update = view.step(&mut back).expect("one change");
    assert_eq!((update.n, update.changes.len()), (2, 1));
}

#[test]
fn whatever_happens_between_its_steps_a_watcher_ends_with_the_truth_and_hears_no_no_op() {
    for seed in 0..12 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut view = View::new();
        let mut watchers: Vec<(Cursor, Copy)> = Vec::new();
        for _ in 0..300 {
            match random.random_range(0..10) {
                0 => watchers.push((Cursor::new(), Copy::default())),
                1..=5 => {
                    let users: BTreeMap<Uid, Kinds> = (0..random.random_range(1..200))
                        .map(|_| {
                            let kinds = Kinds::from_code(random.random_range(0..4));
                            (uid(random.random_range(0..3_000)), kinds.expect("valid"))
                        })
                        .collect();
                    view.set(&users.into_iter().collect::<Vec<_>>());
                }
                _ if watchers.is_empty() => {}
                _ => {
                    let which = random.random_range(0..watchers.len());
                    let (cursor, copy) = &mut watchers[which];
                    if let Some(update) = view.step(cursor) {
                        copy.apply(&update);
                    }
                }
            }
        }
        let truth = view.everybody();
        for (mut cursor, mut copy) in watchers {
            while let Some(update) = view.step(&mut cursor) {
                copy.apply(&update);
            }
            assert_eq!(copy.0, truth, "seed {seed}");
        }
    }
}
