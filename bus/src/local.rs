//! The bus inside one process: wildcards, queue groups, requests, and the promises of the other one.

mod handle;
mod routes;

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;
use tokio::sync::watch;

pub(crate) use self::handle::Handle;
use self::routes::Routes;
use crate::{
    bus::{Bus, Kind},
    health::Health,
    inbox::{Answer, Inbox},
    message::Message,
    queue::Queue,
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
                health: watch::Sender::new(Health::up("local", false)),
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
        handle.health.send_replace(Health::up("local", false));
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
