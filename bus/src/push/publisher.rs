//! The publishing side: collects pushes into numbered batches, one order for all of them.

mod driver;

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tengen_protocol::subject::Subjects;
use tokio::sync::{Notify, Semaphore, SetOnce, watch};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{Push, batch};
use crate::{bus::Bus, error::PublishError, health::Health, message::Subject};

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
/// A batch leaves as soon as the bus took the one before it, so a lone push waits for nothing
/// and a storm batches by itself: up to 128 pushes or 256 KiB together, a push over 200 KiB alone.
/// (Waiting up to a millisecond for company would only delay the caller who awaits each push.)
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
}

/// What became of a batch: the same for all who wait for it.
type Outcome = Arc<SetOnce<Result<(), PublishError>>>;

/// The pushes in line, in order: closed batches, then the open one.
#[derive(Default)]
struct Line {
    closed: VecDeque<Batch>,
    open: Batch,
    /// Of the batch handed to the driver last: [`Publisher::flush`] waits for it.
    last: Option<Outcome>,
    /// The driver sleeps and wants to be woken.
    idle: bool,
    ended: bool,
}

#[derive(Default)]
struct Batch {
    writer: batch::Writer,
    outcome: Outcome,
    room: usize,
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
        let shared = Arc::new(Shared {
            id: rand::random(),
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
        let outcome = self
            .shared
            .enqueue(push, room)
            .ok_or(PublishError::BusDown)?;
        // From here on the room belongs to the batch; the driver gives it back.
        permit.forget();
        outcome.wait().await.clone()
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
            .enqueue(push, room)
            .ok_or(PublishError::BusDown)?;
        permit.forget();
        Ok(())
    }

    /// Waits until all that was handed over before has been taken by the bus, or failed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn flush(&self) {
        let last = {
            let line = self.shared.line.lock();
            if line.open.writer.is_empty() {
                line.closed
                    .back()
                    .map(|batch| Arc::clone(&batch.outcome))
                    .or(line.last.clone())
            } else {
                Some(Arc::clone(&line.open.outcome))
            }
        };
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
    /// Appends to the open batch, or says `None` when the publisher has ended.
    fn enqueue(&self, push: &Push, room: u32) -> Option<Outcome> {
        let item = batch::item_bytes(push);
        let max_bytes = MAX_BATCH_BYTES.min(self.bus.max_payload());
        let mut line = self.line.lock();
        if line.ended {
            return None;
        }
        let alone = item > ALONE_BYTES;
        let full = line.open.writer.len() + item > max_bytes
            || line.open.writer.count() >= MAX_BATCH_PUSHES;
        if (alone || full) && !line.open.writer.is_empty() {
            line.close_open();
        }
        line.open.writer.push(push);
        line.open.room += room as usize;
        let outcome = Arc::clone(&line.open.outcome);
        if alone {
            line.close_open();
        }
        let wake = std::mem::take(&mut line.idle);
        drop(line);
        if wake {
            self.work.notify_one();
        }
        Some(outcome)
    }
}

impl Line {
    fn close_open(&mut self) {
        let batch = std::mem::take(&mut self.open);
        self.closed.push_back(batch);
    }

    /// The next batch to send, if there is one.
    fn take(&mut self) -> Option<Batch> {
        let next = match self.closed.pop_front() {
            Some(batch) => batch,
            None if !self.open.writer.is_empty() => std::mem::take(&mut self.open),
            None => return None,
        };
        self.last = Some(Arc::clone(&next.outcome));
        Some(next)
    }
}

#[cfg(test)]
mod tests;
