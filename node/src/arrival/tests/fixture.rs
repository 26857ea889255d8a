//! Nodes without edge and handlers, clients without sockets, and a bus that loses messages on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use parking_lot::Mutex;
use tengen_bus::{Bus, Fate, Faults, HandleId, LocalNet};
use tengen_protocol::subject::Subjects;
use tengen_protocol::{
    ClientHello, ClientId, CloseCode, Codec, Data, Millis, NodeId, ServerFrame, ServerHello,
    SessionId, Transport, Uid,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arrival::{Arrivals, Greeted, Parts};
use crate::debts::{self, Debts};
use crate::forward::inbound::Inbound;
use crate::handle::Handle;
use crate::handlers::connected::Connected;
use crate::holder::Holder;
use crate::hub::port::Port;
use crate::hub::sweep::{Beside, Found};
use crate::hub::{Attachment, Hub, HubConfig};
use crate::identity::Identified;
use crate::interest::{EveryNode, HOLD, Interest};
use crate::metrics::Metrics;
use crate::moves::{Moves, Start};
use crate::online::Online;
use crate::peers::{Doors, Peers};
use crate::spine::{Spine, SpineConfig};

/// The arrivals of a node without neighbours, for tests of other parts.
pub(crate) fn alone(hub: &Arc<Hub>, interest: &Arc<Interest>, start: &Start) -> Arc<Arrivals> {
    let (node, metrics) = (hub.config().node.clone(), Arc::clone(hub.metrics()));
    let peers = Peers::new(
        Bus::local(),
        Subjects::default(),
        node.clone(),
        Arc::clone(&metrics),
    );
    Arrivals::new(Parts {
        hub: Arc::clone(hub),
        interest: Arc::clone(interest),
        moves: Moves::new(peers.clone(), node, metrics),
        peers,
        start: Arc::clone(start),
        open_timeout: HOLD,
        tracker: TaskTracker::new(),
        shutdown: CancellationToken::new(),
    })
}

/// One node. Its items are never handled: what stands in an inbox stays there.
pub(super) struct Node {
    pub hub: Arc<Hub>,
    pub arrivals: Arc<Arrivals>,
    pub metrics: Arc<Metrics>,
    pub handle: Handle,
    pub bus: Bus,
    pub tasks: TaskTracker,
    pub closing: CancellationToken,
    pub stop: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.closing.cancel();
        self.stop.cancel();
    }
}

struct Sweeping(debts::Findings);

impl Beside for Sweeping {
    fn second(&self, _: Millis) {}

    fn moving(&self, found: &mut Found, last: bool) {
        self.0.tell(found, last);
    }
}

pub(super) async fn node(net: &LocalNet, name: &str) -> Node {
    node_with(net, name, |_| {}).await
}

pub(super) async fn node_with(
    net: &LocalNet,
    name: &str,
    change: impl FnOnce(&mut HubConfig),
) -> Node {
    let (bus, metrics) = (net.bus(), Arc::<Metrics>::default());
    let mut hub = HubConfig::new(NodeId::parse(name).expect("valid"));
    change(&mut hub);
    let config = SpineConfig {
        hub,
        subjects: Subjects::default(),
        ingest_queue_bytes: 64 << 20,
        routing: Arc::new(EveryNode),
    };
    let (tasks, closing, stop) = (
        TaskTracker::new(),
        CancellationToken::new(),
        CancellationToken::new(),
    );
    let (findings, found) = debts::findings();
    let spine = Spine::start(
        config,
        bus.clone(),
        Arc::clone(&metrics),
        Sweeping(findings),
        &tasks,
        &stop,
    );
    let Spine {
        hub,
        interest,
        pusher,
        fences,
        peers,
        moves,
        ..
    } = spine.await.expect("subscribed");
    let start: Start = Arc::new(|_| ());
    let mut doors = Doors::default();
    Holder {
        hub: Arc::clone(&hub),
        fences,
        moves: moves.clone(),
    }
    .open(&mut doors);
    Inbound {
        hub: Arc::clone(&hub),
        moves: moves.clone(),
        start: Arc::clone(&start),
    }
    .open(&mut doors);
    peers
        .listen(doors, &tasks, &stop)
        .await
        .expect("subscribed");
    let debts = Debts {
        hub: Arc::clone(&hub),
        peers: peers.clone(),
        moves: moves.clone(),
        start: Arc::clone(&start),
    };
    tasks.spawn(debts.run(found, stop.clone()));
    let arrivals = Arrivals::new(Parts {
        hub: Arc::clone(&hub),
        interest: Arc::clone(&interest),
        peers,
        moves,
        start,
        open_timeout: HOLD,
        tracker: tasks.clone(),
        shutdown: closing.clone(),
    });
    let online = Online::of_nobody(&hub, &bus);
    let node = Node {
        hub,
        arrivals,
        metrics,
        handle: Handle::new(pusher, online),
        bus,
        tasks,
        closing,
        stop,
    };
    eventually("open", || interest.status().is_open()).await;
    node
}

