//! The composition root: every part of a node is made, joined and ended here.

mod parts;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use tengen_bus::Bus;
use tengen_protocol::subject::Subjects;
use tengen_protocol::{CloseCode, Limits, NodeId};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::parts::{Beside, hub_config, open_doors};
use crate::admin::{self, Admin};
use crate::arrival::{self, Arrivals};
use crate::builder::{BuildError, NodeBuilder};
use crate::config::Config;
use crate::debts::{self, Debts};
use crate::edge::accept::{self, AcceptLimits};
use crate::edge::poll::Polls;
use crate::edge::poll::relay::{Relay, serving};
use crate::edge::waiting::Waiting;
use crate::edge::{self, Edge};
use crate::handle::Handle;
use crate::handlers::dispatch::Dispatcher;
use crate::handlers::event::Place;
use crate::handlers::registry::Registry;
use crate::handlers::service::Services;
use crate::handlers::uidport::{self, Uidports};
use crate::identity::Identity;
use crate::identity::cookie::CookieKey;
use crate::interest::{self, EveryNode};
use crate::metrics::Metrics;
use crate::moves::Start;
use crate::online::{Online, Parts as OnlineParts};
use crate::peers::Doors;
use crate::presence::kept::Kept;
use crate::presence::{self, Presence};
use crate::push::Pusher;
use crate::shared::Shared;
use crate::spine::{Spine, SpineConfig};
use crate::telemetry::MetricsPage;

/// A running node: one process's part of the cluster.
///
/// Dropping it stops its tasks without a farewell; [`Node::shutdown`] is the orderly end.
pub struct Node {
    shared: Arc<Shared>,
    edge: Arc<Edge>,
    pusher: Arc<Pusher>,
    identity: Identity,
    admin: Arc<Admin>,
    metrics: Arc<Metrics>,
    config: Config,
    bus_name: &'static str,
}

