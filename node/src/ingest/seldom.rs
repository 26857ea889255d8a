//! One warning per minute, however often its cause occurs.

use std::time::Duration;

use tengen_protocol::Millis;

/// Lets one through per interval and counts those it held back.
pub(crate) struct Seldom {
    every: Duration,
    last: Option<Millis>,
    held_back: u64,
}

impl Seldom {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            last: None,
            held_back: 0,
        }
    }

    /// `Some(held back since the last one)` if it is time to speak again.
    pub(crate) fn due(&mut self, now: Millis) -> Option<u64> {
        if self.last.is_some_and(|last| now - last < self.every) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}
