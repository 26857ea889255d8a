//! Whether this node hears itself: only then does it judge others.

use std::collections::VecDeque;

use crate::millis::Millis;
use crate::presence::rules::{Rule, holds};

/// A beat of one's own that takes longer to come back is as good as lost.
const ECHO_MS: u64 = 1_500;

/// The driver calls at least so often.
pub(super) const TICK_MS: u64 = 250;

/// A call later than this, in milliseconds, is what a paused process looks like.
const LATE_MS: u64 = 1_000;

/// Beats that have not come back, remembered at most: a minute of them.
const MAX_SENT: usize = 64;

#[derive(Debug)]
pub(super) struct Hearing {
    pub(super) up: bool,
    pub(super) started: Millis,
    ticked: Millis,
    /// When each beat was said that has not come back.
    sent: VecDeque<Millis>,
    /// When the last beat came back.
    pub(super) heard_at: Millis,
    /// Beats that came back since this node hears itself.
    pub(super) beats: u32,
    hears: bool,
}

impl Hearing {
    pub(super) fn new(now: Millis) -> Hearing {
        Hearing {
            up: true,
            started: now,
            ticked: now,
            sent: VecDeque::new(),
            heard_at: now,
            beats: 0,
            hears: false,
        }
    }

    pub(super) fn hears(&self) -> bool {
        self.hears || !holds(Rule::HearOneself)
    }

    /// Looks at the clock; true if this node hears itself no more.
    pub(super) fn look(&mut self, now: Millis) -> bool {
        let since = |at: Millis| now.0.saturating_sub(at.0);
        let late = since(self.ticked) > TICK_MS + LATE_MS && holds(Rule::LateTickFreezes);
        let unheard = self.sent.front().is_some_and(|at| since(*at) > ECHO_MS);
        let heard = self.hears;
        if late {
            // What waited in the socket meanwhile says nothing of now.
            self.sent.clear();
        }
        if late || unheard {
            self.deafen();
        }
        heard && !self.hears
    }

    fn deafen(&mut self) {
        self.hears = false;
        self.beats = 0;
    }

    pub(super) fn tick(&mut self, now: Millis) {
        self.ticked = now;
    }

    pub(super) fn ticked(&self) -> Millis {
        self.ticked
    }

    pub(super) fn bus(&mut self, up: bool) {
        self.up = up;
        self.sent.clear();
        self.deafen();
    }

    pub(super) fn said(&mut self, now: Millis) {
        if self.sent.len() >= MAX_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }

    /// An own beat came back; true if this node hears itself again.
    pub(super) fn echo(&mut self, at: Millis, now: Millis) -> bool {
        if !self.sent.contains(&at) {
            return false;
        }
        while self.sent.front().is_some_and(|sent| *sent <= at) {
            self.sent.pop_front();
        }
        if now.0.saturating_sub(at.0) > ECHO_MS {
            return false;
        }
        self.heard_at = now;
        self.beats = self.beats.saturating_add(1);
        !std::mem::replace(&mut self.hears, true)
    }
}
