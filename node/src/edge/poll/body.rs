//! Takes the body of a POST: bounded in bytes and in time, and all bodies of the node together.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::refusal::Refusal;
use crate::metrics::Metrics;

/// The slowest sender worth waiting for, as on a WebSocket (8 KiB/s).
const SLOWEST_BYTES_PER_SECOND: usize = 8 << 10;
/// How long a body may take beyond that.
const GRACE: Duration = Duration::from_secs(10);
/// How long, and how much of, a body that is refused is still read: a server that closes on unread
/// bytes resets the connection, and the client never sees why.
const DISCARD: Duration = Duration::from_secs(1);
const DISCARD_BYTES: usize = 4 << 20;
/// Room in the budget is given in these.
const UNIT: usize = 1 << 10;

/// What all bodies of a node may take.
#[derive(Debug)]
pub(crate) struct Bodies {
    /// The largest single one, in bytes.
    max: usize,
    room: Arc<Semaphore>,
    grace: Duration,
    metrics: Arc<Metrics>,
}

/// A body in memory; its room is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) bytes: Bytes,
    _room: Room,
}

/// A share of the budget, and of its metric.
#[derive(Debug)]
struct Room {
    permit: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
}

impl Room {
    fn new(permit: OwnedSemaphorePermit, metrics: &Arc<Metrics>) -> Room {
        let room = Room {
            permit,
            metrics: Arc::clone(metrics),
        };
        metrics.poll.post_bytes.grow(room.bytes());
        room
    }

    fn bytes(&self) -> u64 {
        (self.permit.num_permits() * UNIT) as u64
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.metrics.poll.post_bytes.shrink(self.bytes());
    }
}

impl Bodies {
    /// `max` bytes each, `total` together; a total below `max` counts as that.
    pub(crate) fn new(max: usize, total: usize, metrics: &Arc<Metrics>) -> Bodies {
        let units = (total.max(max) / UNIT + 1).min(Semaphore::MAX_PERMITS);
        Bodies {
            max,
            room: Arc::new(Semaphore::new(units)),
            grace: GRACE,
            metrics: Arc::clone(metrics),
        }
    }

    /// Reads `body` to its end.
    ///
    /// # Errors
    /// 413 over `max`, 429 when the bodies being taken leave no room, 400 if it is cut off or comes
    /// slower than 10 s and 8 KiB/s. Nothing of it has been used then.
    ///
    /// # Cancel safety
    /// May be dropped; the room is given back.
    pub(crate) async fn take(&self, body: Body) -> Result<Taken, Refusal> {
        let told = body.size_hint().exact();
        let told = told.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if told.is_some_and(|told| told > self.max) {
            discard(body).await;
            return Err(Refusal::too_large(self.max));
        }
        // Without a length it may be as long as any.
        let units = told.unwrap_or(self.max) / UNIT + 1;
        let room = u32::try_from(units)
            .ok()
            .and_then(|units| Arc::clone(&self.room).try_acquire_many_owned(units).ok());
        let Some(room) = room else {
            discard(body).await;
            return Err(Refusal::busy());
        };
        let room = Room::new(room, &self.metrics);
        let bytes = self.read(body).await?;
        Ok(Taken { bytes, _room: room })
    }

    async fn read(&self, mut body: Body) -> Result<Bytes, Refusal> {
        let begun = Instant::now();
        let mut whole = BytesMut::new();
        loop {
            let pace = Duration::from_secs((whole.len() / SLOWEST_BYTES_PER_SECOND) as u64);
            let frame = timeout_at(begun + self.grace + pace, body.frame())
                .await
                .map_err(|_| Refusal::malformed("the body came too slowly"))?;
            match frame {
                None => return Ok(whole.freeze()),
                Some(Err(_)) => return Err(Refusal::malformed("the body was cut off")),
                Some(Ok(frame)) => {
                    // Trailers are of no interest.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    if whole.len() + data.len() > self.max {
                        discard(body).await;
                        return Err(Refusal::too_large(self.max));
                    }
                    whole.extend_from_slice(&data);
                }
            }
        }
    }
}

/// Reads what is left of a refused body, within bounds, and forgets it.
async fn discard(mut body: Body) {
    let until = Instant::now() + DISCARD;
    let mut left = DISCARD_BYTES;
    while let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
