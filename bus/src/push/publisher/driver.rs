//! The task behind a publisher: one batch after the other, then the empty ones.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Batch, Next, Shared, batch};
use crate::message::Publish;

/// After the last batch an empty one at each of these times tells its number again.
const TAILS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// An empty batch that the bus did not take is tried again after this.
const TAIL_RETRY: Duration = Duration::from_secs(1);

/// The numbers of one publisher and its empty batches still to come.
struct Driver {
    shared: Arc<Shared>,
    /// The last number used; burned ones count.
    seq: u64,
    last_batch: Instant,
    /// The next of [`TAILS`], and when.
    tail: Option<(usize, Instant)>,
}

pub(super) async fn run(shared: Arc<Shared>) {
    let mut driver = Driver {
        shared,
        seq: 0,
        last_batch: Instant::now(),
        tail: None,
    };
    loop {
        let ending = driver.shared.end.is_cancelled();
        let next = {
            let mut line = driver.shared.line.lock();
            let next = line.next(ending);
            line.ended |= ending && matches!(next, Next::Nothing);
            next
        };
        match next {
            Next::Send(batch) => driver.send(batch).await,
            Next::Linger(until) => driver.sleep(Some(until)).await,
            Next::Nothing if ending => break,
            Next::Nothing => driver.sleep(None).await,
        }
    }
    if driver.tail.is_some() {
        // No later one will come.
        driver.send_empty().await;
    }
}

impl Driver {
    /// Waits for work, for the time of the open batch or of an empty one, or for the end.
    async fn sleep(&mut self, lingering: Option<Instant>) {
        let shared = Arc::clone(&self.shared);
        let due = self.tail.map(|(_, due)| due);
        tokio::select! {
            // One round of the scheduler: who pushes in the same moment travels together.
            () = shared.work.notified() => tokio::task::yield_now().await,
            () = shared.end.cancelled() => {}
            () = sleep_until(lingering) => {}
            () = sleep_until(due) => self.tail().await,
        }
    }

    async fn send(&mut self, batch: Batch) {
        let Batch {
            writer,
            outcome,
            room,
            ..
        } = batch;
        // Used up even if the bus refuses it: then receivers see that something is missing.
        self.seq += 1;
        let body = writer.finish(self.shared.id, self.seq);
        let message = Publish::new(self.shared.subject.clone(), body);
        let result = self.shared.bus.publish(message).await;
        if let Err(error) = &result {
            tracing::debug!(%error, seq = self.seq, "batch not published, number burned");
        }
        // Nobody else sets it.
        let _ = outcome.set(result.map(|()| self.seq));
        self.shared.room.add_permits(room);
        self.last_batch = Instant::now();
        self.tail = Some((0, self.last_batch + TAILS[0]));
    }

    async fn tail(&mut self) {
        let Some((step, _)) = self.tail else { return };
        self.tail = if self.send_empty().await {
            TAILS
                .get(step + 1)
                .map(|delay| (step + 1, self.last_batch + *delay))
        } else {
            Some((step, Instant::now() + TAIL_RETRY))
        };
    }

    async fn send_empty(&self) -> bool {
        let body = batch::Writer::new().finish(self.shared.id, self.seq);
        self.shared
            .bus
            .publish(Publish::new(self.shared.subject.clone(), body))
            .await
            .is_ok()
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
