//! A TCP proxy for tests that misbehaves when told to: it cuts, stalls, swallows, slows, delays and repeats connections.

mod admission;
mod link;
mod pump;
#[cfg(test)]
mod tests;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use admission::{Admission, Whom};
pub use link::Link;
pub use pump::{Gate, Shape};

/// Passes connections on to its targets in turn, without affinity; ends with all of them when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _end: DropGuard,
}

#[derive(Debug)]
struct Shared {
    rules: Mutex<Rules>,
    links: Mutex<Vec<Link>>,
    turn: AtomicUsize,
    accepted: AtomicU64,
    /// What ended links had passed on.
    passed: Mutex<(u64, u64)>,
}

/// What the next connection meets.
#[derive(Clone, Debug)]
struct Rules {
    targets: Vec<SocketAddr>,
    whom: Whom,
    admission: Admission,
    shape: Shape,
    /// Raised when targets or admission change.
    changes: u64,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and passes everything on.
    ///
    /// # Panics
    /// Without a free port, and outside a tokio runtime.
    pub async fn start(targets: &[SocketAddr]) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            rules: Mutex::new(Rules {
                targets: targets.to_vec(),
                whom: Whom::Everybody,
                admission: Admission::Pass,
                shape: Shape::default(),
                changes: 0,
            }),
            links: Mutex::default(),
            turn: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            passed: Mutex::default(),
        });
        let end = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&shared), end.clone()));
        Proxy {
            address,
            shared,
            _end: end.drop_guard(),
        }
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends later connections to other targets; those of now stay where they are. One that is just
    /// being let in breaks: it is none of [`Proxy::links`] yet, and must not become one afterwards.
    pub fn aim(&self, targets: &[SocketAddr]) {
        let mut rules = self.shared.rules.lock();
        rules.targets = targets.to_vec();
        rules.changes += 1;
    }

    /// What later connections meet, and which of them. One that is just being let in breaks, as by
    /// [`Proxy::aim`].
    pub fn admit(&self, whom: Whom, admission: Admission) {
        let mut rules = self.shared.rules.lock();
        (rules.whom, rules.admission) = (whom, admission);
        rules.changes += 1;
    }

    /// How bytes travel from now on, both ways, on the connections of now and of later.
    pub fn shape(&self, shape: Shape) {
        self.shared.rules.lock().shape = shape;
        for link in self.links() {
            link.shape(shape);
        }
    }

    /// The connections that are open now, the oldest first.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        self.shared.links.lock().clone()
    }

    /// How many connections came so far, those that were turned away included.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Bytes passed on so far by all connections: to the servers, to the clients.
    #[must_use]
    pub fn passed(&self) -> (u64, u64) {
        // Held to the end: a link that ends meanwhile is counted once.
        let links = self.shared.links.lock();
        let ended = *self.shared.passed.lock();
        links.iter().map(Link::passed).fold(ended, sum)
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.shared.links.lock().is_empty()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, end: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // A visitor who left before he was let in; or no descriptors, which the tests will notice.
        let Ok((client, _)) = accepted else { continue };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let (shared, end) = (Arc::clone(&shared), end.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = serve(client, &shared) => {}
            }
        });
    }
}

/// The life of one connection.
async fn serve(mut client: TcpStream, shared: &Shared) {
    let rules = shared.rules.lock().clone();
    let Some(head) = admission::decide(&mut client, rules.whom, &rules.admission).await else {
        return;
    };
    let Some((target, server)) = shared.dial(&rules.targets).await else {
        // Like a proxy without a server: the visitor is turned away.
        return;
    };
    let Some(link) = shared.let_in(target, rules.changes) else {
        return;
    };
    // A broken connection is what this proxy is for.
    let _ = link.carry(client, server, head).await;
    let mut links = shared.links.lock();
    links.retain(|other| !other.is(&link));
    let mut passed = shared.passed.lock();
    *passed = sum(*passed, link.passed());
}

fn sum(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    (one.0 + other.0, one.1 + other.1)
}

impl Shared {
    /// Makes a connection a link, unless the proxy was told otherwise since `changes`: whoever then
    /// breaks every link would miss this one.
    fn let_in(&self, target: SocketAddr, changes: u64) -> Option<Link> {
        let rules = self.rules.lock();
        if rules.changes != changes {
            return None;
        }
        let link = Link::new(target, rules.shape);
        self.links.lock().push(link.clone());
        Some(link)
    }

    /// The target whose turn it is, or the next one that takes the connection.
    async fn dial(&self, targets: &[SocketAddr]) -> Option<(SocketAddr, TcpStream)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for step in 0..targets.len() {
            let target = targets[(turn + step) % targets.len()];
            if let Ok(server) = TcpStream::connect(target).await {
                return Some((target, server));
            }
        }
        None
    }
}
