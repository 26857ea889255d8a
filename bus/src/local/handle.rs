//! One handle on a local bus: publishes into the queues of all, subscribes, drains.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use smallvec::SmallVec;
use tokio::sync::watch;

use super::{Entry, Fate, Lease, MAX_PAYLOAD, Net, Port, Target, routes::Routes};
use crate::{
    bus::Counters,
    error::{PublishError, SubscribeError},
    health::Health,
    inbox::{Answer, Inbox},
    message::{Message, Publish, Subscribe},
    queue::Queue,
    subscription::{Interest, Subscription},
};

/// A [`Bus`] on a [`LocalNet`].
pub(crate) struct Handle {
    pub(super) net: Arc<Net>,
    pub(super) port: Arc<Port>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) health: watch::Sender<Health>,
    pub(super) drained: AtomicBool,
    pub(super) counters: Arc<Counters>,
    pub(super) _answers: Lease,
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
