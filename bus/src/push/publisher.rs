//! The publishing side: collects pushes into numbered batches, one order for all of them.

mod driver;
mod line;
mod reports;

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tengen_protocol::{report::Report, subject::Subjects};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::Instant,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use self::line::{Batch, Line, Next, Outcome};
use self::reports::Reports;
use super::{Push, batch};
use crate::{
    bus::Bus,
    error::{PublishError, SubscribeError},
    health::Health,
    message::Subject,
};

/// Pushes after which a batch is closed.
const MAX_BATCH_PUSHES: usize = 128;
/// Bytes above which nothing more is added to a batch.
const MAX_BATCH_BYTES: usize = 256 << 10;
/// A push that takes more is a batch of its own, so that it delays no neighbours.
const ALONE_BYTES: usize = 200 << 10;

/// Bounds of a [`Publisher`].
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    /// Bytes of pushes that may wait for the bus (16 MiB). Above it [`Publisher::push`] waits
    /// and [`Publisher::try_push`] says [`TryPushError::Full`].
    pub max_pending_bytes: usize,
    /// The longest that [`Publisher::push`] waits for room (1 s).
    pub patience: Duration,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        PublisherOptions {
            max_pending_bytes: 16 << 20,
            patience: Duration::from_secs(1),
        }
    }
}

/// A push was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TryPushError {
    /// Too much waits for the bus already. Wait, or use [`Publisher::push`].
    #[error("too many pushes wait for the bus")]
    Full,
    /// As [`Publisher::push`] would fail.
    #[error(transparent)]
    Refused(#[from] PublishError),
}

/// Publishes pushes in batches, in the order in which they were handed over. Cheap to clone.
///
/// A batch leaves as soon as the bus took the one before it, and either somebody awaits it
/// ([`Publisher::push`], [`Publisher::flush`]), or it is a millisecond old, or it is full: 128
/// pushes or 256 KiB. So who awaits one push waits for nothing else, and a loop over
/// [`Publisher::try_push`] travels together. A push over 200 KiB is a batch of its own.
///
/// Every batch has a number. One that the bus does not take burns its number, so that every
/// receiver notices; and 1, 2 and 4 s after the last batch an empty one repeats the last number, so that
/// a lost tail is noticed too. While the bus is down pushes are refused at once and
/// nothing is kept.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
    /// Ends the driver when the last clone is gone, after what is in line was sent.
    _end: Arc<DropGuard>,
}

struct Shared {
    id: u128,
    bus: Bus,
    subject: Subject,
    health: watch::Receiver<Health>,
    options: PublisherOptions,
    line: Mutex<Line>,
    work: Notify,
    /// Room left, in bytes.
    room: Semaphore,
    end: CancellationToken,
    driver: TaskTracker,
    reports: Reports,
}

