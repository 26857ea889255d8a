//! What presence publishes, in order, by a task of its own: a slow bus delays no tick.

use std::sync::Arc;

use bytes::Bytes;
use tengen_bus::{Bus, Publish};
use tengen_protocol::presence::Channel;
use tengen_protocol::subject::Subjects;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;

/// Messages on their way to the bus, usually none. More are dropped and counted: beats and marks say
/// what is missing.
const MAX_LINE: usize = 1_024;

enum Item {
    Publish(Channel, Bytes),
    /// Say so when everything before is out.
    Flush(oneshot::Sender<()>),
}

/// The way out.
pub(super) struct Outbox {
    line: mpsc::Sender<Item>,
    metrics: Arc<Metrics>,
}

impl Outbox {
    /// Publishes until `stop`.
    pub(super) fn start(
        bus: Bus,
        subjects: &Subjects,
        metrics: Arc<Metrics>,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Outbox {
        let (line, mut items) = mpsc::channel(MAX_LINE);
        let (presence, changes) = (subjects.presence(), subjects.presence_changes());
        let (counted, stop) = (Arc::clone(&metrics), stop.clone());
        let work = async move {
            while let Some(item) = items.recv().await {
                let (channel, body) = match item {
                    Item::Publish(channel, body) => (channel, body),
                    Item::Flush(out) => {
                        // Whoever waited may be gone.
                        let _ = out.send(());
                        continue;
                    }
                };
                let subject = match channel {
                    Channel::Presence => presence.as_str(),
                    Channel::Changes => changes.as_str(),
                };
                let bytes = body.len() as u64;
                let counters = &counted.presence;
                match bus.publish(Publish::new(subject, body)).await {
                    Ok(()) => {
                        counters.said.increment();
                        counters.said_bytes.add(bytes);
                    }
                    // Nothing is kept for a bus that is down.
                    Err(_) => counters.unsaid.increment(),
                }
            }
        };
        tracker.spawn(async move { stop.run_until_cancelled(work).await });
        Outbox { line, metrics }
    }

    pub(super) fn publish(&self, channel: Channel, body: Bytes) {
        if self.line.try_send(Item::Publish(channel, body)).is_err() {
            self.metrics.presence.unsaid.increment();
        }
    }

    /// Returns when everything before has been handed to the bus, or the task has ended.
    pub(super) async fn flushed(&self) {
        let (out, done) = oneshot::channel();
        if self.line.send(Item::Flush(out)).await.is_ok() {
            let _ = done.await;
        }
    }
}
