//! What carries a connection: a WebSocket, or long-polling.

use std::fmt;

/// What carries a connection. The frames are the same on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A WebSocket: one socket, both directions.
    Ws,
    /// Long-polling: GETs that are held until there is something to say, POSTs for the rest.
    Poll,
}

impl Transport {
    /// The word for logs, metrics, JavaScript and the state.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Ws => "ws",
            Transport::Poll => "poll",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
