//! Which sets agree, how far, and how far anybody is made to look for it.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::*;
use crate::ids::NodeId;
use crate::millis::Millis;
use crate::presence::{Options, Page, Roster};

const RANGE: usize = RANGE_USERS as usize;

fn uid(number: usize) -> Uid {
    Uid::parse(&format!("u{number:06}")).expect("a uid")
}

fn set(numbers: std::ops::Range<usize>) -> BTreeSet<Uid> {
    numbers.map(uid).collect()
}

#[test]
fn equal_sets_agree_as_a_whole_and_others_up_to_the_first_range_that_differs() {
    let mine = set(0..12 * RANGE);
    let have = Have::of(&mine, None, 8, RANGE_USERS);
    assert_eq!(have.upto.len(), 8);
    assert_eq!(have.agrees(&mine, None), Agreed::Whole);
    let behind = 10 * RANGE;
    for (wrong, upto) in [(3, 0), (RANGE, 1), (3 * RANGE - 1, 2), (behind, 8)] {
        let mut other = mine.clone();
        other.remove(&uid(wrong));
        let agreed = match upto {
            0 => Agreed::Nothing,
            _ => Agreed::UpTo(uid(upto * RANGE - 1)),
        };
        assert_eq!(have.agrees(&other, None), agreed, "without {wrong}");
        other.insert(Uid::parse(&format!("u{wrong:06}x")).expect("a uid"));
        assert_eq!(have.agrees(&other, None), agreed, "another for {wrong}");
    }
}

#[test]
fn ranges_begin_behind_the_page_before() {
    let mine = set(0..3 * RANGE);
    let mut other = mine.clone();
    other.remove(&uid(7));
    let after = uid(10);
    let have = Have::of(&mine, Some(&after), 4, RANGE_USERS);
    let last = uid(2 * RANGE + 10);
    assert_eq!(have.upto.len(), 2, "as many as there are");
    assert_eq!(have.agrees(&other, Some(&after)), Agreed::UpTo(last));
    assert_eq!(have.agrees(&other, None), Agreed::Nothing);
}

#[test]
fn a_range_that_ends_with_the_set_agrees_whoever_is_behind_it() {
    let mine = set(0..RANGE);
    let upto = Have::of(&mine, None, 4, RANGE_USERS).upto;
    let all = Sum::default();
    let mut have = Have { all, upto };
    let last = Agreed::UpTo(uid(RANGE - 1));
    assert_eq!(have.agrees(&mine, None), last);
    assert_eq!(have.agrees(&set(0..RANGE + 1), None), last);
    have.upto[0].1.users -= 1;
    assert_eq!(have.agrees(&mine, None), Agreed::Nothing);
}

/// A million users who are only counted when somebody walks over them.
struct Counted(Cell<usize>);

impl Told for Counted {
    fn is_told(&self, _: &Uid) -> bool {
        true
    }

    fn set_told(&mut self, _: &Uid, _: bool, _: Millis) {}

    fn told_page(&self, _: Option<&Uid>, _: usize) -> Page<Uid> {
        panic!("nobody asks for a page")
    }

    fn told_sum(&self) -> Sum {
        Sum::default()
    }

    fn each_told(&self, _: Option<&Uid>, mut look: impl FnMut(&str) -> bool) {
        while self.0.get() < 1_000_000 && look(uid(self.0.get()).as_str()) {
            self.0.set(self.0.get() + 1);
        }
    }

    fn retain_told_in(&mut self, _: Option<&Uid>, _: Option<&Uid>, _: &[Uid], _: Millis) {}
}

#[test]
fn nobody_is_made_to_walk_over_everything() {
    let walked = Counted(Cell::new(0));
    let (users, digest) = (1 << 40, 7);
    let all = Sum { users, digest };
    let upto = vec![(Uid::parse("zzz").expect("a uid"), all)];
    assert_eq!(Have { all, upto }.agrees(&walked, None), Agreed::Nothing);
    assert_eq!(walked.0.get(), MAX_RANGES * RANGE);
}

#[test]
fn a_roster_keeps_the_sum_of_whom_it_was_told() {
    let (now, me) = (Millis(5), NodeId::parse("n1").expect("a node id"));
    let mut roster = Roster::new(me.clone(), &Options::new(me), 1, now);
    let mut told = BTreeSet::new();
    let mut random = 7_u32;
    for step in 0..2_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (user, on) = (uid((random >> 16) as usize % 50), random >> 31 == 1);
        roster.set_told(&user, on, now);
        told.set_told(&user, on, now);
        assert_eq!(roster.told_sum(), told.told_sum(), "step {step}");
    }
    let mut walked = Vec::new();
    roster.each_told(Some(&uid(9)), |uid| {
        walked.push(Uid::known(uid));
        true
    });
    assert!(walked.iter().eq(told.range(uid(10)..)), "{walked:?}");
}
