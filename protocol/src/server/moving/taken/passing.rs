//! What a session that came from another node tells the next one that it has.

use super::{MESSAGE_MS, Taken};
use crate::millis::Millis;
use crate::takeover::Applied;

impl Taken {
    /// What this session has, as the next taker must know it: its node's journal also has what the
    /// node heard before the session was here.
    pub(in crate::server::moving) fn correct(&self, applied: &mut Applied, now: Millis) {
        for (publisher, stream) in &self.streams {
            let upto = applied.publishers.entry(*publisher).or_default();
            upto.holes = stream.holes(upto.last);
            upto.last = upto.last.max(stream.holder.last);
        }
        applied.singles.extend(&self.let_out);
        applied
            .messages
            .retain(|(message, _)| !self.missing_messages.contains(message));
        for (message, until) in &self.messages {
            if *until > now {
                let left = until.since(now).as_millis() as u64;
                let age = MESSAGE_MS.saturating_sub(left);
                applied.messages.push((*message, age));
            }
        }
        let here = now.since(self.registered).as_millis() as u64;
        let mut doubled = self.doubled.clone();
        applied.contents.retain(|(content, age)| {
            let second = doubled.get_mut(content).filter(|left| **left > 0);
            let second = *age < here && second.map(|left| *left -= 1).is_some();
            *age < here && !second
        });
        let holder = self.contents.iter();
        let holder = holder.map(|(id, at)| (*id, now.since(*at).as_millis() as u64));
        applied
            .contents
            .extend(holder.filter(|(_, age)| *age <= applied.reach_ms));
    }
}