/// The parts of no request in particular.
fn context() -> Arc<Connected> {
    let (parts, ()) = Request::new(()).into_parts();
    let (identified, data) = (Identified::default(), Data::null(Codec::Json));
    let peer = ([127, 0, 0, 1], 9).into();
    Arc::new(Connected::new(
        parts,
        peer,
        Transport::Ws,
        &identified,
        &data,
    ))
}

pub(super) fn hello(client: &str, attempt: u64, session: Option<&SessionId>) -> ClientHello {
    ClientHello {
        client: ClientId::parse(client).expect("valid"),
        attempt,
        session: session.cloned(),
        received: Some(0),
        params: None,
    }
}

impl Node {
    /// Says hello as alice's `tab`.
    pub(super) async fn hello(&self, attempt: u64, session: Option<&SessionId>) -> Greeted {
        self.greet(hello("tab", attempt, session)).await
    }

    pub(super) async fn greet(&self, hello: ClientHello) -> Greeted {
        let uid = Uid::parse("alice").expect("valid");
        let codec = Codec::Json;
        self.arrivals
            .greet(hello, Some(uid), codec, Transport::Ws, context())
            .await
    }

    /// A new session of alice's.
    pub(super) async fn begin(&self) -> Tab {
        self.tab(self.hello(1, None).await.expect("a session"))
    }

    pub(super) fn tab(&self, attachment: Attachment) -> Tab {
        let attached = &attachment.attached;
        let greeting = ServerHello {
            session: attachment.port.id.clone(),
            resumed: attached.resumed,
            gap: attached.gap,
            received: attached.received,
            uid: attachment.port.uid.clone(),
            data: Data::null(Codec::Json),
            ping_ms: 15_000,
            max_bytes: 1 << 19,
            node: self.hub.config().node.clone(),
        };
        let link = attachment.link;
        let greeted = |inner: &mut crate::hub::port::Inner| inner.session.hello(link, &greeting);
        assert!(attachment.port.with(greeted));
        Tab {
            hub: Arc::clone(&self.hub),
            attachment,
            events: Vec::new(),
        }
    }

    pub(super) async fn push(&self, number: u64) {
        let push = self.handle.send_to_uid("alice", "t/n", &number);
        push.await.expect("accepted");
    }

    pub(super) fn port(&self, id: &SessionId) -> Option<Arc<Port>> {
        self.hub.session(id)
    }
}

/// A client without its socket.
pub(super) struct Tab {
    hub: Arc<Hub>,
    attachment: Attachment,
    /// What it has got: ids, with their data.
    pub events: Vec<String>,
}

impl Tab {
    pub(super) fn id(&self) -> SessionId {
        self.attachment.port.id.clone()
    }

    pub(super) fn resumed(&self) -> bool {
        self.attachment.attached.resumed
    }

    pub(super) fn gap(&self) -> bool {
        self.attachment.attached.gap
    }

