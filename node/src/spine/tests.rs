//! Tests of hub and bus together, on the local bus: sessions without sockets, real tasks.

mod kicks;
mod losses;
mod malformed;
mod nats;
mod neighbours;
mod pushes;
mod reports;

use std::time::{Duration, Instant};

use bytes::Bytes;
use tengen_bus::push::batch;
use tengen_bus::push::{Push, Target};
use tengen_bus::{LocalNet, Message, Publish};
use tengen_protocol::{
    ClientHello, ClientId, CloseCode, Codec, Data, ErrorCode, Millis, NodeId, ServerFrame,
    ServerHello, Transport, Uid,
};

use super::*;
use crate::handle::Handle;
use crate::hub::Attachment;
use crate::interest::EveryNode;
use crate::online::Online;
use crate::peers::Doors;
use crate::push::PushError;

/// One node without its edge.
struct Node {
    spine: Spine,
    handle: Handle,
    bus: Bus,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One client without its socket.
struct Tab {
    hub: Arc<Hub>,
    attachment: Attachment,
    events: Vec<(String, String)>,
    received: u64,
    close: Option<CloseCode>,
}

async fn node_with(net: &LocalNet, name: &str, change: impl FnOnce(&mut SpineConfig)) -> Node {
    node_on(net.bus(), name, change).await
}

async fn node_on(bus: Bus, name: &str, change: impl FnOnce(&mut SpineConfig)) -> Node {
    let node = begun_on(bus, name, change).await;
    until_open(&node.spine.interest).await;
    node
}

/// One that may not be open yet.
async fn begun_on(bus: Bus, name: &str, change: impl FnOnce(&mut SpineConfig)) -> Node {
    let mut config = SpineConfig {
        hub: HubConfig::new(NodeId::parse(name).expect("valid")),
        subjects: Subjects::default(),
        ingest_queue_bytes: 64 << 20,
        routing: Arc::new(EveryNode),
    };
    change(&mut config);
    let (metrics, stop) = (Arc::<Metrics>::default(), CancellationToken::new());
    let tracker = TaskTracker::new();
    let spine = Spine::start(
        config,
        bus.clone(),
        Arc::clone(&metrics),
        |_: Millis| {},
        &tracker,
        &stop,
    )
    .await
    .expect("subscribed");
    let mut doors = Doors::default();
    spine.reports.open(&mut doors, &spine.hub);
    interest::open_door(&mut doors);
    let listening = spine.peers.listen(doors, &tracker, &stop).await;
    listening.expect("subscribed");
    let handle = Handle::new(
        Arc::clone(&spine.pusher),
        Online::of_nobody(&spine.hub, &bus),
    );
    Node {
        spine,
        handle,
        bus,
        metrics,
        stop,
    }
}

async fn node(net: &LocalNet, name: &str) -> Node {
    node_with(net, name, |_| {}).await
}

impl Node {
    fn tab(&self, user: Option<&str>, client: &str) -> Tab {
        let hub = Arc::clone(&self.spine.hub);
        let client = ClientId::parse(client).expect("valid");
        let hello = ClientHello {
            client,
            attempt: 1,
            session: None,
            received: None,
            params: None,
        };
        let uid = user.map(|uid| Uid::parse(uid).expect("valid"));
        let attachment = hub
            .hello(&hello, uid, Codec::Json, Transport::Ws, hub.now())
            .expect("a session");
        let greeting = ServerHello {
            session: attachment.port.id.clone(),
            resumed: false,
            gap: false,
            received: 0,
            uid: attachment.port.uid.clone(),
            data: Data::null(Codec::Json),
            ping_ms: 15_000,
            max_bytes: 1 << 19,
            node: hub.config().node.clone(),
        };
        assert!(
            attachment
                .port
                .with(|inner| inner.session.hello(attachment.link, &greeting))
        );
        Tab {
            hub,
            attachment,
            events: Vec::new(),
            received: 0,
            close: None,
        }
    }

    async fn publish(&self, subject: &str, body: &str) {
        self.bus
            .publish(Publish::new(subject, body.to_owned()))
            .await
            .expect("published");
    }
}

impl Tab {
    /// Takes what stands in line, as a connection would.
    fn look(&mut self) {
        let (hub, link) = (&self.hub, self.attachment.link);
        let mut out = Vec::new();
        let written = self.attachment.port.with(|inner| {
            inner
                .session
                .write(link, &mut out, 100_000, 1 << 30, hub.now(), hub.bounds())
        });
        self.close = self.close.or(written.close.map(|(code, _)| code));
        for ws in out {
            let start = match ws[1] {
                126 => 4,
                127 => 10,
                _ => 2,
            };
            if let Ok(ServerFrame::Event { id, data }) =
                ServerFrame::decode(Codec::Json, ws.slice(start..), &Default::default())
            {
                self.received += 1;
                let data = String::from_utf8(data.bytes().to_vec()).expect("json");
                self.events.push((id.as_str().to_owned(), data));
            }
        }
    }

    /// Waits until `done` holds of what this client has got.
    async fn until(&mut self, what: &str, done: impl Fn(&Tab) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            self.look();
            if done(self) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: got {} events, last {:?}",
                self.events.len(),
                self.events.last()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn next(&mut self, id: &str) {
        self.until(id, |tab| tab.events.iter().any(|(got, _)| got == id))
            .await;
    }

    fn ids(&self) -> Vec<&str> {
        self.events.iter().map(|(id, _)| id.as_str()).collect()
    }
}

async fn until_open(interest: &Interest) {
    eventually("open", || interest.status().is_open()).await;
}

/// Pushes while the bus is down: told so, and without a wait. One that waits does so every time; a busy
/// machine does not.
async fn fails_at_once(handle: &Handle) {
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let down = handle.send_to_uid("alice", "t/lost", &()).await;
        assert_eq!(down, Err(PushError::BusDown));
        quickest = quickest.min(begun.elapsed());
    }
    assert!(quickest < Duration::from_millis(500), "{quickest:?}");
}

/// Waits until `done` holds.
async fn eventually(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
