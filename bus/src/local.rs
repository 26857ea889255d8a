//! The bus inside one process: wildcards, queue groups, requests, and the promises of the other one.

mod routes;

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;
use smallvec::SmallVec;
use tokio::sync::watch;

use crate::{
    bus::{Bus, Counters, Kind},
    error::{PublishError, SubscribeError},
    health::Health,
    inbox::{Answer, Inbox},
    local::routes::Routes,
    message::{Message, Publish, Subscribe},
    queue::Queue,
    subscription::{Interest, Subscription},
};

/// The same bound as nats-server's default, so that what works in process works on a cluster.
const MAX_PAYLOAD: usize = 1 << 20;

/// One bus in this process for any number of handles: each stands for a node or a service.
///
/// A handle can be taken down and up again, and [`Faults`] may lose messages between any two, so
/// that everything built on the bus can be tested against a bad network without one.
#[derive(Clone, Default)]
pub struct LocalNet {
    net: Arc<Net>,
}

/// The number of a handle on its net, in the order they were made, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleId(pub u64);

/// What becomes of one message between two handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It arrives, in order.
    Deliver,
    /// It is lost without a word, as between two servers whose link breaks.
    Lose,
}

/// Decides the fate of every message on a [`LocalNet`]. Called on the publisher's path: be quick.
pub trait Faults: Send + Sync {
    /// What becomes of a message from `from` to `to`; a handle's own echo asks too.
    fn fate(&self, from: HandleId, to: HandleId, subject: &str) -> Fate;
}

#[derive(Default)]
struct Net {
    routes: RwLock<Routes<Entry>>,
    faults: RwLock<Option<Arc<dyn Faults>>>,
    handles: AtomicU64,
}

/// One subscription.
struct Entry {
    pattern: Box<str>,
    group: Option<Box<str>>,
    owner: Arc<Port>,
    target: Target,
}

enum Target {
    Queue(Arc<Queue>),
    Inbox(Arc<Inbox>),
}

/// What a net knows of a handle.
struct Port {
    id: HandleId,
    up: AtomicBool,
}

impl LocalNet {
    /// A net without handles.
    #[must_use]
    pub fn new() -> LocalNet {
        LocalNet::default()
    }

    /// Another handle on this net, up.
    #[must_use]
    pub fn bus(&self) -> Bus {
        let id = HandleId(self.net.handles.fetch_add(1, Ordering::Relaxed));
        let port = Arc::new(Port {
            id,
            up: AtomicBool::new(true),
        });
        let inbox = Inbox::new();
        let entry = Arc::new(Entry {
            pattern: inbox.pattern().into(),
            group: None,
            owner: Arc::clone(&port),
            target: Target::Inbox(Arc::clone(&inbox)),
        });
        self.net
            .routes
            .write()
            .insert(&entry.pattern, Arc::clone(&entry));
        let answers = Lease {
            net: Arc::downgrade(&self.net),
            entry,
        };
        Bus {
            kind: Kind::Local(Arc::new(Handle {
                net: Arc::clone(&self.net),
                port,
                inbox,
                health: watch::Sender::new(Health::up("local")),
                drained: AtomicBool::new(false),
                counters: Arc::default(),
                _answers: answers,
            })),
        }
    }

    /// The number of `bus` on this net, if it is one of its handles.
    #[must_use]
    pub fn id(&self, bus: &Bus) -> Option<HandleId> {
        self.handle(bus).map(|handle| handle.port.id)
    }

    /// Takes a handle of this net down: it can publish nothing, and what the others publish is lost to it.
    pub fn take_down(&self, bus: &Bus, why: &str) {
        if let Some(handle) = self.handle(bus) {
            handle.port.up.store(false, Ordering::SeqCst);
            handle.health.send_if_modified(|health| {
                let changed = health.is_up();
                if changed {
                    handle
                        .counters
                        .interruptions
                        .fetch_add(1, Ordering::Relaxed);
                    *health = Health::down(why);
                }
                changed
            });
        }
    }

    /// Brings it up again: its subscriptions hear [`crate::Delivery::Interrupted`], then it is up.
    pub fn bring_up(&self, bus: &Bus) {
        let Some(handle) = self.handle(bus) else {
            return;
        };
        if handle.drained.load(Ordering::SeqCst) || handle.port.up.swap(true, Ordering::SeqCst) {
            return;
        }
        self.net.routes.read().all(&mut |entry| {
            if let Target::Queue(queue) = &entry.target
                && entry.owner.id == handle.port.id
            {
                queue.interrupted();
            }
        });
        handle.health.send_replace(Health::up("local"));
    }

    /// Puts `faults` between the handles, in place of those before; `None` heals the net.
    pub fn set_faults(&self, faults: Option<Arc<dyn Faults>>) {
        *self.net.faults.write() = faults;
    }

    fn handle<'a>(&self, bus: &'a Bus) -> Option<&'a Arc<Handle>> {
        match &bus.kind {
            Kind::Local(handle) if Arc::ptr_eq(&handle.net, &self.net) => Some(handle),
            _ => None,
        }
    }
}

impl fmt::Debug for LocalNet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handles = self.net.handles.load(Ordering::Relaxed);
        formatter
            .debug_struct("LocalNet")
            .field("handles", &handles)
            .finish()
    }
}

