//! One connection through the proxy, and the hold that a test has on it.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};

use super::pump::{Gate, Shape, pump};

/// How much of what the client said first is kept for [`Link::replay`].
const KEPT_BYTES: usize = 64 * 1024;

/// A hold on one connection; clones hold the same.
#[derive(Clone, Debug)]
pub struct Link {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    target: SocketAddr,
    up: Way,
    down: Way,
    end: watch::Sender<Option<End>>,
    first: Mutex<Vec<u8>>,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) shape: watch::Sender<Shape>,
    passed: AtomicU64,
}

/// How a test ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Finish,
    Reset,
}

impl Way {
    fn new(shape: Shape) -> Way {
        Way {
            shape: watch::Sender::new(shape),
            passed: AtomicU64::new(0),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Shape)) {
        self.shape.send_if_modified(|shape| {
            let open = shape.gate != Gate::Blackholed;
            if open {
                change(shape);
            }
            open
        });
    }

    pub(super) fn count(&self, bytes: usize) {
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Link {
    pub(super) fn new(target: SocketAddr, shape: Shape) -> Link {
        Link {
            inner: Arc::new(Inner {
                target,
                up: Way::new(shape),
                down: Way::new(shape),
                end: watch::Sender::new(None),
                first: Mutex::default(),
            }),
        }
    }

    pub(super) fn is(&self, other: &Link) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whom it was passed on to.
    #[must_use]
    pub fn target(&self) -> SocketAddr {
        self.inner.target
    }

    /// Bytes passed on so far: to the server, to the client.
    #[must_use]
    pub fn passed(&self) -> (u64, u64) {
        let passed = |way: &Way| way.passed.load(Ordering::Relaxed);
        (passed(&self.inner.up), passed(&self.inner.down))
    }

    /// Ends both sides in good order (FIN); what is under way is lost.
    pub fn cut(&self) {
        self.inner.end.send_replace(Some(End::Finish));
    }

    /// Ends both sides at once (RST).
    pub fn reset(&self) {
        self.inner.end.send_replace(Some(End::Reset));
    }

    /// Holds everything back from now on, both ways; the ends notice when their buffers are full.
    pub fn stall(&self) {
        self.gate(Gate::Stalled);
    }

    /// Ends a [`stall`](Link::stall): what was held back goes on.
    pub fn resume(&self) {
        self.gate(Gate::Open);
    }

    /// Takes everything from now on and passes nothing, not even the end: a cable cut unseen. For
    /// good: a connection that lost bytes in its middle is nothing that TCP would give to anybody.
    pub fn blackhole(&self) {
        self.gate(Gate::Blackholed);
    }

    fn gate(&self, gate: Gate) {
        for way in [&self.inner.up, &self.inner.down] {
            way.change(|shape| shape.gate = gate);
        }
    }

    /// How bytes travel from now on, both ways.
    pub fn shape(&self, shape: Shape) {
        self.shape_up(shape);
        self.shape_down(shape);
    }

    /// How bytes travel to the server from now on.
    pub fn shape_up(&self, shape: Shape) {
        self.inner.up.change(|now| *now = shape);
    }

    /// How bytes travel to the client from now on.
    pub fn shape_down(&self, shape: Shape) {
        self.inner.down.change(|now| *now = shape);
    }

    /// What the client said first, up to 64 KiB.
    #[must_use]
    pub fn first_bytes(&self) -> Vec<u8> {
        self.inner.first.lock().clone()
    }

    /// Says to the target once more, on a connection of its own, what the client said first, as a
    /// proxy does that repeats requests.
    ///
    /// # Errors
    /// The target does not take it.
    pub async fn replay(&self) -> io::Result<TcpStream> {
        let mut again = TcpStream::connect(self.inner.target).await?;
        again.write_all(&self.first_bytes()).await?;
        Ok(again)
    }

    pub(super) fn keep(&self, bytes: &[u8]) {
        let mut first = self.inner.first.lock();
        let room = KEPT_BYTES - first.len();
        first.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Carries bytes until both sides have ended or the test ends it. `head` was read already.
    pub(super) async fn carry(
        &self,
        mut client: TcpStream,
        mut server: TcpStream,
        head: Bytes,
    ) -> io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let mut end = self.inner.end.subscribe();
        let how = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            let (up, down) = (&self.inner.up, &self.inner.down);
            let both = async {
                tokio::try_join!(
                    pump(from_client, to_server, up, head, |bytes| self.keep(bytes)),
                    pump(from_server, to_client, down, Bytes::new(), |_| {}),
                )
            };
            tokio::select! {
                // A side that broke takes the other with it.
                carried = both => if carried.is_ok() { None } else { Some(End::Reset) },
                // It lives as long as this link.
                how = end.wait_for(Option::is_some) => how.ok().and_then(|how| *how),
            }
        };
        match how {
            None => Ok(()),
            Some(End::Reset) => {
                client.set_zero_linger()?;
                server.set_zero_linger()
            }
            Some(End::Finish) => {
                tokio::try_join!(finish(&mut client), finish(&mut server)).map(|_| ())
            }
        }
    }
}

/// Ends our half and waits for the other: closing with unread bytes would be a reset.
async fn finish(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut sink = [0; 4096];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}
