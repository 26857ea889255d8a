//! Answers that one message of the bus cannot carry: kept at the home until the node that asked has fetched them piece by piece.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tengen_protocol::Codec;
use tengen_protocol::relay::FromHome;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// What stands around a piece in its message, generously.
const AROUND: usize = 256;
/// How long an answer is kept. Whoever asks has asked again or given up by then.
const KEPT: Duration = Duration::from_secs(5);
/// What all answers that are kept may have, in bytes. Beyond it the oldest is dropped; its GET is
/// then refused with 503, and the client asks again.
const MAX_BYTES: usize = 64 << 20;

/// Answers of which other nodes have still to fetch something. Usually none: an item is this large
/// only when it has grown by being said in the other codec.
pub(crate) struct Pieces {
    /// Bytes of a piece.
    most: usize,
    max_bytes: usize,
    line: Mutex<Line>,
}

struct Line {
    kept: VecDeque<Kept>,
    bytes: usize,
    metrics: Arc<Metrics>,
}

struct Kept {
    id: u128,
    body: Bytes,
    until: Instant,
}

impl Pieces {
    /// For a bus whose messages carry `max_payload` bytes.
    pub(crate) fn new(max_payload: usize, metrics: &Arc<Metrics>) -> Pieces {
        let most = max_payload.saturating_sub(AROUND).max(1);
        Pieces::bounded(most, MAX_BYTES, metrics)
    }

    fn bounded(most: usize, max_bytes: usize, metrics: &Arc<Metrics>) -> Pieces {
        Pieces {
            most,
            max_bytes,
            line: Mutex::new(Line {
                kept: VecDeque::new(),
                bytes: 0,
                metrics: Arc::clone(metrics),
            }),
        }
    }

    /// The message that answers with `body`, or with the beginning of it.
    pub(crate) fn answer(&self, codec: Codec, body: Bytes) -> FromHome {
        let mut line = self.line.lock();
        line.forget_old();
        if body.len() <= self.most {
            return FromHome::Body(codec, body);
        }
        let (id, piece) = (rand::random(), body.slice(..self.most));
        let total = body.len() as u64;
        line.keep(id, body);
        while line.bytes > self.max_bytes {
            line.remove(0);
        }
        FromHome::Begun {
            codec,
            id,
            total,
            piece,
        }
    }

    /// The piece behind the first `from` bytes; `None` if the answer is not kept any more, or has
    /// no such bytes. With its last piece it is let go.
    pub(crate) fn rest(&self, id: u128, from: u64) -> Option<Bytes> {
        let mut line = self.line.lock();
        line.forget_old();
        let at = line.kept.iter().position(|kept| kept.id == id)?;
        let body = &line.kept[at].body;
        let from = usize::try_from(from)
            .ok()
            .filter(|from| *from < body.len())?;
        let end = body.len().min(from + self.most);
        let piece = body.slice(from..end);
        if end == body.len() {
            line.remove(at);
        }
        Some(piece)
    }
}

impl Line {
    fn keep(&mut self, id: u128, body: Bytes) {
        self.bytes += body.len();
        self.metrics.poll.piece_bytes.grow(body.len() as u64);
        let until = Instant::now() + KEPT;
        self.kept.push_back(Kept { id, body, until });
    }

    fn forget_old(&mut self) {
        let now = Instant::now();
        while self.kept.front().is_some_and(|kept| kept.until <= now) {
            self.remove(0);
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(kept) = self.kept.remove(at) {
            self.bytes -= kept.body.len();
            self.metrics.poll.piece_bytes.shrink(kept.body.len() as u64);
        }
    }
}
