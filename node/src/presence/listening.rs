//! The subscriptions of presence: what all nodes say, what the teller tells, and who asks what it has told.

use std::sync::Arc;

use tengen_bus::{Bus, Delivery, Publish, Subscribe, SubscribeError, Subscription};
use tengen_protocol::presence::{Channel, Door};
use tengen_protocol::subject::Subjects;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Presence;

/// What may come faster than it is taken: what is shed beyond it shows as a gap, and is asked for.
const MAX_QUEUE_BYTES: usize = 32 << 20;
/// The same of questions for what was told: more of them, some hundreds, could not be answered within
/// the second that an asker waits, and would only keep those behind them waiting.
const MAX_TOLD_BYTES: usize = 128 << 10;
/// Messages taken at once, and so heard under one lock.
const MAX_DRAIN: usize = 64;

/// All of them, in place before this node says its first word.
pub(super) struct Subscriptions {
    presence: Subscription,
    changes: Subscription,
    told: Subscription,
}

pub(super) async fn subscribe(
    bus: &Bus,
    subjects: &Subjects,
) -> Result<Subscriptions, SubscribeError> {
    let bounded = || Subscribe::default().max_queue_bytes(MAX_QUEUE_BYTES);
    let questions = Subscribe::default().max_queue_bytes(MAX_TOLD_BYTES);
    Ok(Subscriptions {
        presence: bus.subscribe(&subjects.presence(), bounded()).await?,
        changes: bus
            .subscribe(&subjects.presence_changes(), bounded())
            .await?,
        told: bus.subscribe(&subjects.presence_told(), questions).await?,
    })
}

pub(super) fn spawn(
    presence: &Arc<Presence>,
    heard: Subscriptions,
    bus: &Bus,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) {
    let channels = [
        (Channel::Presence, heard.presence),
        (Channel::Changes, heard.changes),
    ];
    for (channel, subscription) in channels {
        let listening = listen(Arc::clone(presence), channel, subscription);
        let stop = stop.clone();
        tracker.spawn(async move { stop.run_until_cancelled(listening).await });
    }
    let answering = answer(Arc::clone(presence), bus.clone(), heard.told);
    let stop = stop.clone();
    tracker.spawn(async move { stop.run_until_cancelled(answering).await });
}

async fn listen(presence: Arc<Presence>, channel: Channel, mut subscription: Subscription) {
    let mut deliveries = Vec::new();
    while subscription.recv_many(&mut deliveries, MAX_DRAIN).await > 0 {
        let mut bodies = Vec::with_capacity(deliveries.len());
        for delivery in deliveries.drain(..) {
            match delivery {
                Delivery::Message(message) => bodies.push(message.body),
                Delivery::Shed(shed) => {
                    presence.metrics().shed.add(shed.messages);
                    presence.heard(channel, bodies.drain(..));
                    presence.missed(channel);
                }
                // A short one: the bus may be up again before its health was looked at.
                Delivery::Interrupted => {
                    presence.heard(channel, bodies.drain(..));
                    presence.missed(channel);
                }
            }
        }
        presence.heard(channel, bodies.drain(..));
    }
}

async fn answer(presence: Arc<Presence>, bus: Bus, mut subscription: Subscription) {
    while let Some(delivery) = subscription.recv().await {
        let message = match delivery {
            Delivery::Message(message) => message,
            Delivery::Shed(shed) => {
                presence.metrics().shed.add(shed.messages);
                continue;
            }
            Delivery::Interrupted => continue,
        };
        let Some(reply) = message.reply else { continue };
        if let Some(body) = presence.asked(Door::Told, &message.body) {
            // The bus may be down; then the asker runs into its own deadline.
            let _ = bus.publish(Publish::new(reply, body)).await;
        }
    }
}
