//! The edge: where clients connect, from the TCP accept to the session and back.

pub(crate) mod accept;
pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod decoder;
pub(crate) mod poll;
#[cfg(test)]
#[path = "../tests/it/raw.rs"]
pub(crate) mod raw;
pub(crate) mod scratch;
pub(crate) mod upgrade;
pub(crate) mod waiting;
pub(crate) mod writer;

use std::sync::Arc;
use std::time::Duration;

use tengen_protocol::{Data, ServerHello, Uid};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::poll::Polls;
use self::waiting::Waiting;
use crate::arrival::Arrivals;
use crate::hub::{Attachment, Hub};
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::moves::Start;

/// The edge's times.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// A connection that has not said hello by then is closed with 4408.
    pub(crate) hello_timeout: Duration,
    /// How long a peer may take to read our Close and answer it.
    pub(crate) close_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            hello_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(2),
        }
    }
}

/// What the connections of a node share. Built once, by the composition root.
pub(crate) struct Edge {
    pub(crate) hub: Arc<Hub>,
    pub(crate) identity: Identity,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Settings,
    /// Sees to it that what waits in a session's inbox is handled; cheap, and never under a lock.
    pub(crate) start: Start,
    /// Where hellos become sessions.
    pub(crate) arrivals: Arc<Arrivals>,
    /// What long-poll needs beside.
    pub(crate) polls: Polls,
    /// Every connection's task runs on it.
    pub(crate) tracker: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    /// Deadlines of connections without a session.
    pub(crate) waiting: Arc<Waiting>,
}

impl Edge {
    /// The answer to a hello that was taken.
    pub(crate) fn hello_to(
        &self,
        attachment: &Attachment,
        uid: Option<Uid>,
        data: Data,
    ) -> ServerHello {
        let bounds = self.hub.bounds();
        ServerHello {
            session: attachment.port.id.clone(),
            resumed: attachment.attached.resumed,
            gap: attachment.attached.gap,
            received: attachment.attached.received,
            uid,
            data,
            ping_ms: bounds.ping_ms,
            max_bytes: bounds.limits.max_bytes as u64,
            node: self.hub.config().node.clone(),
        }
    }

    /// Has every connection without a session look at `shutdown`; those with one are ended by the hub.
    pub(crate) fn dismiss(&self) {
        self.waiting.wake_all();
    }
}
