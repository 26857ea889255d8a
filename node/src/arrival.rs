//! Where a hello becomes a session of this node: held until the node is open, brought here from another one, resumed or begun.

mod take;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tengen_protocol::server::Standing;
use tengen_protocol::{ClientHello, Codec, SessionId, Transport, Uid};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::handlers::connected::Connected;
use crate::hub::{Attachment, HelloRefused, Hub};
use crate::interest::Interest;
use crate::moves::{Moves, Start};
use crate::peers::Peers;

/// What a hello comes to.
pub(crate) type Greeted = Result<Attachment, HelloRefused>;

/// Takes hellos, of either transport.
pub(crate) struct Arrivals {
    parts: Parts,
    /// Sessions that may be on their way here at once.
    room: Arc<Semaphore>,
}

/// What [`Arrivals`] are made from.
pub(crate) struct Parts {
    pub hub: Arc<Hub>,
    pub interest: Arc<Interest>,
    pub peers: Peers,
    pub moves: Moves,
    pub start: Start,
    /// How long a hello waits for a node that is not open.
    pub open_timeout: Duration,
    /// Owns the takeovers, which outlive their connections.
    pub tracker: TaskTracker,
    pub shutdown: CancellationToken,
}

/// A hello, and what its connection knows beside it.
struct Guest {
    hello: ClientHello,
    session: SessionId,
    uid: Option<Uid>,
    codec: Codec,
    context: Arc<Connected>,
}

impl Arrivals {
    pub(crate) fn new(parts: Parts) -> Arc<Arrivals> {
        let room = parts.hub.config().max_arriving;
        Arc::new(Arrivals {
            room: Arc::new(Semaphore::new(room)),
            parts,
        })
    }

    /// Finds or begins the session that `hello` asks for, and attaches a connection to it. One that
    /// another node has is taken over. `context` goes with what it brings along unhandled.
    ///
    /// Ready at the first poll if the session is here or a new one is asked for, and the node is
    /// open. Else it waits for `open_timeout` at most, and for a takeover about 4 s at most; usually
    /// some milliseconds.
    ///
    /// # Cancel safety
    /// May be dropped; the session is then as if the connection had broken in that moment. A
    /// takeover goes on: its session waits here for the client's next connection.
    pub(crate) fn greet(
        self: &Arc<Self>,
        hello: ClientHello,
        uid: Option<Uid>,
        codec: Codec,
        transport: Transport,
        context: Arc<Connected>,
    ) -> BoxFuture<'static, Greeted> {
        let this = Arc::clone(self);
        Box::pin(async move {
            this.until_open().await?;
            if let Some(session) = hello.session.clone() {
                let guest = Guest {
                    hello: hello.clone(),
                    session,
                    uid: uid.clone(),
                    codec,
                    context,
                };
                this.bring(guest).await?;
            }
            let hub = &this.parts.hub;
            let attachment = hub.hello(&hello, uid, codec, transport, hub.now())?;
            // A hello voids a takeover by another node: what waited for it may start.
            (this.parts.start)(&attachment.port);
            Ok(attachment)
        })
    }

    async fn until_open(&self) -> Result<(), HelloRefused> {
        let interest = &self.parts.interest;
        if interest.status().is_open() {
            return Ok(());
        }
        let mut status = interest.watch();
        let settled = status.wait_for(|status| status.is_open() || status.draining);
        match tokio::time::timeout(self.parts.open_timeout, settled).await {
            Ok(Ok(status)) if status.is_open() => Ok(()),
            _ => Err(HelloRefused::NotOpen),
        }
    }

    /// Sees to it that the session is here, if it can be.
    async fn bring(self: &Arc<Self>, guest: Guest) -> Result<(), HelloRefused> {
        let lease = loop {
            match self.parts.moves.under_way.enter(&guest.session) {
                Ok(lease) => break lease,
                // Of two hellos at once the attempt decides, when the session is here.
                Err(mut over) => {
                    let _ = over.changed().await;
                }
            }
        };
        if !self.is_elsewhere(&guest) {
            return Ok(());
        }
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            self.metrics().refused.increment();
            return Err(HelloRefused::Full);
        };
        let (tell, told) = oneshot::channel();
        let this = Arc::clone(self);
        self.parts.tracker.spawn(async move {
            let (_lease, _room) = (lease, room);
            let shutdown = &this.parts.shutdown;
            let brought = shutdown.run_until_cancelled(this.take(&guest)).await;
            // The connection may be gone; the session is here all the same.
            let _ = tell.send(brought.unwrap_or(Err(HelloRefused::NotOpen)));
        });
        told.await.unwrap_or(Err(HelloRefused::NotOpen))
    }

    /// Whether the session is to be looked for at other nodes.
    fn is_elsewhere(&self, guest: &Guest) -> bool {
        let Some(port) = self.parts.hub.session(&guest.session) else {
            return true;
        };
        let standing = port.with(|inner| inner.session.standing());
        // Whoever only names another client's session leaves it where it is.
        standing == Standing::Moved && port.client == guest.hello.client
    }

    fn metrics(&self) -> &crate::metrics::TakeoverMetrics {
        &self.parts.hub.metrics().takeover
    }
}
