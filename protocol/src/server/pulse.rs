//! Time in the server half: pings, silence, acks that are due. One coarse sweep may drive it.

use super::{Bounds, Link, Session};
use crate::codes::CloseCode;
use crate::millis::Millis;
use crate::transport::Transport;

/// The slowest link worth serving: an announced item may take its size at this rate (8 KiB/s).
const SLOWEST_BYTES_PER_SECOND: u64 = 8 << 10;

/// What the passing of time asks of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Nothing.
    Quiet,
    /// [`Session::write`] has something.
    Write,
    /// Nothing was heard for too long: write once more if the socket takes it, then close with 4002.
    Close,
    /// The client of a poll has not come back: it is detached, and there is nothing to close.
    Silent,
    /// [`Session::next_item`] has something, which had waited for another node.
    /// [`Session::write`] may have something too.
    Work,
}

/// How much longer than usual a frame of this size may keep a link silent.
pub(crate) fn patience(bytes: u64) -> u64 {
    bytes.saturating_mul(1000) / SLOWEST_BYTES_PER_SECOND
}

impl<C> Session<C> {
    /// Lets time pass, for attached sessions and others. Call it at [`Session::deadline`] or, simpler, once a second.
    ///
    /// Acknowledges whatever is unacknowledged, so that a sweep of one second keeps the promise of one second.
    pub fn tick(&mut self, now: Millis, bounds: &Bounds) -> Tick {
        if self.moving.is_some() && self.tick_moving(now, bounds) {
            return Tick::Work;
        }
        if !self.attached {
            return Tick::Quiet;
        }
        if self.transport == Transport::Poll {
            if now >= self.silent_until(bounds) {
                self.fall_silent(now);
                return Tick::Silent;
            }
            return self.tick_to_write(now, bounds);
        }
        if self.ending.is_none() && now >= self.silent_until(bounds) {
            self.abort(CloseCode::PING_TIMEOUT, "nothing heard");
            return Tick::Close;
        }
        if now >= self.last_written.plus(bounds.ping_ms) {
            self.ping_owed = true;
        }
        self.ack_owed |= self.received > self.told;
        self.tick_to_write(now, bounds)
    }

    fn tick_to_write(&self, now: Millis, bounds: &Bounds) -> Tick {
        if self.wants_write(now, bounds) {
            Tick::Write
        } else {
            Tick::Quiet
        }
    }

    /// When [`Session::tick`] has something to do, if nothing happens before. `None` while detached,
    /// unless the session came from, or went to, another node lately.
    pub fn deadline(&self, bounds: &Bounds) -> Option<Millis> {
        let moving = self.moving_deadline();
        if !self.attached {
            return moving;
        }
        let quiet = self
            .silent_until(bounds)
            .min(self.last_written.plus(bounds.ping_ms));
        let ack = if self.received > self.told {
            self.last_ack.plus(bounds.ack_after_ms)
        } else {
            Millis::MAX
        };
        Some(quiet.min(ack).min(moving.unwrap_or(Millis::MAX)))
    }

    /// Bytes came from the connection behind `link`, perhaps only part of a frame: a sign of life.
    pub fn heard(&mut self, link: Link, now: Millis) {
        if self.speaks(link) {
            self.last_heard = now;
        }
    }

    /// Asks for a sign of life now, whatever was written before.
    pub fn ping(&mut self) {
        self.ping_owed = self.attached && self.transport == Transport::Ws;
    }

    fn silent_until(&self, bounds: &Bounds) -> Millis {
        if self.poll_waits() {
            // It is answered in time, whatever happens; from then on the client has to come back.
            return Millis::MAX;
        }
        self.last_heard
            .plus(bounds.quiet_ms)
            .max(self.patient_until)
    }

    pub(super) fn be_patient(&mut self, ahead: u64, now: Millis, bounds: &Bounds) {
        // More than one frame may hold cannot be announced: a lie must not buy for ever.
        let ahead = ahead.min(bounds.limits.max_bytes as u64 * 2);
        self.patient_until = self
            .patient_until
            .max(now.plus(bounds.quiet_ms + patience(ahead)));
    }

    pub(super) fn announced(&mut self, ahead: Option<u64>, now: Millis, bounds: &Bounds) {
        if let Some(ahead) = ahead {
            self.be_patient(ahead, now, bounds);
        }
    }

    /// An ack is due at the cadence; after a pause the first item is acknowledged at once, because
    /// it costs no more acks per second and its sender may be waiting for it.
    pub(super) fn ack_is_due(&self, now: Millis, bounds: &Bounds) -> bool {
        self.ack_owed
            || (self.received > self.told && now >= self.last_ack.plus(bounds.ack_after_ms))
    }
}
