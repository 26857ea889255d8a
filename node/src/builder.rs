//! Puts a node together from settings, handlers and hooks.

use std::future::Future;

use axum::http::request::Parts;
use serde::Serialize;
use tengen_bus::{Bus, NatsOptions};
use tengen_protocol::{NodeId, Uid};

use crate::config::Config;
use crate::handlers::registry::{Handler, RegistrationError, Registry};
use crate::identity::cookie::{CookieKey, CookieSettings, SessionCookies};
use crate::identity::refused::Refused;
use crate::identity::{Identity, NewVisitors};
use crate::server::Node;

/// Why a node was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A handler that cannot be registered.
    #[error(transparent)]
    Handler(#[from] RegistrationError),
    /// The connection to NATS cannot even be tried: the URL is wrong.
    #[error("nats_url: {0}")]
    Connect(#[from] tengen_bus::ConnectError),
    /// The bus does not take the node's subscriptions.
    #[error("the bus refused a subscription: {0}")]
    Subscribe(#[from] tengen_bus::SubscribeError),
    /// A setting that only shows to be wrong here.
    #[error("{key}: {why}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The metrics cannot be registered.
    #[error("metrics: {0}")]
    Metrics(String),
}

type Change = Box<dyn FnOnce(Identity) -> Identity + Send>;

/// A node in the making; see [`Node::builder`].
#[must_use = "nothing happens before `build`"]
pub struct NodeBuilder {
    config: Config,
    bus: Option<Bus>,
    registry: Registry,
    identity: Vec<Change>,
    service_headers: Vec<String>,
}

impl NodeBuilder {
    pub(crate) fn new() -> NodeBuilder {
        NodeBuilder {
            config: Config::defaults(),
            bus: None,
            registry: Registry::default(),
            identity: Vec::new(),
            service_headers: Vec::new(),
        }
    }

    /// Takes these settings instead of the defaults.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Changes single settings in place: `.settings(|c| c.prefix = "staging".into())`.
    pub fn settings(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Joins this bus instead of the one the settings name (`nats_url`, else an embedded one).
    pub fn bus(mut self, bus: Bus) -> Self {
        self.bus = Some(bus);
        self
    }

    /// Registers `handler` for the event `namespace/name`, or for the rest of a namespace by
    /// `namespace/*`. Events of one session reach their handlers in order, one after another.
    ///
    /// Two ids are the cluster's own: `chsk/uidport-open` when a user's first client, on any node,
    /// has come, and `chsk/uidport-close` when the last has gone and the grace is over.
    /// Their handlers run on one node of the cluster, which takes the [`Uid`] as argument, in order
    /// per user: once as long as nothing fails, at least once when that node dies. Give them to every
    /// node: any of them may come to be the one.
    pub fn on<A, H: Handler<A>>(mut self, pattern: &str, handler: H) -> Self {
        self.registry.on(pattern, handler);
        self
    }

    /// As [`on`](Self::on), for a handler that may overlap with others of its session.
    pub fn concurrent<A, H: Handler<A>>(mut self, pattern: &str, handler: H) -> Self {
        self.registry.concurrent(pattern, handler);
        self
    }

    /// Registers what takes every event that no other handler took, before services are asked.
    pub fn on_any<A, H: Handler<A>>(mut self, handler: H) -> Self {
        self.registry.on_any(handler);
        self
    }

    /// Decides who a request is, instead of the session cookie. See [`Identity::with_user_id`].
    pub fn user_id<F, Fut>(mut self, decide: F) -> Self
    where
        F: Fn(Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Uid>, Refused>> + Send + 'static,
    {
        self.identity
            .push(Box::new(|identity| identity.with_user_id(decide)));
        self
    }

    /// Says what each hello carries as `data`, or refuses it. See [`Identity::with_handshake_data`].
    pub fn handshake_data<F, Fut, T>(mut self, tell: F) -> Self
    where
        F: Fn(Parts, Option<Uid>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, Refused>> + Send + 'static,
        T: Serialize + 'static,
    {
        self.identity
            .push(Box::new(|identity| identity.with_handshake_data(tell)));
        self
    }

    /// Lets services see this header of the handshake request, as `Tengen-Header-<name>`.
    pub fn service_header(mut self, name: &str) -> Self {
        self.service_headers.push(name.to_ascii_lowercase());
        self
    }

    /// Starts the node: joins the bus, subscribes, begins its background tasks.
    ///
    /// Does not wait for NATS: while it cannot be reached the node says so in its log, keeps
    /// trying, and is not ready. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`]; nothing is left running then.
    pub async fn build(self) -> Result<Node, BuildError> {
        let NodeBuilder {
            config,
            bus,
            mut registry,
            identity: changes,
            service_headers,
        } = self;
        registry.check()?;
        let node = match &config.node_id {
            Some(id) => NodeId::parse(id).map_err(|refusal| BuildError::Setting {
                key: "node_id",
                why: refusal.message,
            })?,
            None => random_node_id()?,
        };
        let (bus, bus_name) = match (bus, &config.nats_url) {
            (Some(bus), _) => (bus, "given"),
            (None, None) => (Bus::local(), "embedded"),
            (None, Some(url)) => {
                let mut options = NatsOptions::new(url).name(format!("tengen-node {node}"));
                options.publish_timeout = config.publish_timeout;
                (Bus::nats(options).await?, "nats")
            }
        };
        let key = config.cookie_key.clone().unwrap_or_else(|| {
            tracing::warn!("no cookie_key: logins end with this process and hold on no other node");
            CookieKey::random()
        });
        let settings = CookieSettings {
            max_age: config.cookie_max_age,
            always_secure: config.cookie_secure,
            ..CookieSettings::default()
        };
        let visitors = if config.random_uid {
            NewVisitors::RandomUid
        } else {
            NewVisitors::Anonymous
        };
        let identity = Identity::new(SessionCookies::new(settings, key), visitors);
        let identity = changes
            .into_iter()
            .fold(identity, |identity, change| change(identity));
        Node::start(
            config,
            node,
            bus,
            bus_name,
            registry,
            identity,
            service_headers,
        )
        .await
    }
}

/// Ten letters and digits: among 1,000 nodes two are alike once in ten billion starts.
fn random_node_id() -> Result<NodeId, BuildError> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let random: [u8; 10] = rand::random();
    let text: String = random
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect();
    NodeId::parse(&text).map_err(|refusal| BuildError::Setting {
        key: "node_id",
        why: refusal.message,
    })
}
