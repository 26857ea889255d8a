//! What waits for the bus: the batches of a publisher, and when the next one leaves.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::SetOnce, time::Instant};

use super::batch;
use crate::error::PublishError;

/// The longest that a batch nobody awaits waits for company.
const LINGER: Duration = Duration::from_millis(1);

/// What became of a batch, and its number if the bus took it: the same for all who wait for it.
pub(super) type Outcome = Arc<SetOnce<Result<u64, PublishError>>>;

/// The pushes in line, in order: closed batches, then the open one.
#[derive(Default)]
pub(super) struct Line {
    pub(super) closed: VecDeque<Batch>,
    pub(super) open: Batch,
    /// Of the batch handed to the driver last: `Publisher::flush` waits for it.
    pub(super) last: Option<Outcome>,
    pub(super) driver: DriverState,
    pub(super) ended: bool,
}

/// What the driver sleeps on, which says who has to wake it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum DriverState {
    #[default]
    Awake,
    /// Nothing is in line.
    Idle,
    /// The open batch is young and nobody awaits it.
    Lingering,
}

#[derive(Default)]
pub(super) struct Batch {
    pub(super) writer: batch::Writer,
    pub(super) outcome: Outcome,
    pub(super) room: usize,
    /// Somebody awaits it.
    pub(super) awaited: bool,
    /// When its first push came.
    pub(super) begun: Option<Instant>,
}

/// What the driver does next.
pub(super) enum Next {
    Send(Batch),
    /// The open batch may still find company, until then.
    Linger(Instant),
    Nothing,
}

impl Line {
    pub(super) fn close_open(&mut self) {
        let batch = std::mem::take(&mut self.open);
        self.closed.push_back(batch);
    }

    /// Whether the driver has to be woken for what is in line now.
    pub(super) fn wake(&mut self) -> bool {
        let wake = match self.driver {
            DriverState::Awake => false,
            DriverState::Idle => true,
            DriverState::Lingering => self.open.awaited || !self.closed.is_empty(),
        };
        if wake {
            self.driver = DriverState::Awake;
        }
        wake
    }

    /// The next batch to send, if it is time; `ending` waits for no company.
    pub(super) fn next(&mut self, ending: bool) -> Next {
        let batch = match (self.closed.pop_front(), self.open.begun) {
            (Some(batch), _) => batch,
            (None, None) => {
                self.driver = DriverState::Idle;
                return Next::Nothing;
            }
            (None, Some(begun)) => {
                let until = begun + LINGER;
                if !self.open.awaited && !ending && Instant::now() < until {
                    self.driver = DriverState::Lingering;
                    return Next::Linger(until);
                }
                std::mem::take(&mut self.open)
            }
        };
        self.driver = DriverState::Awake;
        self.last = Some(Arc::clone(&batch.outcome));
        Next::Send(batch)
    }
}
