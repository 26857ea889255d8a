//! One direction of a connection: a line of bytes, each with the time at which it may arrive.

use std::{collections::VecDeque, io, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::tcp::{ReadHalf, WriteHalf},
    time::{Instant, sleep_until},
};

use super::link::Way;

/// What is under way at most; beyond it the sender is not read, so that it feels the link's speed.
const MAX_UNDER_WAY: usize = 256 * 1024;
const MAX_READ: usize = 16 * 1024;

/// How bytes travel in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Whether they travel at all.
    pub gate: Gate,
    /// At most so many; `None` = as fast as they come.
    pub bytes_per_second: Option<u32>,
    /// How much later each arrives.
    pub delay: Duration,
}

/// Whether bytes pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They do.
    Open,
    /// They are held back until it opens again.
    Stalled,
    /// They are taken and thrown away, the end of the connection too.
    Blackholed,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            gate: Gate::Open,
            bytes_per_second: None,
            delay: Duration::ZERO,
        }
    }
}

impl Shape {
    /// A narrow link.
    #[must_use]
    pub fn slow(bytes_per_second: u32) -> Shape {
        Shape {
            bytes_per_second: Some(bytes_per_second),
            ..Shape::default()
        }
    }

    /// A long link.
    #[must_use]
    pub fn late(delay: Duration) -> Shape {
        Shape {
            delay,
            ..Shape::default()
        }
    }

    fn seconds(&self, bytes: usize) -> Duration {
        self.bytes_per_second.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(bytes as f64 / f64::from(rate.max(1)))
        })
    }

    /// A tenth of a second's worth, so that a narrow link does not come in bursts.
    fn chunk(&self) -> usize {
        self.bytes_per_second
            .map_or(MAX_READ, |rate| (rate as usize / 10).clamp(64, MAX_READ))
    }
}

/// Passes bytes on until `from` has ended and all of them have arrived; `seen` gets each first.
pub(super) async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: &Way,
    head: Bytes,
    seen: impl Fn(&[u8]),
) -> io::Result<()> {
    let mut shapes = way.shape.subscribe();
    let mut buffer = vec![0; MAX_READ];
    let mut line = VecDeque::new();
    let mut under_way = 0;
    // When the link will have sent everything it has taken.
    let mut clear_at = Instant::now();
    let mut ended = false;
    if !head.is_empty() {
        seen(&head);
        under_way += head.len();
        line.push_back((clear_at, head));
    }
    loop {
        let shape = *shapes.borrow_and_update();
        if shape.gate == Gate::Blackholed {
            line.clear();
            under_way = 0;
        }
        if ended && line.is_empty() {
            return match shape.gate {
                Gate::Blackholed => Ok(()),
                Gate::Open | Gate::Stalled => to.shutdown().await,
            };
        }
        let moving = shape.gate != Gate::Stalled;
        let due = line.front().map(|(at, _)| *at);
        tokio::select! {
            biased;
            // The sender lives as long as the link.
            _ = shapes.changed() => {}
            () = sleep_until(due.unwrap_or(clear_at)), if due.is_some() && moving => {
                if let Some((_, bytes)) = line.pop_front() {
                    under_way -= bytes.len();
                    to.write_all(&bytes).await?;
                    way.count(bytes.len());
                }
            }
            read = from.read(&mut buffer[..shape.chunk()]),
                if !ended && moving && under_way < MAX_UNDER_WAY =>
            {
                let bytes = Bytes::copy_from_slice(&buffer[..read?]);
                ended = bytes.is_empty();
                if !ended && shape.gate == Gate::Open {
                    seen(&bytes);
                    clear_at = clear_at.max(Instant::now()) + shape.seconds(bytes.len());
                    under_way += bytes.len();
                    line.push_back((clear_at + shape.delay, bytes));
                }
            }
        }
    }
}
