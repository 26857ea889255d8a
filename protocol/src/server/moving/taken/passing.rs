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
            if !upto.holes.is_empty() {
                upto.told = stream.whole;
            }
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
        applied.equals = self.equals.export();
    }
}
