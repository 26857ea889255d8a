//! Handlers that are at work while their session moves, and more items than may wait for them.

use super::{Scene, scene};
use crate::plan::Plan;
use crate::played::Script;
use tengen_protocol::client::TransportChoice;
use tengen_protocol::server::Bounds;

pub(super) const SCRIPTS: &[Script] = &[
    (
        "a former holder stands still with a handler at work",
        holder_stands_still,
    ),
    ("a session moves while its request is handled", moves_once),
    (
        "a session moves twice while its request is handled",
        moves_twice,
    ),
    ("a hundred items come at once by POST", many_at_once),
];

fn holder_stands_still(seed: u64) {
    let mut scene = scene(seed, 2);
    scene.handlers_take(100_000);
    let first = scene.asks(2_000);
    let second = scene.says();
    scene.pass(50);
    assert!(scene.ledger.items.has_begun(first));
    assert!(!scene.ledger.items.has_begun(second));
    scene.moves_to(1);
    scene.pause(0, 30_000);
    scene.handlers_take(10);
    scene.pass(500);
    assert!(!scene.ledger.items.has_begun(second), "two items at once");
    scene.pass(4_000);
    let begun = scene.ledger.items.has_begun(second);
    assert!(
        begun,
        "an item waits for longer than the handler before it has"
    );
    scene.ends_well();
}

/// Asks, and goes to these nodes until it is answered.
fn asks_and_moves(seed: u64, through: &[usize]) {
    let mut scene = scene(seed, 1 + through.len());
    scene.handlers_take(3_000);
    let request = scene.asks(20_000);
    scene.pass(50);
    assert!(scene.ledger.items.has_begun(request));
    for node in through {
        scene.moves_to(*node);
    }
    scene.pass(5_000);
    let outcome = scene.ledger.items.outcome(request);
    assert!(matches!(outcome, Some(Ok(_))), "the answer is {outcome:?}");
    scene.ends_well();
}

fn moves_once(seed: u64) {
    asks_and_moves(seed, &[1]);
}

fn moves_twice(seed: u64) {
    asks_and_moves(seed, &[1, 2]);
}

fn many_at_once(seed: u64) {
    let plan = Plan {
        bounds: Bounds {
            inbox_items: 4,
            ..Bounds::default()
        },
        ..Plan::still(1)
    };
    let mut scene = Scene::of(seed, plan, TransportChoice::Poll);
    scene.handlers_take(200);
    for _ in 0..100 {
        scene.says();
    }
    scene.ends_well();
}
