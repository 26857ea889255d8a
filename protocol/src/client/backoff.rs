//! When to try again: at once, then full-jitter exponential, capped.

use super::random::Random;

/// Delays between attempts to connect, in milliseconds.
///
/// The first is zero; the n-th after it is drawn evenly from zero to base × 2ⁿ⁻¹, at most the cap.
/// "Full jitter" spreads a herd best for the same total of attempts (Brooker, AWS Architecture
/// Blog, 2015).
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    base_ms: u64,
    cap_ms: u64,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(base_ms: u64, cap_ms: u64) -> Backoff {
        Backoff {
            base_ms,
            cap_ms,
            failures: 0,
        }
    }

    pub(super) fn next(&mut self, random: &mut Random) -> u64 {
        let limit = self.limit();
        self.failures = self.failures.saturating_add(1);
        random.up_to(limit)
    }

    /// The most the next delay can be.
    fn limit(&self) -> u64 {
        let Some(doublings) = self.failures.checked_sub(1) else {
            return 0;
        };
        let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        self.base_ms.saturating_mul(factor).min(self.cap_ms)
    }

    /// No immediate retry after this failure: the other end asked for distance.
    pub(super) fn skip_immediate(&mut self) {
        self.failures = self.failures.max(1);
    }

    /// After a connection that was stable.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}