    /// Takes what stands in line, as a connection would; gives the close, if there is one.
    pub(super) fn look(&mut self) -> Option<CloseCode> {
        let (hub, link) = (&self.hub, self.attachment.link);
        let mut out = Vec::new();
        let written = self.attachment.port.with(|inner| {
            let session = &mut inner.session;
            session.write(link, &mut out, 100_000, 1 << 30, hub.now(), hub.bounds())
        });
        self.events.extend(out.iter().filter_map(event));
        written.close.map(|(code, _)| code)
    }

    /// Waits until it has got so many events.
    pub(super) async fn until(&mut self, count: usize) {
        for _ in 0..10_000 {
            self.look();
            if self.events.len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{count} events expected, got {:?}", self.events);
    }

    /// The client sends a frame.
    pub(super) fn sends(&self, frame: &'static str) {
        let (hub, link) = (&self.hub, self.attachment.link);
        self.attachment.port.with(|inner| {
            let frame = Bytes::from_static(frame.as_bytes());
            let session = &mut inner.session;
            session.receive(link, frame, &context(), hub.now(), hub.bounds())
        });
    }
}

fn event(ws: &Bytes) -> Option<String> {
    let start = match ws[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    match ServerFrame::decode(Codec::Json, ws.slice(start..), &Default::default()) {
        Ok(ServerFrame::Event { id, data }) => {
            let data = String::from_utf8_lossy(data.bytes()).into_owned();
            Some(format!("{id} {data}"))
        }
        Ok(ServerFrame::Reply { request, outcome }) => {
            let code = outcome.err().map_or(0, |refusal| refusal.code.0);
            Some(format!("reply {request} {code}"))
        }
        _ => None,
    }
}

/// Loses so many messages whose subject contains a text.
#[derive(Default)]
pub(super) struct Losing {
    subject: Mutex<String>,
    from: Mutex<Option<HandleId>>,
    to: Mutex<Option<HandleId>>,
    skip: AtomicUsize,
    left: AtomicUsize,
    pub lost: AtomicUsize,
}

impl Losing {
    pub(super) fn on(net: &LocalNet) -> Arc<Losing> {
        let losing = Arc::<Losing>::default();
        net.set_faults(Some(Arc::clone(&losing) as Arc<dyn Faults>));
        losing
    }

    /// Of the messages of `from`, or of anybody, from the next one on.
    pub(super) fn lose(&self, from: Option<HandleId>, subject: &str, count: usize) {
        self.lose_after(0, from, subject, count);
    }

    /// Of the messages to `to` alone.
    pub(super) fn lose_on_the_way_to(&self, to: Option<HandleId>, subject: &str, count: usize) {
        *self.to.lock() = to;
        self.lose(None, subject, count);
    }

    /// The same, but lets the first `skip` of them pass.
    pub(super) fn lose_after(
        &self,
        skip: usize,
        from: Option<HandleId>,
        subject: &str,
        count: usize,
    ) {
        self.skip.store(skip, Ordering::SeqCst);
        *self.subject.lock() = subject.to_owned();
        *self.from.lock() = from;
        self.left.store(count, Ordering::SeqCst);
    }
}

impl Faults for Losing {
    fn fate(&self, from: HandleId, to: HandleId, subject: &str) -> Fate {
        let meant = subject.contains(&*self.subject.lock())
            && self.to.lock().is_none_or(|whose| whose == to)
            && self.from.lock().is_none_or(|whose| whose == from);
        let one = |counter: &AtomicUsize| {
            let one_less = |left: usize| left.checked_sub(1);
            counter
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                .is_ok()
        };
        if !meant || one(&self.skip) || !one(&self.left) {
            return Fate::Deliver;
        }
        self.lost.fetch_add(1, Ordering::SeqCst);
        Fate::Lose
    }
}

/// Waits until `done` holds, in virtual time where the clock is paused.
pub(super) async fn eventually(what: &str, done: impl Fn() -> bool) {
    for _ in 0..50_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{what}");
}
