//! Small worlds in which one fixed trouble comes at a fixed moment, each with a question of its own; a seed decides the rest.

mod connections;
mod handlers;
mod holders;
mod pushes;

use crate::chance::Chance;
use crate::ledger::CONTENT_WINDOW;
use crate::plan::Plan;
use crate::played::Script;
use crate::pushing::{Name, Push, Stream};
use crate::tab::Tab;
use crate::web::{Http, Proxy};
use crate::world::{Stage, World};
use std::ops::{Deref, DerefMut};
use tengen_protocol::client::{Options, SendOptions, TransportChoice};
use tengen_protocol::server::Standing;
use tengen_protocol::{Filter, NodeId, SessionId, Target, Uid};

/// All of them.
pub(crate) const SCRIPTS: &[&[Script]] = &[
    connections::SCRIPTS,
    handlers::SCRIPTS,
    holders::SCRIPTS,
    pushes::SCRIPTS,
];

/// What is to happen next happens within this, in milliseconds.
const SOON_MS: u64 = 10_000;
/// Everything is settled within this: what is left over of a session is forgotten after 30 s.
const SETTLED_MS: u64 = 120_000;

/// A still world in which alice has one tab, at node 0; only what the script does happens.
struct Scene(World);

impl Deref for Scene {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.0
    }
}

/// So many nodes on one bus with one order for all.
fn scene(seed: u64, nodes: usize) -> Scene {
    Scene::of(seed, Plan::still(nodes), TransportChoice::Ws)
}

/// So many nodes on a bus on which publishers alone keep their order.
fn loose_scene(seed: u64, nodes: usize) -> Scene {
    let plan = Plan {
        loose_bus: true,
        ..Plan::still(nodes)
    };
    Scene::of(seed, plan, TransportChoice::Ws)
}

impl Scene {
    fn of(seed: u64, plan: Plan, transport: TransportChoice) -> Scene {
        let dice = [seed, !seed, seed ^ 0x0DD].map(Chance::new);
        let publisher = plan.nodes;
        let mut world = World::of(plan, seed, dice, std::env::var_os("TENGEN_LOG").is_some());
        world.publishers[publisher].stream = None;
        world.stage = Some(Stage {
            node: 0,
            handlers: 10,
        });
        for node in 0..world.nodes.len() {
            world.start_node(node);
        }
        let mut scene = Scene(world);
        scene.pass(100);
        let options = Options {
            transport,
            ..Options::default()
        };
        let alice = Uid::parse("alice").ok();
        let mut tab = Tab::new(options, seed, alice, &mut scene.chance);
        tab.proxy = Proxy::None;
        scene.tabs.push(tab);
        let now = scene.tabs[0].now(scene.now);
        scene.tabs[0].client.connect(now);
        scene.carry_out(0);
        scene.until("the tab is at node 0", |scene| scene.is_at(0));
        scene.pass(100);
        scene
    }

    /// Lets time pass.
    fn pass(&mut self, milliseconds: u64) {
        let until = self.now + milliseconds;
        while self.step(until) {}
    }

    /// Lets happen what comes next until this is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&Scene) -> bool) {
        let end = self.now + SOON_MS;
        while !is_so(self) {
            let goes_on = self.step(end);
            assert!(goes_on, "it does not come to this: {what}");
        }
    }

    /// Everything comes to rest, whole, or a gap has told what is missing.
    fn ends_well(&mut self) {
        let end = self.now + SETTLED_MS;
        while let Err(why) = self.settled() {
            assert!(self.now < end, "it does not come to rest: {why}");
            self.pass(1_000);
        }
    }

    /// The tab opens a new connection, to this node.
    fn goes_to(&mut self, node: usize) {
        self.stage.as_mut().unwrap().node = node;
        let now = self.tabs[0].now(self.now);
        self.tabs[0].client.reconnect(now);
        self.carry_out(0);
    }

    /// The tab opens a new connection, to this node, and has its session there.
    fn moves_to(&mut self, node: usize) {
        self.goes_to(node);
        self.until("the tab has moved", |scene| scene.is_at(node));
    }

    fn handlers_take(&mut self, milliseconds: u64) {
        self.stage.as_mut().unwrap().handlers = milliseconds;
    }

    /// The session of the tab.
    fn session(&self) -> SessionId {
        self.tabs[0].client.state().session.clone().unwrap()
    }

    /// Whether the tab is open, at this node.
    fn is_at(&self, node: usize) -> bool {
        let state = self.tabs[0].client.state();
        let there = state.node.as_ref() == Some(&self.nodes[node].id);
        state.open && there && self.standing(node) == Some(Standing::Home)
    }

    /// How the tab's session stands at a node.
    fn standing(&self, node: usize) -> Option<Standing> {
        let id = self.tabs[0].client.state().session.as_ref()?;
        let home = self.nodes[node].homes.get(id)?;
        Some(home.session.standing())
    }

    /// For whom the tab's session is cut at node 0, which has no yes yet.
    fn cut_for(&self) -> Option<&NodeId> {
        let home = self.nodes[0].homes.get(&self.session())?;
        let frozen = home.session.standing() == Standing::Frozen;
        home.session.owner().filter(|_| frozen)
    }

    /// A node stands still for so long.
    fn pause(&mut self, node: usize, milliseconds: u64) {
        self.nodes[node].paused_until = self.now + milliseconds;
    }

    /// The publisher from now on numbers what it pushes.
    fn numbers_pushes(&mut self) {
        let (publisher, number) = (self.plan.nodes, self.chance.next());
        self.publishers[publisher].stream = Some(Stream::new(number.into()));
    }

    /// Nothing of the publisher reaches this node for so long, on a loose bus.
    fn hold_up_pushes(&mut self, node: usize, milliseconds: u64) {
        let (publisher, until) = (self.plan.nodes, self.now + milliseconds);
        self.bus.holds_up_between(publisher, node, until);
    }

    /// The publisher pushes something to alice.
    fn push(&mut self) -> Name {
        let by = self.plan.nodes;
        let alice = Target::Uid(Uid::parse("alice").unwrap());
        let numbered = self.publishers[by].stream.is_some();
        let known_for = (!numbered).then_some(CONTENT_WINDOW);
        let at = (self.now, known_for);
        let name = self.ledger.publish(by, &alice, &Filter::None, at);
        let push = Push::new(alice, Filter::None, 0, name);
        if numbered {
            self.publish_batch(by, vec![push]);
        } else {
            self.send(by, crate::bus::Message::Plain(push.into()));
        }
        name
    }

    fn has_come(&self, push: Name) -> bool {
        self.ledger.pushes.has_come(0, push)
    }

    /// How often the tab was told of a gap.
    fn gaps(&self) -> u64 {
        self.ledger.totals.gaps
    }

    /// The tab says an event.
    fn says(&mut self) -> u64 {
        self.tab_says(0, false, SendOptions::default(), false)
    }

    /// The tab asks, and waits for so long.
    fn asks(&mut self, milliseconds: u64) -> u64 {
        let options = SendOptions {
            timeout_ms: Some(milliseconds),
            ..SendOptions::default()
        };
        self.tab_says(0, false, options, true)
    }

    /// The tab's hello by POST, while it is under way.
    fn hello_under_way(&self) -> Option<Http> {
        let mut all = self.https.values();
        let hello = |http: &&Http| http.exchange.post && http.exchange.query.is_empty();
        all.find(hello).cloned()
    }
}