/// A [`Bus`] on a [`LocalNet`].
pub(crate) struct Handle {
    net: Arc<Net>,
    port: Arc<Port>,
    inbox: Arc<Inbox>,
    health: watch::Sender<Health>,
    drained: AtomicBool,
    counters: Arc<Counters>,
    _answers: Lease,
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Handle")
            .field("id", &self.port.id)
            .finish()
    }
}

impl Handle {
    /// Delivers into every matching queue before it returns: that is what keeps the order.
    pub(crate) fn publish(&self, message: Publish) -> Result<(), PublishError> {
        let body_bytes = message.body.len();
        let result = if self.port.up.load(Ordering::Acquire) {
            crate::check::publish(&message, MAX_PAYLOAD).map(|()| self.deliver(message))
        } else {
            Err(PublishError::BusDown)
        };
        self.counters.publish(body_bytes, result)
    }

    fn deliver(&self, message: Publish) {
        let Publish {
            subject,
            reply,
            headers,
            body,
        } = message;
        let message = Message {
            subject,
            reply,
            headers,
            body,
        };
        let faults = self.net.faults.read().clone();
        let routes = self.net.routes.read();
        let mut plain: SmallVec<[&Entry; 4]> = SmallVec::new();
        let mut groups: SmallVec<[(&str, u32, &Entry); 2]> = SmallVec::new();
        routes.matching(&message.subject, &mut |entry| {
            if !entry.owner.up.load(Ordering::Acquire) {
                return;
            }
            let Some(group) = entry.group.as_deref() else {
                plain.push(entry);
                return;
            };
            match groups.iter_mut().find(|(name, ..)| *name == group) {
                // The n-th member replaces the choice with probability 1/n: all are equally likely.
                Some((_, members, chosen)) => {
                    *members += 1;
                    if rand::random_range(0..*members) == 0 {
                        *chosen = entry;
                    }
                }
                None => groups.push((group, 1, entry)),
            }
        });
        let chosen = groups.iter().map(|(.., entry)| *entry);
        let mut targets = plain.into_iter().chain(chosen).peekable();
        if targets.peek().is_none() {
            self.no_responders(&routes, &message);
            return;
        }
        while let Some(entry) = targets.next() {
            let lost = faults.as_ref().is_some_and(|faults| {
                faults.fate(self.port.id, entry.owner.id, &message.subject) == Fate::Lose
            });
            if lost {
                continue;
            }
            if targets.peek().is_none() {
                // The usual single subscriber gets the original.
                entry.accept(message);
                return;
            }
            entry.accept(message.clone());
        }
    }

    /// As nats-server does: the inbox that waits for an answer hears at once that none will come.
    fn no_responders(&self, routes: &Routes<Entry>, message: &Message) {
        let Some(reply) = &message.reply else { return };
        routes.matching(reply, &mut |entry| {
            if let Target::Inbox(inbox) = &entry.target {
                inbox.resolve(reply, Answer::NoResponders);
            }
        });
    }

    pub(crate) fn subscribe(
        &self,
        pattern: &str,
        options: Subscribe,
    ) -> Result<Subscription, SubscribeError> {
        if self.drained.load(Ordering::SeqCst) {
            return Err(SubscribeError::Closed);
        }
        let queue = Arc::new(Queue::new(
            options.max_queue_bytes,
            Arc::clone(&self.counters),
        ));
        let entry = Arc::new(Entry {
            pattern: pattern.into(),
            group: options.queue.map(Into::into),
            owner: Arc::clone(&self.port),
            target: Target::Queue(Arc::clone(&queue)),
        });
        self.net.routes.write().insert(pattern, Arc::clone(&entry));
        let lease = Lease {
            net: Arc::downgrade(&self.net),
            entry,
        };
        Ok(Subscription::new(queue, Interest::Local(lease)))
    }

    pub(crate) fn drain(&self) {
        if self.drained.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut own = Vec::new();
        let mut routes = self.net.routes.write();
        routes.all(&mut |entry| {
            if entry.owner.id == self.port.id {
                own.push(Arc::clone(entry));
            }
        });
        for entry in own {
            routes.remove(&entry.pattern, &entry);
            if let Target::Queue(queue) = &entry.target {
                queue.close();
            }
        }
        drop(routes);
        self.port.up.store(false, Ordering::SeqCst);
        self.health.send_replace(Health::down("drained"));
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    #[expect(
        clippy::unused_self,
        reason = "the other bus learns it from its server"
    )]
    pub(crate) fn max_payload(&self) -> usize {
        MAX_PAYLOAD
    }
}

impl Entry {
    fn accept(&self, message: Message) {
        match &self.target {
            Target::Queue(queue) => queue.push(message),
            Target::Inbox(inbox) => {
                let subject = message.subject.clone();
                inbox.resolve(&subject, Answer::Message(message));
            }
        }
    }
}

/// A subscription's place in the tree, given back when dropped.
pub(crate) struct Lease {
    net: Weak<Net>,
    entry: Arc<Entry>,
}

impl fmt::Debug for Lease {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Lease")
            .field(&self.entry.pattern)
            .finish()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(net) = self.net.upgrade() {
            net.routes.write().remove(&self.entry.pattern, &self.entry);
        }
    }
}

#[cfg(test)]
mod tests;
