//! `Cluster::start(way, n)`: nodes on one bus, served and spoken to in one [`Way`], with clients and services to talk to them.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use tengen_bus::testing::{NatsServer, Proxy};
use tengen_bus::{Bus, LocalNet, NatsOptions};
use tengen_client::Client;
use tengen_node::{Handle, Node, NodeBuilder};
use tengen_protocol::Uid;
use tengen_protocol::subject::Subjects;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::way::{Served, Way};

/// The longest that anything here may take before it counts as never.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Which bus a test runs on; see [`each_bus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Local,
    Nats,
}

/// Makes of `async fn f06_name(kind: Kind)` one test on the embedded bus and one over NATS.
#[macro_export]
macro_rules! each_bus {
    ($($name:ident),+ $(,)?) => {
        mod on_local {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::cluster::Kind::Local).await;
            })+
        }
        mod on_nats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::cluster::Kind::Nats).await;
            })+
        }
    };
}

/// The bus of a test, and for NATS its server.
pub(crate) enum Net {
    Local(LocalNet),
    Nats(NatsServer),
}

impl Net {
    pub(crate) async fn start(kind: Kind) -> Net {
        match kind {
            Kind::Local => Net::Local(LocalNet::new()),
            Kind::Nats => Net::Nats(NatsServer::start().await),
        }
    }

    /// One more participant: a node's, or a service's.
    pub(crate) async fn bus(&self) -> Bus {
        match self {
            Net::Local(net) => net.bus(),
            Net::Nats(server) => Bus::nats(NatsOptions::new(server.url()))
                .await
                .expect("the url is good"),
        }
    }

    pub(crate) fn nats(&self) -> &NatsServer {
        match self {
            Net::Nats(server) => server,
            Net::Local(_) => panic!("this test runs on NATS only"),
        }
    }
}

/// One node with its two listeners.
pub(crate) struct Running {
    pub node: Node,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    way: Way,
    /// Ends by itself when the node does.
    admin_port: JoinHandle<()>,
    public: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(way: impl Into<Way>, builder: NodeBuilder) -> Running {
        let way = way.into();
        let node = builder.build().await.expect("the node builds");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let admin_listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let admin = admin_listener.local_addr().expect("it is bound");
        let public = match way.served {
            Served::Own => tokio::spawn(node.serve(listener, node.router())),
            Served::Axum => {
                let app = within_an_app(node.router())
                    .into_make_service_with_connect_info::<SocketAddr>();
                tokio::spawn(async move {
                    axum::serve(listener, app).await.expect("it serves");
                })
            }
        };
        Running {
            admin_port: tokio::spawn(node.serve_admin(admin_listener)),
            node,
            address,
            admin,
            way,
            public,
        }
    }

    pub(crate) fn handle(&self) -> Handle {
        self.node.handle()
    }

    /// The channel socket's address.
    pub(crate) fn url(&self) -> String {
        self.way.url(self.address)
    }

    /// The same for those who poll.
    pub(crate) fn http_url(&self) -> String {
        self.url().replacen("ws:", "http:", 1)
    }

    /// A client of this node, of the way's transport and codec.
    pub(crate) fn client(&self) -> tengen_client::Builder {
        self.way.client(&self.url())
    }

    /// Ends the node in order.
    pub(crate) async fn stop(self) {
        self.node.shutdown().await;
        self.admin_port
            .await
            .expect("the admin port does not panic");
        match self.way.served {
            Served::Own => self.public.await.expect("a listener does not panic"),
            // It is the application's, and knows nothing of the node's end.
            Served::Axum => self.public.abort(),
        }
    }
}

/// An application that mounts the channel socket among its own, behind what it puts before
/// everything.
fn within_an_app(node: Router) -> Router {
    let limit = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, 3 * PATIENCE);
    Router::new()
        .nest("/app", node)
        .layer(CompressionLayer::new())
        .layer(limit)
        .layer(CorsLayer::permissive())
        .layer(TraceLayer::new_for_http())
}

/// Nodes on one bus.
pub(crate) struct Cluster {
    pub net: Net,
    way: Way,
    nodes: Vec<Running>,
}

impl Cluster {
    /// `count` nodes with default settings and no handlers.
    pub(crate) async fn start(way: impl Into<Way>, count: usize) -> Cluster {
        Cluster::with(way, count, |builder| builder).await
    }

    /// The same, each changed by `change`: handlers, hooks, settings.
    ///
    /// A test's user is who its `x-uid` header says; nobody else is asked.
    pub(crate) async fn with(
        way: impl Into<Way>,
        count: usize,
        change: impl Fn(NodeBuilder) -> NodeBuilder,
    ) -> Cluster {
        let way = way.into();
        let net = Net::start(way.bus).await;
        let mut nodes = Vec::with_capacity(count);
        for number in 0..count {
            let builder = plain(number, net.bus().await);
            nodes.push(Running::start(way, change(builder)).await);
        }
        let cluster = Cluster { net, way, nodes };
        for number in 0..count {
            cluster.ready(number).await;
        }
        cluster
    }

