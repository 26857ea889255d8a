//! What a handle asks of the driver.

use tengen_protocol::{
    Data, EventId,
    client::{Outcome, SendOptions},
};
use tokio::sync::oneshot;

/// One thing to do, in the order in which the application asked.
pub(crate) enum Command {
    /// Sends an event; its outcome is told when it was acknowledged.
    Send {
        id: EventId,
        data: Data,
        options: SendOptions,
        outcome: oneshot::Sender<Outcome>,
    },
    /// Sends a request; its outcome is the reply.
    Request {
        id: EventId,
        data: Data,
        options: SendOptions,
        outcome: oneshot::Sender<Outcome>,
    },
    /// Shows an event of the application's own to its handlers.
    Inject {
        id: EventId,
        data: Data,
    },
    Connect,
    Disconnect,
    Reconnect,
    Break {
        close_socket: bool,
    },
    BadConnection {
        rate: f64,
    },
    /// A handler was attached: early events may be waiting for it.
    Attached,
}
