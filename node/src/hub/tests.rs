//! Tests of the hub's rules, without sockets or bus: sessions, queues and counted wakers.

mod attendance;
mod bounds;
mod delivery;
mod sessions;

use std::sync::atomic::AtomicUsize;
use std::task::{Wake, Waker};

use bytes::Bytes;
use tengen_bus::push::{Filter, Push, Target};
use tengen_protocol::takeover::Identity;
use tengen_protocol::{ClientId, Data, RawEvent, ServerFrame, ServerHello, Transport};

use super::deliver::Way;
use super::members::Crowd;
use super::touched::Touched;
use super::*;
use crate::ingest::gap;
use crate::interest::EveryNode;

/// Counts how often a connection would have been polled.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One client as the edge would hold it: attached, greeted, parked.
struct Tab {
    hub: Arc<Hub>,
    attachment: Attachment,
    wakes: Arc<Wakes>,
}

fn node() -> NodeId {
    NodeId::parse("n1").expect("valid")
}

fn hub_with(change: impl FnOnce(&mut HubConfig)) -> Arc<Hub> {
    let mut config = HubConfig::new(node());
    change(&mut config);
    Hub::new(config, Arc::default(), Arc::new(EveryNode))
}

fn hub() -> Arc<Hub> {
    hub_with(|_| {})
}

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("valid")
}

fn hello(client: &str, attempt: u64) -> ClientHello {
    let client = ClientId::parse(client).expect("valid");
    ClientHello {
        client,
        attempt,
        session: None,
        received: None,
        params: None,
    }
}

fn naming(client: &str, attempt: u64, port: &Port) -> ClientHello {
    ClientHello {
        session: Some(port.id.clone()),
        received: Some(0),
        ..hello(client, attempt)
    }
}

fn open(hub: &Arc<Hub>, user: Option<&str>, client: &str) -> Tab {
    open_as(hub, user, client, Codec::Json)
}

fn open_as(hub: &Arc<Hub>, user: Option<&str>, client: &str, codec: Codec) -> Tab {
    let attachment = hub
        .hello(
            &hello(client, 1),
            user.map(uid),
            codec,
            Transport::Ws,
            hub.now(),
        )
        .expect("a session");
    Tab::greeted(hub, attachment)
}

impl Tab {
    fn greeted(hub: &Arc<Hub>, attachment: Attachment) -> Tab {
        let tab = Tab {
            hub: Arc::clone(hub),
            attachment,
            wakes: Arc::default(),
        };
        let Attachment {
            port,
            attached,
            link,
            ..
        } = &tab.attachment;
        let greeting = ServerHello {
            session: port.id.clone(),
            resumed: attached.resumed,
            gap: attached.gap,
            received: attached.received,
            uid: port.uid.clone(),
            data: Data::null(port.codec),
            ping_ms: 15_000,
            max_bytes: 1 << 19,
            node: node(),
        };
        assert!(port.with(|inner| inner.session.hello(*link, &greeting)));
        tab.write();
        tab.park(true);
        tab
    }

    fn port(&self) -> &Arc<Port> {
        &self.attachment.port
    }

    fn park(&self, hungry: bool) -> bool {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.port()
            .with(|inner| inner.park(self.attachment.link, &waker, hungry))
    }

    /// Everything that would now go to the socket, and the close code after it.
    fn write(&self) -> (Vec<Bytes>, Option<CloseCode>) {
        let (hub, link) = (&self.hub, self.attachment.link);
        let mut out = Vec::new();
        let written = self.port().with(|inner| {
            inner.session.write(
                link,
                &mut out,
                1_000_000,
                usize::MAX,
                hub.now(),
                hub.bounds(),
            )
        });
        (out, written.close.map(|(code, _)| code))
    }

    /// The ids of the events that would now go to the socket.
    fn events(&self) -> Vec<String> {
        self.write().0.iter().filter_map(event_id).collect()
    }
}

fn event_id(ws: &Bytes) -> Option<String> {
    let body = ws.slice(if ws[1] == 126 { 4 } else { 2 }..);
    let codec = if ws[0] == 0x81 {
        Codec::Json
    } else {
        Codec::Cbor
    };
    match ServerFrame::decode(codec, body, &Default::default()) {
        Ok(ServerFrame::Event { id, .. }) => Some(id.as_str().to_owned()),
        _ => None,
    }
}

fn event(json: &str) -> (Push, RawEvent) {
    let body = Bytes::copy_from_slice(json.as_bytes());
    let event = RawEvent::check(Codec::Json, body, &Default::default()).expect("an event");
    (crate::push::to(Target::All, &event), event)
}

fn push(hub: &Hub, target: Target, filter: Filter, json: &str, touched: &mut Touched) -> usize {
    let (mut push, event) = event(json);
    push.target = target;
    push.filter = filter;
    hub.recipients(&push.target).map_or(0, |to| {
        hub.deliver(
            &to,
            &push.filter,
            &event,
            &Identity::Message(1),
            Way::Own,
            touched,
        )
    })
}

fn push_now(hub: &Hub, target: Target, json: &str) -> usize {
    let mut touched = Touched::default();
    let count = push(hub, target, Filter::None, json, &mut touched);
    hub.settle(&mut touched);
    count
}

impl Tab {
    /// Greets and says which events come with the hello.
    fn greeted_events(hub: &Arc<Hub>, attachment: Attachment) -> Vec<String> {
        let Attachment {
            port,
            attached,
            link,
            ..
        } = &attachment;
        let greeting = ServerHello {
            session: port.id.clone(),
            resumed: attached.resumed,
            gap: attached.gap,
            received: 0,
            uid: port.uid.clone(),
            data: Data::null(port.codec),
            ping_ms: 15_000,
            max_bytes: 1 << 19,
            node: node(),
        };
        assert!(port.with(|inner| inner.session.hello(*link, &greeting)));
        Tab {
            hub: Arc::clone(hub),
            attachment,
            wakes: Arc::default(),
        }
        .events()
    }
}

impl Tab {
    /// Comes back on a new connection and says how much it has.
    fn resumed(self, attempt: u64, received: u64) -> Tab {
        let hello = ClientHello {
            received: Some(received),
            ..naming(self.port().client.as_str(), attempt, self.port())
        };
        let uid = self.port().uid.clone();
        let attachment = self
            .hub
            .hello(
                &hello,
                uid,
                self.port().codec,
                Transport::Ws,
                self.hub.now(),
            )
            .expect("resumed");
        assert!(attachment.attached.resumed);
        Tab::greeted(&self.hub, attachment)
    }

    fn detach_at(&self, now: Millis) {
        assert!(
            self.port()
                .with(|inner| inner.session.detach(self.attachment.link, now))
        );
    }
}
