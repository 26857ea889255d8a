//! The client's only source of chance: a seeded generator, so that every run can be run again.

use crate::ids::ClientId;

/// SplitMix64 (Steele, Lea and Flood, 2014): good enough for jitter and ids, not for secrets.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from 0 to `max`, `max` included.
    pub(super) fn up_to(&mut self, max: u64) -> u64 {
        let count = u128::from(max) + 1;
        ((u128::from(self.next()) * count) >> 64) as u64
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, rate: f64) -> bool {
        rate > 0.0 && ((self.next() >> 11) as f64 / (1u64 << 53) as f64) < rate
    }

    pub(super) fn client_id(&mut self) -> ClientId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_le_bytes());
        bytes[8..].copy_from_slice(&self.next().to_le_bytes());
        ClientId::new(bytes)
    }
}
