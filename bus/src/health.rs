//! Whether the bus can be relied on right now, and why not.

use std::{sync::Arc, time::Instant};

/// The state of a [`crate::Bus`], watched through [`crate::Bus::health`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Connected, and interest is confirmed by a round trip through this connection.
    Up {
        /// Since when.
        since: Instant,
        /// The id of the server at the other end (`local` in process).
        server: Arc<str>,
        /// Whether that server says that it belongs to a cluster: there may be others, which hear of
        /// an interest a moment later.
        clustered: bool,
    },
    /// Not connected, or connected and not confirmed yet. Publishing fails at once.
    Down {
        /// Since when.
        since: Instant,
        /// For people.
        why: Arc<str>,
    },
}

impl Health {
    /// Whether publishing has a chance.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self, Health::Up { .. })
    }

    pub(crate) fn up(server: &str, clustered: bool) -> Health {
        Health::Up {
            since: Instant::now(),
            server: server.into(),
            clustered,
        }
    }

    pub(crate) fn down(why: &str) -> Health {
        Health::Down {
            since: Instant::now(),
            why: why.into(),
        }
    }
}
