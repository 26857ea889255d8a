//! Delivery reports on their way back to the publisher that asked for them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tengen_protocol::{report::Report, subject::Subjects};
use tokio::sync::{OnceCell, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    bus::Bus, error::SubscribeError, message::Subscribe, queue::Delivery,
    subscription::Subscription,
};

/// Reports kept for askers that do not know their number yet; more come only from a forger.
const MAX_EARLY: usize = 4096;
/// What is in line for the listener at most: some 30,000 reports.
const MAX_QUEUE_BYTES: usize = 8 << 20;

/// Which push: number of the batch, place in it.
type Place = (u64, u16);

/// The listener, once somebody has asked, and who waits.
pub(super) struct Reports {
    bus: Bus,
    subject: String,
    desk: Arc<Mutex<Desk>>,
    listening: OnceCell<()>,
}

#[derive(Default)]
struct Desk {
    /// Askers whose push is not numbered yet. While there is none nothing early is kept.
    asking: usize,
    early: HashMap<Place, Report>,
    waiting: HashMap<Place, oneshot::Sender<Report>>,
}

/// One asker; gives its place at the desk back when dropped.
pub(super) struct Asker {
    desk: Arc<Mutex<Desk>>,
    place: Option<Place>,
}

impl Reports {
    pub(super) fn new(bus: Bus, subjects: &Subjects, publisher: u128) -> Reports {
        Reports {
            bus,
            subject: subjects.report(publisher),
            desk: Arc::default(),
            listening: OnceCell::new(),
        }
    }

    /// Subscribes, the first time; the listener ends with `end`.
    pub(super) async fn listen(
        &self,
        tracker: &TaskTracker,
        end: &CancellationToken,
    ) -> Result<(), SubscribeError> {
        let subscribing = || async {
            let bounded = Subscribe::default().max_queue_bytes(MAX_QUEUE_BYTES);
            let subscription = self.bus.subscribe(&self.subject, bounded).await?;
            let (desk, end) = (Arc::clone(&self.desk), end.clone());
            tracker.spawn(async move {
                end.run_until_cancelled(hand_out(subscription, desk)).await;
            });
            Ok(())
        };
        self.listening.get_or_try_init(subscribing).await.copied()
    }

    /// Comes before the push is sent: its report may be back before its sender knows its number.
    pub(super) fn ask(&self) -> Asker {
        self.desk.lock().asking += 1;
        Asker {
            desk: Arc::clone(&self.desk),
            place: None,
        }
    }
}

#[cfg(test)]
impl Reports {
    /// Askers without a number, early reports, askers with one.
    pub(super) fn waiting(&self) -> (usize, usize, usize) {
        let desk = self.desk.lock();
        (desk.asking, desk.early.len(), desk.waiting.len())
    }
}

impl Asker {
    /// Waits for the report of this push; `None` when none came within `limit`.
    pub(super) async fn wait(mut self, place: Place, limit: Duration) -> Option<Report> {
        let report = {
            let mut desk = self.desk.lock();
            let early = desk.early.remove(&place);
            desk.seated();
            self.place = Some(place);
            if early.is_some() {
                return early;
            }
            let (sender, report) = oneshot::channel();
            desk.waiting.insert(place, sender);
            report
        };
        tokio::time::timeout(limit, report).await.ok()?.ok()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let mut desk = self.desk.lock();
        match self.place {
            Some(place) => drop(desk.waiting.remove(&place)),
            None => desk.seated(),
        }
    }
}

impl Desk {
    /// An asker knows its number, or has gone.
    fn seated(&mut self) {
        self.asking -= 1;
        if self.asking == 0 {
            self.early = HashMap::new();
        }
    }

    fn take(&mut self, place: Place, report: Report) {
        if let Some(waiting) = self.waiting.remove(&place) {
            // Gone in this very moment: then nobody wants it.
            let _ = waiting.send(report);
        } else if self.asking > 0 && self.early.len() < MAX_EARLY {
            self.early.entry(place).or_insert(report);
        }
    }
}

async fn hand_out(mut subscription: Subscription, desk: Arc<Mutex<Desk>>) {
    while let Some(delivery) = subscription.recv().await {
        // Anybody may publish here, and what is shed has an asker that gives up: nothing to do.
        if let Delivery::Message(message) = delivery
            && let Some((seq, index, report)) = Report::from_batch_json(&message.body)
        {
            desk.lock().take((seq, index), report);
        }
    }
}
