//! Numbered errors to whoever pushed something malformed and asked for an answer.

use tengen_bus::{Bus, Publish, Subject};
use tengen_protocol::Refusal;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// Answers that may wait for the bus; more are dropped, since their askers flood.
const MAX_WAITING: usize = 1024;

/// Sends answers beside ingest, which must never wait for the bus.
pub(crate) struct Answers(mpsc::Sender<Publish>);

impl Answers {
    /// Starts the task that sends, on `tracker`; it ends when this value is dropped.
    pub(crate) fn start(bus: Bus, tracker: &TaskTracker) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Publish>(MAX_WAITING);
        tracker.spawn(async move {
            while let Some(answer) = receiver.recv().await {
                // The bus may be down; then the asker runs into its own deadline.
                let _ = bus.publish(answer).await;
            }
        });
        Self(sender)
    }

    /// Answers `reply` with the header `Tengen-Error` and the reason as body.
    pub(crate) fn refuse(&self, reply: &Subject, refusal: &Refusal) {
        let answer = Publish::new(reply.clone(), refusal.message.clone())
            .header("Tengen-Error", refusal.code.0.to_string());
        // Full: see MAX_WAITING.
        let _ = self.0.try_send(answer);
    }
}
