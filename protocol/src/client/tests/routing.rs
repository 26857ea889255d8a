//! Promises about handlers: who gets an event, what is kept for whom, and that nothing is left behind.

use super::super::{Pattern, Routed, Router};
use super::*;

fn event(name: &str, n: u64) -> Event {
    Event {
        id: id(name),
        data: number(n),
        source: Source::Push,
    }
}

fn on(router: &mut Router<&'static str>, pattern: &str, handler: &'static str) -> Vec<Event> {
    router
        .on(Pattern::parse(pattern).unwrap(), handler, Millis(0))
        .1
}

const LATER: Millis = Millis(5_000);

#[test]
fn f14b_catch_all_takes_what_no_other_did() {
    let mut router = Router::new();
    on(&mut router, "*", "any");
    on(&mut router, "a/*", "namespace");
    on(&mut router, "a/b", "first");
    on(&mut router, "a/b", "second");
    let to = |router: &mut Router<_>, name| router.route(&event(name, 1), LATER);
    assert_eq!(to(&mut router, "a/b"), Routed::To(vec!["first", "second"]));
    assert_eq!(to(&mut router, "a/c"), Routed::To(vec!["namespace"]));
    assert_eq!(to(&mut router, "b/b"), Routed::To(vec!["any"]));
}

#[test]
fn patterns_follow_the_grammar_of_ids() {
    for bad in ["", "a", "a/", "/*", "a b/*", "a/b/*", "a/b/c", "**"] {
        assert!(Pattern::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(
        Pattern::parse("a/*").unwrap(),
        Pattern::Namespace("a".into())
    );
}

#[test]
fn f14c_early_pushes_are_kept_in_order_for_the_handlers_that_come() {
    let mut router = Router::new();
    for n in 1..=3 {
        assert_eq!(router.route(&event("a/b", n), Millis(0)), Routed::Kept);
        assert_eq!(router.route(&event("c/d", n), Millis(0)), Routed::Kept);
    }
    assert_eq!(
        on(&mut router, "a/b", "x"),
        [1, 2, 3].map(|n| event("a/b", n))
    );
    assert_eq!(on(&mut router, "a/b", "y"), []);
    // A moment after the first handler, others still find what came for them.
    assert_eq!(router.route(&event("c/d", 4), Millis(999)), Routed::Kept);
    let (_, kept) = router.on(Pattern::Any, "any", Millis(999));
    assert_eq!(kept, [1, 2, 3, 4].map(|n| event("c/d", n)));
}

#[test]
fn f14c_what_nobody_came_for_is_dropped_and_counted() {
    let mut router = Router::new();
    router.route(&event("a/b", 1), Millis(0));
    router.route(&event("a/b", 2), Millis(0));
    on(&mut router, "c/d", "x");
    assert_eq!(
        router.route(&event("e/f", 1), LATER),
        Routed::Unhandled { first: true }
    );
    assert_eq!(
        router.route(&event("e/f", 2), LATER),
        Routed::Unhandled { first: false }
    );
    assert_eq!(router.unhandled(), 4);
    assert_eq!(router.on(Pattern::Any, "late", LATER).1, []);
}

#[test]
fn f14c_early_pushes_are_bounded_and_what_did_not_fit_is_a_gap_at_its_place() {
    let mut router = Router::new();
    for n in 0..1_000 {
        router.route(&event("a/b", n), Millis(0));
    }
    let kept = on(&mut router, "*", "x");
    assert_eq!(kept.len(), 256);
    assert_eq!(kept[254], event("a/b", 254));
    assert_eq!(kept[255].id.as_str(), EventId::GAP);
    let mut router: Router<&str> = Router::new();
    for _ in 0..3 {
        let large = Event {
            data: text_of(500 << 10),
            ..event("a/b", 0)
        };
        router.route(&large, Millis(0));
    }
    assert_eq!(on(&mut router, "*", "x").len(), 3);
}

#[test]
fn state_changes_are_not_kept_but_gaps_are() {
    let mut router: Router<&str> = Router::new();
    let library = |name| Event {
        source: Source::Library,
        ..event(name, 0)
    };
    assert_eq!(
        router.route(&library(EventId::STATE), Millis(0)),
        Routed::Unhandled { first: false }
    );
    assert_eq!(
        router.route(&library(EventId::GAP), Millis(0)),
        Routed::Kept
    );
    assert_eq!(on(&mut router, "chsk/gap", "x").len(), 1);
}

#[test]
fn f14b_ten_thousand_registrations_leave_nothing_behind() {
    let mut router = Router::new();
    for n in 0..10_000u64 {
        let pattern = Pattern::parse(&format!("a/n{n}")).unwrap();
        let (route, _) = router.on(pattern, "x", Millis(0));
        assert!(router.off(route));
        assert!(!router.off(route));
    }
    assert!(router.is_empty() && router.routes.is_empty());
    assert!(matches!(
        router.route(&event("a/n1", 1), LATER),
        Routed::Unhandled { .. }
    ));
}

#[test]
fn ended_registration_is_not_called_but_its_neighbour_is() {
    let mut router = Router::new();
    let (first, _) = router.on(Pattern::parse("a/b").unwrap(), "first", Millis(0));
    router.on(Pattern::parse("a/b").unwrap(), "second", Millis(0));
    router.off(first);
    assert_eq!(
        router.route(&event("a/b", 1), LATER),
        Routed::To(vec!["second"])
    );
}

#[test]
fn f32_what_was_pushed_to_one_user_is_never_given_to_a_handler_of_another() {
    let handshake = |uid: Option<&str>| {
        let uid = uid.map_or(Value::Null, |uid| Value::Text(uid.into()));
        let told = Value::Array(vec![uid, Value::Null, Value::Bool(false)]);
        Event {
            id: id(EventId::HANDSHAKE),
            data: Data::from_value(Codec::Cbor, &told).unwrap(),
            source: Source::Library,
        }
    };
    let mut router = Router::new();
    router.route(&handshake(Some("alice")), Millis(0));
    router.route(&event("a/b", 1), Millis(0));
    // A reconnect of the same user keeps it.
    router.route(&handshake(Some("alice")), Millis(0));
    router.route(&event("a/b", 2), Millis(0));
    assert_eq!(on(&mut router, "a/b", "x").len(), 2);

    router.route(&event("c/d", 3), Millis(0));
    router.route(&handshake(Some("bob")), Millis(0));
    router.route(&event("c/d", 4), Millis(0));
    assert_eq!(on(&mut router, "c/d", "y"), [event("c/d", 4)]);
    router.route(&event("e/f", 5), Millis(0));
    router.route(&handshake(None), Millis(0));
    assert_eq!(on(&mut router, "e/f", "z"), []);
    assert_eq!(router.unhandled(), 2);
}