    /// One more node, on a bus that the test keeps a hand on.
    pub(crate) async fn join(&mut self, bus: Bus) {
        let number = self.nodes.len();
        let running = Running::start(Kind::Local, plain(number, bus)).await;
        self.nodes.push(running);
        self.ready(number).await;
    }

    /// How many nodes there are.
    pub(crate) fn size(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, number: usize) -> &Running {
        &self.nodes[number]
    }

    /// Ends the NATS server of this test.
    pub(crate) fn stop_nats(&mut self) {
        match &mut self.net {
            Net::Nats(server) => server.stop(),
            Net::Local(_) => panic!("this test runs on NATS only"),
        }
    }

    /// Starts it again, where it was.
    pub(crate) async fn start_nats(&mut self) {
        match &mut self.net {
            Net::Nats(server) => server.start_again().await,
            Net::Local(_) => panic!("this test runs on NATS only"),
        }
    }

    /// Takes a node out, to be stopped or dropped by the test.
    pub(crate) fn take(&mut self, number: usize) -> Running {
        self.nodes.remove(number)
    }

    /// Waits until a node says that it is ready.
    pub(crate) async fn ready(&self, number: usize) {
        let node = &self.nodes[number].node;
        eventually("the node is ready", async || node.ready().await.is_ok()).await;
    }

    /// An open client of `uid` (or of nobody) on a node.
    pub(crate) async fn client(&self, number: usize, uid: Option<&str>) -> Client {
        let client = self.builder(number, uid).connect().await;
        client.expect("the client connects")
    }

    /// A client in the making, for tests that choose codec, client id and so on.
    pub(crate) fn builder(&self, number: usize, uid: Option<&str>) -> tengen_client::Builder {
        named(self.nodes[number].client(), uid)
    }

    /// The same through a proxy in front of any of the nodes.
    pub(crate) fn through(&self, proxy: &Proxy, uid: Option<&str>) -> tengen_client::Builder {
        named(self.way.client(&self.way.url(proxy.address())), uid)
    }

    /// A proxy that leads to the nodes of these numbers, in turn.
    pub(crate) async fn proxy(&self, numbers: &[usize]) -> Proxy {
        Proxy::start(&self.addresses(numbers)).await
    }

    pub(crate) fn addresses(&self, numbers: &[usize]) -> Vec<SocketAddr> {
        numbers.iter().map(|&it| self.nodes[it].address).collect()
    }

    /// The bus as a service sees it.
    pub(crate) async fn service(&self) -> Bus {
        let bus = self.net.bus().await;
        eventually("the service's bus is up", async || {
            bus.ping(PATIENCE).await.is_ok()
        })
        .await;
        bus
    }

    pub(crate) fn subjects(&self) -> Subjects {
        Subjects::new("tengen").expect("the default prefix is good")
    }
}

/// A node in the making, whose users are who their `x-uid` header says.
fn plain(number: usize, bus: Bus) -> NodeBuilder {
    Node::builder()
        .bus(bus)
        .settings(|config| config.node_id = Some(format!("n{number}")))
        .user_id(uid_of_header)
}

/// What the node's `/metrics` say of one name without labels.
pub(crate) async fn metric(cluster: &Cluster, node: usize, name: &str) -> u64 {
    let url = format!("http://{}/metrics", cluster.node(node).admin);
    let response = reqwest::get(url).await.expect("the admin port answers");
    let text = response.text().await.expect("a body");
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line
        .and_then(|line| line.rsplit(' ').next())
        .and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("{name} is not in /metrics"))
}

/// Polls until `condition` holds; fails the test when it does not within [`PATIENCE`].
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for `what`, at most [`PATIENCE`].
pub(crate) async fn soon<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

fn named(builder: tengen_client::Builder, uid: Option<&str>) -> tengen_client::Builder {
    match uid {
        Some(uid) => builder.header("x-uid", &encoded(uid)),
        None => builder,
    }
}

/// A uid as a header value: percent-encoded, since any text is a uid.
pub(crate) fn encoded(uid: &str) -> String {
    tengen_protocol::subject::encode_header(uid)
}

async fn uid_of_header(
    parts: axum::http::request::Parts,
) -> Result<Option<Uid>, tengen_node::Refused> {
    let Some(header) = parts.headers.get("x-uid") else {
        return Ok(None);
    };
    header
        .to_str()
        .ok()
        .and_then(|text| tengen_protocol::subject::decode_header(text).ok())
        .and_then(|text| Uid::parse(&text).ok())
        .map(Some)
        .ok_or_else(|| tengen_node::Refused::unauthorized("x-uid is no uid"))
}