impl Node {
    /// Begins a node with the default settings on a bus of its own.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tengen_node::{Answer, Node, Payload};
    ///
    /// let node = Node::builder()
    ///     .on("chat/echo", async |Payload(text): Payload<String>| Answer(text))
    ///     .build()
    ///     .await?;
    /// let app = node.router().route("/", axum::routing::get(|| async { "hello" }));
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// node.serve(listener, app).await;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> NodeBuilder {
        NodeBuilder::new()
    }

    pub(crate) async fn start(
        config: Config,
        node: NodeId,
        bus: Bus,
        bus_name: &'static str,
        registry: Registry,
        identity: Identity,
        service_headers: Vec<String>,
    ) -> Result<Node, BuildError> {
        let subjects = Subjects::new(&config.prefix).map_err(|refusal| BuildError::Setting {
            key: "prefix",
            why: refusal.to_string(),
        })?;
        let metrics = Arc::new(Metrics::default());
        let page = MetricsPage::new(&metrics, node.as_str())
            .map_err(|error| BuildError::Metrics(error.to_string()))?;
        let limits = Limits {
            max_bytes: config.max_bytes.0,
            ..Limits::default()
        };

        let (tasks, background) = (TaskTracker::new(), TaskTracker::new());
        let (closing, stop) = (CancellationToken::new(), CancellationToken::new());
        let waiting = Arc::new(Waiting::default());
        let swept = Arc::new(AtomicU64::new(0));
        let (findings, found) = debts::findings();
        let beside = Beside {
            waiting: Arc::clone(&waiting),
            swept: Arc::clone(&swept),
            findings,
            bus: bus.clone(),
            metrics: Arc::clone(&metrics),
        };
        let spine = SpineConfig {
            hub: hub_config(&config, node.clone(), limits),
            subjects: subjects.clone(),
            ingest_queue_bytes: config.ingest_queue_bytes.0,
            routing: Arc::new(EveryNode),
        };
        let Spine {
            hub,
            interest,
            pusher,
            fences,
            peers,
            moves,
            reports,
        } = Spine::start(
            spine,
            bus.clone(),
            Arc::clone(&metrics),
            beside,
            &background,
            &stop,
        )
        .await?;
        // A key that only this process has differs from any other, and nobody expects more.
        let key_fingerprint = config.cookie_key.as_ref().map_or(0, CookieKey::fingerprint);
        let uidports = uidport::Routes::of(&registry);
        let kept = Kept::new(&hub, key_fingerprint, !uidports.is_empty());
        let mut doors = Doors::default();
        let online = Online::start(
            OnlineParts {
                node: node.clone(),
                view: Arc::<Kept>::clone(&kept),
                hub: Arc::clone(&hub),
                peers: peers.clone(),
                bus: bus.clone(),
                subject: subjects.connected_uids(),
            },
            &mut doors,
            &background,
            &stop,
        );
        let handle = Handle::new(Arc::clone(&pusher), online);
        let presence_subjects = subjects.clone();
        let services = Services::new(
            bus.clone(),
            subjects,
            service_headers,
            limits,
            Arc::clone(&metrics),
        );
        let dispatcher = Dispatcher::new(
            registry,
            Some(services),
            Arc::new(Place {
                hub: Arc::clone(&hub),
                handle: handle.clone(),
                forwards: Arc::clone(&moves.forwards),
            }),
            config.handler_timeout,
            tasks.clone(),
            closing.clone(),
        );
        let relay = Relay::new(
            peers.clone(),
            node.clone(),
            config.session_ttl,
            Arc::clone(&metrics),
        );
        // They end after the clients' own: their last word is up to where they have run.
        let uidports = Uidports::new(
            uidports,
            dispatcher.clone(),
            config.handler_timeout,
            background.clone(),
            stop.clone(),
        );
        let start: Start = Arc::new(move |port| dispatcher.start(port));
        let arrivals = Arrivals::new(arrival::Parts {
            hub: Arc::clone(&hub),
            interest: Arc::clone(&interest),
            peers: peers.clone(),
            moves: moves.clone(),
            start: Arc::clone(&start),
            open_timeout: interest::HOLD,
            tracker: tasks.clone(),
            shutdown: closing.clone(),
        });
        let edge = Arc::new(Edge {
            hub: Arc::clone(&hub),
            identity: identity.clone(),
            metrics: Arc::clone(&metrics),
            settings: edge::Settings {
                hello_timeout: config.hello_timeout,
                ..edge::Settings::default()
            },
            start: Arc::clone(&start),
            arrivals,
            polls: Polls::new(
                config.poll_timeout,
                limits.max_bytes,
                config.post_bytes.0,
                relay,
            ),
            tracker: tasks.clone(),
            shutdown: closing.clone(),
            waiting,
        });
        open_doors(&mut doors, &hub, &moves, fences, &start);
        let presence = presence::Parts {
            kept,
            hub: Arc::clone(&hub),
            bus: bus.clone(),
            subjects: presence_subjects,
            peers: peers.clone(),
            uidports,
            key_fingerprint,
        };
        let presence = Presence::start(presence, &mut doors, &background, &stop).await?;
        reports.know(presence.clone());
        interest.know(presence.clone());
        // No hello has been taken yet, so no peer can have missed an answer.
        serving::open_doors(&mut doors, &edge);
        reports.open(&mut doors, &hub);
        interest::open_door(&mut doors);
        peers.listen(doors, &background, &stop).await?;
        let debts = Debts {
            hub: Arc::clone(&hub),
            peers,
            moves,
            start,
        };
        background.spawn(debts.run(found, stop.clone()));
        let shared = Arc::new(Shared {
            node,
            hub,
            handle,
            bus,
            interest,
            presence,
            max_bytes: limits.max_bytes,
            tasks,
            background,
            closing,
            stop,
            swept,
        });
        let admin = Arc::new(Admin::new(Arc::clone(&shared), page, limits));
        Ok(Node {
            shared,
            edge,
            pusher,
            identity,
            admin,
            metrics,
            config,
            bus_name,
        })
    }

    /// This node's name in the cluster.
    pub fn id(&self) -> &NodeId {
        &self.shared.node
    }

    /// Which bus it joined: `embedded`, `nats` or `given`.
    pub fn bus_name(&self) -> &'static str {
        self.bus_name
    }

    /// The settings it runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Pushes, kicks: what the application does with the cluster.
    pub fn handle(&self) -> Handle {
        self.shared.handle.clone()
    }

    /// Who a request is; logs users in and out.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The channel socket at its path (`/chsk`), to be served alone, merged or nested, by
    /// [`Node::serve`] or by `axum::serve`.
    pub fn router(&self) -> Router {
        edge::upgrade::routes(Arc::clone(&self.edge), &self.config.path)
    }

    /// The routes of the admin port; never on a public one.
    pub fn admin_router(&self) -> Router {
        admin::routes(Arc::clone(&self.admin))
    }

    /// Whether a balancer should send clients here. Makes a round trip through the bus.
    ///
    /// # Errors
    /// Why not, for people.
    pub async fn ready(&self) -> Result<(), String> {
        self.shared.ready().await
    }

    /// Waits until this node cannot go on, and says why: another process has its id. It is not ready
    /// from then on; end it, and give one of the two another `node_id`.
    ///
    /// # Cancel safety
    /// May be dropped.
    pub async fn failed(&self) -> &'static str {
        let mut failure = self.shared.presence.failure();
        match failure.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(why)) => why,
            // It lives as long as the node.
            _ => std::future::pending().await,
        }
    }

    /// Serves `router` on our own accept loop until [`Node::shutdown`]. A parked connection costs
    /// it a third of what it costs `axum::serve`.
    pub fn serve(
        &self,
        listener: TcpListener,
        router: Router,
    ) -> impl Future<Output = ()> + Send + use<> {
        let limits = AcceptLimits {
            max_handshakes: self.config.max_handshakes.0,
            ..AcceptLimits::default()
        };
        let (tasks, closing) = (self.shared.tasks.clone(), self.shared.closing.clone());
        accept::serve(
            listener,
            router,
            limits,
            Arc::clone(&self.metrics),
            tasks,
            closing,
        )
    }

    /// Serves the admin routes until the node has stopped.
    pub fn serve_admin(&self, listener: TcpListener) -> impl Future<Output = ()> + Send + use<> {
        let (tasks, stop) = (self.shared.background.clone(), self.shared.stop.clone());
        let limits = AcceptLimits::default();
        accept::serve(
            listener,
            self.admin_router(),
            limits,
            Arc::clone(&self.metrics),
            tasks,
            stop,
        )
    }

    /// Ends the node in order: not ready, no newcomers, every connection told to come back
    /// elsewhere (bye 4003), what was pushed handed to the bus, every task ended.
    ///
    /// # Cancel safety
    /// Dropped half way the rest ends without a farewell when the node is dropped.
    pub async fn shutdown(&self) {
        self.shared.interest.drain();
        self.shared.closing.cancel();
        self.edge.dismiss();
        self.shared
            .hub
            .end_all(CloseCode::RESTARTING, "node is stopping");
        self.shared.tasks.close();
        // The sweep still runs: it gives up on peers that do not answer our Close.
        self.shared.tasks.wait().await;
        self.shared.presence.leave().await;
        self.pusher.close().await;
        self.shared.stop.cancel();
        self.shared.background.close();
        self.shared.background.wait().await;
        self.shared.bus.drain().await;
        self.admin.page.shutdown();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shared.closing.cancel();
        self.shared.stop.cancel();
    }
}
