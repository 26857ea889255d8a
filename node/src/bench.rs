//! A hub with clients but without sockets, so that benches and tests outside the crate can time a fan-out.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tengen_bus::push::{Filter, Target};
use tengen_protocol::takeover::Identity;
use tengen_protocol::{
    ClientHello, ClientId, Codec, Data, Limits, NodeId, RawEvent, Refusal, ServerHello, Transport,
    Uid,
};

use crate::hub::deliver::Way;
use crate::hub::touched::Touched;
use crate::hub::{Attachment, Hub, HubConfig};
use crate::interest::EveryNode;

/// Users with clients that are all attached, idle and hungry.
pub struct FanOut {
    hub: Arc<Hub>,
    tabs: Vec<Tab>,
    touched: Touched,
    limits: Limits,
    frames: Vec<Bytes>,
}

struct Tab {
    attachment: Attachment,
    attempt: u64,
    received: u64,
}

impl FanOut {
    /// `users` users named `user0`, `user1`, …, each with `clients` clients, which speak `codecs`
    /// in turns.
    ///
    /// # Errors
    /// Never with names as these.
    pub fn new(users: usize, clients: usize, codecs: &[Codec]) -> Result<Self, Refusal> {
        let hub = Hub::new(
            HubConfig::new(NodeId::parse("bench")?),
            Arc::default(),
            Arc::new(EveryNode),
        );
        let mut fan_out = Self {
            hub,
            tabs: Vec::new(),
            touched: Touched::default(),
            limits: Limits::default(),
            frames: Vec::new(),
        };
        for user in 0..users {
            for client in 0..clients {
                let uid = Uid::parse(&format!("user{user}"))?;
                let client = ClientId::parse(&format!("client{client}"))?;
                let codec = codecs[fan_out.tabs.len() % codecs.len()];
                let hello = ClientHello {
                    client,
                    attempt: 1,
                    session: None,
                    received: None,
                    params: None,
                };
                let now = fan_out.hub.now();
                if let Ok(attachment) =
                    fan_out
                        .hub
                        .hello(&hello, Some(uid), codec, Transport::Ws, now)
                {
                    fan_out.tabs.push(Tab {
                        attachment,
                        attempt: 1,
                        received: 0,
                    });
                }
            }
        }
        for index in 0..fan_out.tabs.len() {
            fan_out.greet(index);
        }
        Ok(fan_out)
    }

    /// Does what ingest does with one push to `uid`: check, look up, encode, put in line, settle.
    /// Returns for how many clients.
    ///
    /// # Errors
    /// When `uid` or `json` is malformed.
    pub fn push(&mut self, uid: &str, json: &Bytes) -> Result<usize, Refusal> {
        let count = self.put(uid, json)?;
        self.settle();
        Ok(count)
    }

    /// The first half of [`push`](Self::push), to be settled after several.
    ///
    /// # Errors
    /// As `push`.
    pub fn put(&mut self, uid: &str, json: &Bytes) -> Result<usize, Refusal> {
        let target = Target::Uid(Uid::parse(uid)?);
        let Some(recipients) = self.hub.recipients(&target) else {
            return Ok(0);
        };
        let event = RawEvent::check(Codec::Json, json.clone(), &self.limits)?;
        let (filter, touched) = (Filter::None, &mut self.touched);
        let identity = Identity::of_content(&target, &filter, Codec::Json, event.body());
        Ok(self
            .hub
            .deliver(&recipients, &filter, &event, &identity, Way::Own, touched))
    }

    /// Wakes whom the pushes since the last settling touched.
    pub fn settle(&mut self) {
        self.hub.settle(&mut self.touched);
    }

    /// Lets every client read and acknowledge all that waits for it. Returns how many frames.
    pub fn drain(&mut self) -> usize {
        let mut frames = 0;
        for index in 0..self.tabs.len() {
            let read = self.write(index);
            let tab = &mut self.tabs[index];
            tab.received += read as u64;
            tab.attempt += 1;
            let port = Arc::clone(&tab.attachment.port);
            let hello = ClientHello {
                client: port.client.clone(),
                attempt: tab.attempt,
                session: Some(port.id.clone()),
                received: Some(tab.received),
                params: None,
            };
            // Coming back acknowledges, and needs no connection of its own to come from.
            if let Ok(attachment) = self.hub.hello(
                &hello,
                port.uid.clone(),
                port.codec,
                Transport::Ws,
                self.hub.now(),
            ) {
                tab.attachment = attachment;
            }
            self.greet(index);
            frames += read;
        }
        frames
    }

    fn greet(&mut self, index: usize) {
        let Attachment {
            port,
            link,
            attached,
            ..
        } = &self.tabs[index].attachment;
        let greeting = ServerHello {
            session: port.id.clone(),
            resumed: attached.resumed,
            gap: attached.gap,
            received: attached.received,
            uid: port.uid.clone(),
            data: Data::null(port.codec),
            ping_ms: 15_000,
            max_bytes: 1 << 19,
            node: self.hub.config().node.clone(),
        };
        port.with(|inner| inner.session.hello(*link, &greeting));
        self.write(index);
        let Attachment { port, link, .. } = &self.tabs[index].attachment;
        port.with(|inner| inner.park(*link, Waker::noop(), true));
    }

    fn write(&mut self, index: usize) -> usize {
        let Attachment { port, link, .. } = &self.tabs[index].attachment;
        let now = self.hub.now();
        self.frames.clear();
        port.with(|inner| {
            let items = inner.session.queue_items();
            inner.session.write(
                *link,
                &mut self.frames,
                usize::MAX,
                usize::MAX,
                now,
                self.hub.bounds(),
            );
            usize::try_from(items).unwrap_or(usize::MAX)
        })
    }
}
