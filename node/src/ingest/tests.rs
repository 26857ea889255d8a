//! Tests of what arrives from the bus, and of the two memories of ingest.

use std::time::Duration;

use tengen_bus::push::Target;
use tengen_protocol::{Millis, Uid};

use super::seen::{Note, Seen};
use super::seldom::Seldom;

fn uid(text: &str) -> Target {
    Target::Uid(Uid::parse(text).expect("valid"))
}

#[test]
fn f63c_an_id_repeats_for_the_same_target_within_the_window_only() {
    let mut seen = Seen::new(Duration::from_secs(10), 100);
    let (alice, bob) = (uid("alice"), uid("bob"));
    assert_eq!(seen.note(&alice, 7, Millis(0)), Note::New);
    assert_eq!(seen.note(&alice, 7, Millis(9_999)), Note::Repeated(0));
    assert_eq!(
        seen.note(&bob, 7, Millis(9_999)),
        Note::New,
        "another target"
    );
    assert_eq!(seen.note(&Target::All, 7, Millis(9_999)), Note::New);
    assert_eq!(seen.note(&Target::Anonymous, 7, Millis(9_999)), Note::New);
    assert_eq!(seen.note(&alice, 8, Millis(9_999)), Note::New, "another id");
    assert_eq!(
        seen.note(&alice, 7, Millis(10_000)),
        Note::New,
        "a repeat does not prolong"
    );
}

#[test]
fn too_many_fresh_ids_forget_the_oldest_and_say_so() {
    let mut seen = Seen::new(Duration::from_secs(10), 3);
    let alice = uid("alice");
    for id in 1..=3 {
        assert_eq!(seen.note(&alice, id, Millis(0)), Note::New);
    }
    assert_eq!(seen.note(&alice, 4, Millis(1)), Note::NewAndForgot);
    assert_eq!(seen.note(&alice, 2, Millis(1)), Note::Repeated(0));
    assert_eq!(
        seen.note(&alice, 1, Millis(1)),
        Note::NewAndForgot,
        "1 was forgotten"
    );
}

#[test]
fn f63_a_repeat_knows_for_how_many_clients_the_first_one_was_queued() {
    let mut seen = Seen::new(Duration::from_secs(10), 2);
    let alice = uid("alice");
    seen.note(&alice, 1, Millis(0));
    seen.queued(&alice, 1, 3);
    seen.note(&alice, 2, Millis(0));
    assert_eq!(seen.note(&alice, 1, Millis(1)), Note::Repeated(3));
    assert_eq!(seen.note(&alice, 2, Millis(1)), Note::Repeated(0));
    seen.note(&alice, 3, Millis(1));
    // Of one that was forgotten meanwhile nothing is kept.
    seen.queued(&alice, 1, 9);
    assert_eq!(seen.note(&alice, 1, Millis(1)), Note::NewAndForgot);
}

#[test]
fn a_warning_comes_once_a_minute_and_says_how_many_it_stands_for() {
    let mut seldom = Seldom::new(Duration::from_secs(60));
    assert_eq!(seldom.due(Millis(0)), Some(0));
    for at in 1..=5 {
        assert_eq!(seldom.due(Millis(at)), None);
    }
    assert_eq!(seldom.due(Millis(60_000)), Some(5));
    assert_eq!(seldom.due(Millis(120_000)), Some(0));
}
