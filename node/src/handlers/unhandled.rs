//! Says once per event id that no handler of this process takes it, so that a typing error is found.

use std::collections::HashSet;

use parking_lot::RwLock;
use tengen_protocol::EventId;

/// Clients choose the ids: beyond this many the log stays silent and only the counter speaks.
const MAX_IDS: usize = 1024;

/// The ids that were logged.
#[derive(Default)]
pub(super) struct Unhandled(RwLock<HashSet<Box<str>>>);

impl Unhandled {
    /// Logs `id` if it is new. Returns whether it was.
    pub(super) fn note(&self, id: &EventId) -> bool {
        {
            let seen = self.0.read();
            if seen.contains(id.as_str()) || seen.len() >= MAX_IDS {
                return false;
            }
        }
        let mut seen = self.0.write();
        let new = seen.len() < MAX_IDS && seen.insert(id.as_str().into());
        drop(seen);
        if new {
            tracing::info!(event = %id, "no handler here, left to services");
        }
        new
    }
}
