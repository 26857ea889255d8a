//! Where a hello becomes a session of this node: held until the node is open, then begun or gone on with.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tengen_protocol::{ClientHello, Codec, Transport, Uid};

use crate::hub::{Attachment, HelloRefused, Hub};
use crate::interest::Interest;

/// What a hello comes to.
pub(crate) type Greeted = Result<Attachment, HelloRefused>;

/// Takes hellos, of either transport.
pub(crate) struct Arrivals {
    hub: Arc<Hub>,
    interest: Arc<Interest>,
    /// How long a hello waits for a node that is not open.
    open_timeout: Duration,
}

impl Arrivals {
    pub(crate) fn new(
        hub: Arc<Hub>,
        interest: Arc<Interest>,
        open_timeout: Duration,
    ) -> Arc<Arrivals> {
        Arc::new(Arrivals {
            hub,
            interest,
            open_timeout,
        })
    }

    /// Finds or begins the session that `hello` asks for, and attaches a connection to it.
    ///
    /// Ready at the first poll unless the node is not open yet. Never waits longer than
    /// `open_timeout`.
    ///
    /// # Cancel safety
    /// May be dropped; the session is then as if the connection had broken in that moment.
    pub(crate) fn greet(
        self: &Arc<Self>,
        hello: ClientHello,
        uid: Option<Uid>,
        codec: Codec,
        transport: Transport,
    ) -> BoxFuture<'static, Greeted> {
        let this = Arc::clone(self);
        Box::pin(async move {
            this.until_open().await?;
            this.hub
                .hello(&hello, uid, codec, transport, this.hub.now())
        })
    }

    async fn until_open(&self) -> Result<(), HelloRefused> {
        if self.interest.status().is_open() {
            return Ok(());
        }
        let mut status = self.interest.watch();
        let settled = status.wait_for(|status| status.is_open() || status.draining);
        match tokio::time::timeout(self.open_timeout, settled).await {
            Ok(Ok(status)) if status.is_open() => Ok(()),
            _ => Err(HelloRefused::NotOpen),
        }
    }
}
