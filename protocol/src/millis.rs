//! Time as the sans-IO code sees it: a number handed in by whoever drives it.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Milliseconds on the caller's monotonic clock, from any start; the sans-IO code never reads a
/// clock itself. All arithmetic saturates: a clock that jumps must not end a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// Later than everything.
    pub const MAX: Millis = Millis(u64::MAX);

    /// How long ago `earlier` was; zero if it is still to come.
    pub fn since(self, earlier: Millis) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This many milliseconds later.
    pub fn plus(self, millis: u64) -> Millis {
        Millis(self.0.saturating_add(millis))
    }
}

impl Add<Duration> for Millis {
    type Output = Millis;

    /// Parts of a millisecond are dropped.
    fn add(self, later: Duration) -> Millis {
        self.plus(u64::try_from(later.as_millis()).unwrap_or(u64::MAX))
    }
}

impl AddAssign<Duration> for Millis {
    fn add_assign(&mut self, later: Duration) {
        *self = *self + later;
    }
}

impl Sub for Millis {
    type Output = Duration;

    fn sub(self, earlier: Millis) -> Duration {
        self.since(earlier)
    }
}

impl Sub<Duration> for Millis {
    type Output = Millis;

    fn sub(self, earlier: Duration) -> Millis {
        Millis(
            self.0
                .saturating_sub(u64::try_from(earlier.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests;
