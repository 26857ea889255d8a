//! The parts of a test: NATS, three nodes as processes of their own, a proxy before each, a service.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tempfile::TempDir;
use tengen_bus::testing::{NatsCluster, NatsServer, Proxy};
use tengen_protocol::{Codec, Data};
use tokio::task::JoinHandle;

use crate::ledger::Received;
use crate::pace::Pace;
use crate::process::NodeProcess;
use crate::turns::{self, Turn};
use crate::visitors::Services;

/// The longest that anything may take that should happen soon.
const PATIENCE: Duration = Duration::from_secs(30);
/// As many clients as any test has.
const MAX_VISITORS: usize = 100;
const NODES: usize = 3;

/// What the nodes talk over.
pub(crate) enum Nats {
    One(NatsServer),
    Three(NatsCluster),
}

impl Nats {
    /// The server of a node, or of a publisher.
    pub(crate) fn server(&self, number: usize) -> &NatsServer {
        match self {
            Nats::One(server) => server,
            Nats::Three(cluster) => &cluster.servers[number % cluster.servers.len()],
        }
    }

    /// The same, to be stopped.
    pub(crate) fn server_mut(&mut self, number: usize) -> &mut NatsServer {
        match self {
            Nats::One(server) => server,
            Nats::Three(cluster) => {
                let count = cluster.servers.len();
                &mut cluster.servers[number % count]
            }
        }
    }
}

/// Everything that runs in a test.
pub(crate) struct World {
    pub nodes: Vec<NodeProcess>,
    /// One proxy before each node.
    pub doors: Vec<Proxy>,
    services: Services,
    service: JoinHandle<()>,
    pub nats: Nats,
    _folder: TempDir,
    _turn: Turn,
}

impl World {
    /// Three nodes over one nats-server.
    pub(crate) async fn start() -> World {
        let turn = turns::among_few().await;
        World::over(Nats::One(NatsServer::start().await), &[], turn).await
    }

    /// Three nodes, each with the nats-server of its number, with these settings besides.
    pub(crate) async fn over(nats: Nats, settings: &[(&'static str, &str)], turn: Turn) -> World {
        let folder = scratch();
        let (services, service) = serve(&nats.server(0).url()).await;
        let mut nodes = Vec::with_capacity(NODES);
        for number in 0..NODES {
            let mut all = Pace::of_this_run().settings();
            // One is enough: the others are learnt from it, and it is where the node begins.
            all.push(("TENGEN_NATS_URL", nats.server(number).url()));
            all.extend(
                settings
                    .iter()
                    .map(|(key, value)| (*key, (*value).to_owned())),
            );
            nodes.push(NodeProcess::start(
                &format!("n{number}"),
                folder.path(),
                &all,
            ));
        }
        let mut doors = Vec::with_capacity(NODES);
        for node in &nodes {
            node.ready().await;
            doors.push(Proxy::start(&[node.address]).await);
        }
        World {
            nodes,
            doors,
            services,
            service,
            nats,
            _folder: folder,
            _turn: turn,
        }
    }

    /// What the service got of a client.
    pub(crate) fn received(&self, number: usize) -> Arc<Received> {
        Arc::clone(&self.services[number])
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.service.abort();
    }
}

/// A service that books the numbered events of every client.
async fn serve(url: &str) -> (Services, JoinHandle<()>) {
    let services: Services = (0..MAX_VISITORS).map(|_| Arc::default()).collect();
    let nats = async_nats::connect(url).await.expect("connected");
    let mut events = nats
        .subscribe("tengen.event.t.up")
        .await
        .expect("subscribed");
    nats.flush().await.expect("flushed");
    let books = services.clone();
    let task = tokio::spawn(async move {
        // Ends the connection with the task.
        let _nats = nats;
        while let Some(message) = events.next().await {
            let headers = message.headers.unwrap_or_default();
            let client = headers.get("Tengen-Client").map(|value| value.as_str());
            let number = client
                .and_then(|client| client.strip_prefix('c')?.parse::<usize>().ok())
                .expect("a client of this test");
            let codec = match headers.get("Content-Type").map(|value| value.as_str()) {
                Some("application/cbor") => Codec::Cbor,
                _ => Codec::Json,
            };
            let data = Data::checked(codec, message.payload, &Default::default());
            let data = data.and_then(|data| data.to::<u64>());
            books[number].item(data.expect("a number"));
        }
    });
    (services, task)
}

/// A folder below the build folder: what a killed test leaves behind goes with `cargo clean`.
pub(crate) fn scratch() -> TempDir {
    let folder = env!("CARGO_TARGET_TMPDIR");
    std::fs::create_dir_all(folder).expect("a folder below target/");
    let mut builder = tempfile::Builder::new();
    let folder = builder.prefix("faults-").tempdir_in(folder);
    folder.expect("a folder below target/")
}

/// Polls until `condition` holds; fails the test when it does not soon.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for `what`, not for long.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    within(PATIENCE, what, future).await
}

/// Waits for `what`, at most so long.
pub(crate) async fn within<T, F: IntoFuture<Output = T>>(
    limit: Duration,
    what: &str,
    future: F,
) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {limit:?}: {what}"),
    }
}
