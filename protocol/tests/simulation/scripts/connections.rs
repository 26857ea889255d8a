//! Connections of one session, one after the other: late copies, late frames, other users, a bus that is gone.

use super::{Scene, scene};
use crate::plan::Plan;
use crate::played::Script;
use tengen_protocol::Uid;
use tengen_protocol::client::TransportChoice;

pub(super) const SCRIPTS: &[Script] = &[
    (
        "a copy of a hello comes when it was answered long ago",
        late_copy,
    ),
    ("a copy of a tab goes on with its session", copied),
    (
        "a user logs in as another one, at the same node",
        other_user_here,
    ),
    (
        "a user logs in as another one, at another node",
        other_user_there,
    ),
    (
        "an item comes late over a connection that is superseded",
        late_item,
    ),
    (
        "an item comes late to a node that the session has left",
        late_item_elsewhere,
    ),
    ("a node is cut off from the bus", cut_off),
];

fn late_copy(seed: u64) {
    let mut scene = Scene::of(seed, Plan::still(1), TransportChoice::Poll);
    let first = scene.push();
    scene.until("a push has come", |scene| scene.has_come(first));
    scene.goes_to(0);
    scene.until("a hello is under way", |scene| {
        scene.hello_under_way().is_some()
    });
    let hello = scene.hello_under_way().unwrap();
    scene.until("it is answered", |scene| scene.hello_under_way().is_none());
    let session = scene.session();
    let second = scene.push();
    scene.until("another one has come", |scene| scene.has_come(second));
    scene.pass(3_000);
    scene.comes_again(hello);
    scene.pass(3_000);
    scene.push();
    scene.ends_well();
    assert_eq!(scene.session(), session, "a late copy has ended a session");
    assert_eq!(scene.gaps(), 0, "a late copy was told as a gap");
}

fn copied(seed: u64) {
    let mut scene = scene(seed, 1);
    let (client, session) = (scene.tabs[0].client.client().clone(), scene.session());
    let received = scene.tabs[0].client.received();
    scene.goes_on_for(0, received);
    scene.pass(10_000);
    scene.ends_well();
    assert_ne!(*scene.tabs[0].client.client(), client, "two have one name");
    assert_ne!(scene.session(), session, "two have one session");
}

/// Bob goes on where alice was.
fn becomes_bob(scene: &mut Scene, node: usize) {
    let session = scene.session();
    scene.ledger.pushes.left(0);
    scene.tabs[0].login = Uid::parse("bob").ok();
    scene.goes_to(node);
    scene.until("bob is there", |scene| {
        scene.tabs[0].client.state().uid == scene.tabs[0].login
    });
    assert_ne!(scene.session(), session, "bob has alice's session");
    scene.push();
    scene.ends_well();
}

fn other_user_here(seed: u64) {
    becomes_bob(&mut scene(seed, 1), 0);
}

fn other_user_there(seed: u64) {
    becomes_bob(&mut scene(seed, 2), 1);
}

/// Of what the tab has said over its connection, all is a second late.
fn says_late(scene: &mut Scene) -> u64 {
    let (wire, late) = (scene.current_wire(0).unwrap(), scene.now + 1_000);
    let wire = scene.wires.get_mut(&wire).unwrap();
    wire.holds_up(late);
    // The node cannot tell the old connection that it is superseded, and so goes on reading it.
    wire.blocked_until = late + 5_000;
    scene.says()
}

fn late_item(seed: u64) {
    let mut scene = scene(seed, 1);
    let item = says_late(&mut scene);
    scene.goes_to(0);
    scene.until("it is handled", |scene| scene.ledger.items.has_begun(item));
    scene.ends_well();
}

fn late_item_elsewhere(seed: u64) {
    let mut scene = scene(seed, 2);
    let item = says_late(&mut scene);
    scene.goes_to(1);
    scene.until("it is handled", |scene| scene.ledger.items.has_begun(item));
    scene.ends_well();
}

fn cut_off(seed: u64) {
    let mut scene = scene(seed, 1);
    scene.bus.cut(0);
    scene.bus_lost(0);
    scene.pass(2_000);
    assert_eq!(
        scene.gaps(),
        0,
        "told to fetch while what comes is not heard"
    );
    scene.bus.restore(0);
    scene.confirm_interest(0);
    scene.pass(5_000);
    scene.ends_well();
    assert_eq!(scene.gaps(), 1, "an interruption is one hole");
}