impl Publisher {
    /// Starts a publisher with a random id.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(bus: Bus, subjects: &Subjects) -> Publisher {
        Publisher::start_with(bus, subjects, PublisherOptions::default())
    }

    /// The same with other bounds.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start_with(bus: Bus, subjects: &Subjects, options: PublisherOptions) -> Publisher {
        let end = CancellationToken::new();
        let id = rand::random();
        let shared = Arc::new(Shared {
            id,
            reports: Reports::new(bus.clone(), subjects, id),
            health: bus.health(),
            bus,
            subject: subjects.send_to_batch().into(),
            room: Semaphore::new(options.max_pending_bytes),
            options,
            line: Mutex::default(),
            work: Notify::new(),
            end: end.clone(),
            driver: TaskTracker::new(),
        });
        shared.driver.spawn(driver::run(Arc::clone(&shared)));
        shared.driver.close();
        Publisher {
            shared,
            _end: Arc::new(end.drop_guard()),
        }
    }

    /// The random number that stands in every batch of this publisher.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.shared.id
    }

    /// Puts `push` in line and waits until the bus took its batch.
    ///
    /// # Errors
    /// [`PublishError::BusDown`] at once; [`PublishError::TooLarge`]; [`PublishError::Timeout`]
    /// when there was no room for a second, or when the bus did not take the batch in its time.
    ///
    /// # Cancel safety
    /// Dropped while it waits, the push may be sent all the same.
    pub async fn push(&self, push: &Push) -> Result<(), PublishError> {
        self.send(push).await.map(|_| ())
    }

    /// Subscribes to this publisher's delivery reports, once; [`Publisher::push_reported`] does it
    /// too, and the first report may then be lost in a cluster of NATS servers that does not know
    /// of the subscription yet.
    ///
    /// # Errors
    /// As [`Bus::subscribe`].
    pub async fn listen_for_reports(&self) -> Result<(), SubscribeError> {
        let shared = &self.shared;
        shared.reports.listen(&shared.driver, &shared.end).await
    }

    /// The same as [`Publisher::push`], then waits for the delivery report, at most for `limit`.
    /// The nodes answer within 300 ms. `None`: the push was sent, and nobody said whom it reached.
    ///
    /// Costs one small message per node that has the user, one more for the answer, and a
    /// subscription for all reports of this publisher.
    ///
    /// # Errors
    /// As [`Publisher::push`]; nobody receives the push then.
    ///
    /// # Cancel safety
    /// Dropped while it waits, the push may be sent all the same.
    pub async fn push_reported(
        &self,
        push: &Push,
        limit: Duration,
    ) -> Result<Option<Report>, PublishError> {
        self.listen_for_reports()
            .await
            .map_err(|error| match error {
                SubscribeError::Timeout => PublishError::Timeout,
                SubscribeError::BadPattern(why) => PublishError::BadSubject(why),
                SubscribeError::Closed => PublishError::BusDown,
            })?;
        let asker = self.shared.reports.ask();
        let asking = Push {
            report: true,
            ..push.clone()
        };
        let place = self.send(&asking).await?;
        Ok(asker.wait(place, limit).await)
    }

    /// Puts `push` in line and waits until the bus took its batch: whose number, and the place.
    async fn send(&self, push: &Push) -> Result<(u64, u16), PublishError> {
        let room = self.admit(push)?;
        let permit = match self.shared.room.try_acquire_many(room) {
            Ok(permit) => permit,
            Err(_) => {
                let waiting = self.shared.room.acquire_many(room);
                let permit = tokio::time::timeout(self.shared.options.patience, waiting).await;
                permit
                    .map_err(|_| PublishError::Timeout)?
                    .map_err(|_| PublishError::BusDown)?
            }
        };
        let (outcome, index) = self
            .shared
            .enqueue(push, room, true)
            .ok_or(PublishError::BusDown)?;
        // From here on the room belongs to the batch; the driver gives it back.
        permit.forget();
        let seq = outcome.wait().await.clone()?;
        Ok((seq, index))
    }

    /// Puts `push` in line and returns at once. What becomes of it is not told, except that
    /// receivers notice a loss.
    ///
    /// # Errors
    /// [`TryPushError`]; nothing was kept.
    pub fn try_push(&self, push: &Push) -> Result<(), TryPushError> {
        let room = self.admit(push)?;
        let permit = self
            .shared
            .room
            .try_acquire_many(room)
            .map_err(|_| TryPushError::Full)?;
        self.shared
            .enqueue(push, room, false)
            .ok_or(PublishError::BusDown)?;
        permit.forget();
        Ok(())
    }

    /// Waits until all that was handed over before has been taken by the bus, or failed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn flush(&self) {
        let (last, wake) = {
            let mut line = self.shared.line.lock();
            if line.open.writer.is_empty() {
                let closed = line.closed.back().map(|batch| Arc::clone(&batch.outcome));
                (closed.or(line.last.clone()), false)
            } else {
                line.open.awaited = true;
                let outcome = Arc::clone(&line.open.outcome);
                (Some(outcome), line.wake())
            }
        };
        if wake {
            self.shared.work.notify_one();
        }
        if let Some(outcome) = last {
            let _ = outcome.wait().await;
        }
    }

    /// Sends what is in line and a last empty batch, then ends, for all clones: later pushes are
    /// refused as if the bus were down.
    pub async fn close(self) {
        self.shared.end.cancel();
        self.shared.driver.wait().await;
    }

    /// The room that `push` needs, if it may be sent at all.
    fn admit(&self, push: &Push) -> Result<u32, PublishError> {
        if !self.shared.health.borrow().is_up() {
            return Err(PublishError::BusDown);
        }
        let item = batch::item_bytes(push);
        let bytes = batch::HEADER_BYTES + item;
        let max = self.shared.bus.max_payload();
        if bytes > max {
            return Err(PublishError::TooLarge { bytes, max });
        }
        // A push larger than all the room there is takes all of it.
        let room = item.min(self.shared.options.max_pending_bytes);
        u32::try_from(room).map_err(|_| PublishError::TooLarge { bytes, max })
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Publisher")
            .field("id", &self.shared.id)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Appends to the open batch: what will become of it, and the place in it. `None` when the
    /// publisher has ended.
    fn enqueue(&self, push: &Push, room: u32, awaited: bool) -> Option<(Outcome, u16)> {
        let item = batch::item_bytes(push);
        let max_bytes = MAX_BATCH_BYTES.min(self.bus.max_payload());
        let alone = item > ALONE_BYTES;
        let mut line = self.line.lock();
        if line.ended {
            return None;
        }
        let too_long = line.open.writer.len() + item > max_bytes;
        if (alone || too_long) && !line.open.writer.is_empty() {
            line.close_open();
        }
        // A batch has at most 128 pushes.
        let index = u16::try_from(line.open.writer.count()).unwrap_or(u16::MAX);
        line.open.writer.push(push);
        line.open.room += room as usize;
        line.open.awaited |= awaited;
        if line.open.begun.is_none() {
            line.open.begun = Some(Instant::now());
        }
        let outcome = Arc::clone(&line.open.outcome);
        if alone || line.open.writer.count() >= MAX_BATCH_PUSHES {
            line.close_open();
        }
        let wake = line.wake();
        drop(line);
        if wake {
            self.work.notify_one();
        }
        Some((outcome, index))
    }
}

#[cfg(test)]
mod tests;
