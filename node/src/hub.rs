//! All sessions of this node: found or begun at hello, reached by pushes, ended by time, bounds or a kick.

pub(crate) mod attendance;
pub(crate) mod budget;
pub(crate) mod deliver;
pub(crate) mod listing;
pub(crate) mod members;
pub(crate) mod port;
mod settle;
pub(crate) mod sweep;
#[cfg(test)]
mod tests;
pub(crate) mod touched;
pub(crate) mod user;
pub(crate) mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tengen_protocol::server::{AttachRefused, Attached, Bounds, Link, Standing};
use tengen_protocol::{ClientHello, CloseCode, Codec, Millis, NodeId, SessionId, Transport, Uid};
use tokio::time::Instant;

use self::attendance::Line;
use self::budget::Budget;
use self::members::Crowd;
use self::port::{Port, Session};
use self::user::{Groups, Registration};
use self::window::Window;
use crate::interest::Routing;
use crate::metrics::Metrics;

/// The hub's bounds and times; defaults as in the design.
#[derive(Clone, Debug)]
pub(crate) struct HubConfig {
    pub node: NodeId,
    pub bounds: Bounds,
    /// Sessions, attached or not; beyond it a hello is refused.
    pub max_sessions: usize,
    /// Sessions on their way here from other nodes at once; beyond it a hello is refused.
    pub max_arriving: usize,
    /// All queues together; beyond it sessions are ended, see [`Hub::settle`].
    pub node_queue_bytes: usize,
    pub session_ttl: Duration,
    /// How long pushes to a WebSocket wait for further ones; zero = not at all.
    pub ws_window: Duration,
}

impl HubConfig {
    pub(crate) fn new(node: NodeId) -> Self {
        Self {
            node,
            bounds: Bounds::default(),
            max_sessions: 1_000_000,
            max_arriving: 4096,
            node_queue_bytes: 512 << 20,
            session_ttl: Duration::from_secs(60),
            ws_window: Duration::ZERO,
        }
    }
}

/// A node's sessions.
pub(crate) struct Hub {
    config: HubConfig,
    started: Instant,
    sessions: DashMap<SessionId, Registration>,
    count: AtomicUsize,
    /// Made so far.
    ports: AtomicU64,
    groups: Arc<Groups>,
    budget: Arc<Budget>,
    line: Arc<Line>,
    pub(crate) window: Window,
    metrics: Arc<Metrics>,
}

/// Why a hello did not get a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HelloRefused {
    /// The session has a connection of a higher attempt: 409, close 4505.
    Superseded,
    /// The node holds as many sessions as it may: 503, close 4003; come back, elsewhere.
    Full,
    /// The node does not hear the cluster, or is about to stop: 503, close 4003.
    NotOpen,
    /// The session was ended on its way here, by a kick for instance: close with this.
    Ended(CloseCode),
}

/// A connection's hold on its session; dropping it detaches the session, which then waits
/// `session_ttl` for the next hello.
pub(crate) struct Attachment {
    hub: Arc<Hub>,
    pub port: Arc<Port>,
    pub link: Link,
    pub attached: Attached,
    kept: bool,
}

impl Attachment {
    /// Gives up the hold without detaching: the GETs and POSTs of a polled session hold it, no task.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let now = self.hub.now();
        let over = self
            .port
            .with(|inner| inner.session.detach(self.link, now) && inner.session.is_over());
        if over {
            // It ended from within (slow, bye, an error): nobody can come back to it.
            self.hub.forget(&self.port);
        }
    }
}

impl Hub {
    pub(crate) fn new(
        config: HubConfig,
        metrics: Arc<Metrics>,
        routing: Arc<dyn Routing>,
    ) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            sessions: DashMap::new(),
            count: AtomicUsize::new(0),
            ports: AtomicU64::new(0),
            groups: Arc::new(Groups::new(routing)),
            budget: Arc::new(Budget::new(config.node_queue_bytes)),
            line: Arc::default(),
            window: Window::new(config.ws_window),
            metrics,
            config,
        })
    }

    /// Milliseconds since this hub began, on the monotonic clock: the `now` of every session.
    pub(crate) fn now(&self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn config(&self) -> &HubConfig {
        &self.config
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.config.bounds
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The sessions whose being here has changed.
    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Finds the session that `hello` names, or begins one, and attaches the connection to it.
    ///
    /// A named session under another uid ends at once, and so does one of another codec: what was
    /// queued for it is never shown to this connection. The new session then reports a gap.
    ///
    /// # Errors
    /// [`HelloRefused`]; nothing has changed then.
    pub(crate) fn hello(
        self: &Arc<Self>,
        hello: &ClientHello,
        uid: Option<Uid>,
        codec: Codec,
        transport: Transport,
        now: Millis,
    ) -> Result<Attachment, HelloRefused> {
        if let Some(port) = hello.session.as_ref().and_then(|id| self.session(id))
            && let Some(resumed) = self.resume(&port, hello, &uid, codec, transport, now)?
        {
            return Ok(resumed);
        }
        if hello.session.is_some() {
            self.metrics.hub.unresumed.increment();
        }
        let (port, attached) = self.begin(hello, uid, codec, transport, now)?;
        Ok(self.attachment(&port, attached))
    }

    /// `None` if the session cannot be resumed by this hello: begin another one.
    fn resume(
        self: &Arc<Self>,
        port: &Arc<Port>,
        hello: &ClientHello,
        uid: &Option<Uid>,
        codec: Codec,
        transport: Transport,
        now: Millis,
    ) -> Result<Option<Attachment>, HelloRefused> {
        if port.client != hello.client {
            // A session id is a secret of its client; whoever else names it leaves it alone.
            return Ok(None);
        }
        let standing = port.with(|inner| inner.session.standing());
        if matches!(standing, Standing::Arriving | Standing::Moved) {
            // Not here, and what is left of it here still serves it where it is.
            return Ok(None);
        }
        if port.uid != *uid || port.codec != codec {
            self.metrics.hub.identity_changed.increment();
            self.end_now(port, CloseCode::SUPERSEDED, "another identity");
            return Ok(None);
        }
        match port.change(|session| session.attach(hello, transport, now)) {
            Ok(attached) => {
                self.metrics.hub.resumed.increment();
                Ok(Some(self.attachment(port, attached)))
            }
            Err(AttachRefused::LowerAttempt { .. }) => Err(HelloRefused::Superseded),
            Err(
                AttachRefused::Over
                | AttachRefused::NotThisSession
                | AttachRefused::Arriving
                | AttachRefused::Moved,
            ) => Ok(None),
            Err(AttachRefused::Lost) => {
                self.end_now(port, CloseCode::SUPERSEDED, "cannot be resumed");
                Ok(None)
            }
        }
    }

    fn attachment(self: &Arc<Self>, port: &Arc<Port>, attached: Attached) -> Attachment {
        Attachment {
            hub: Arc::clone(self),
            port: Arc::clone(port),
            link: attached.link,
            attached,
            kept: false,
        }
    }

    fn begin(
        &self,
        hello: &ClientHello,
        uid: Option<Uid>,
        codec: Codec,
        transport: Transport,
        now: Millis,
    ) -> Result<(Arc<Port>, Attached), HelloRefused> {
        self.make_room()?;
        let id = SessionId::new(&self.config.node, rand::random());
        let mut session = Session::new(id.clone(), hello.client.clone(), uid, codec);
        // Attached before anybody can find it: the sweep would take a session without a connection
        // for one that was left when the node began.
        let Ok(attached) = session.attach(hello, transport, now) else {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(HelloRefused::Full);
        };
        let port = self.register(session);
        self.metrics.hub.begun.increment();
        Ok((port, attached))
    }

    /// Counts one more session, if the node may hold it.
    fn make_room(&self) -> Result<(), HelloRefused> {
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.config.max_sessions {
            self.count.fetch_sub(1, Ordering::Relaxed);
            self.metrics.hub.refused_full.increment();
            return Err(HelloRefused::Full);
        }
        Ok(())
    }

    /// Lets pushes find a session that is on its way here; the caller sees to it that there is no
    /// other of this id.
    ///
    /// # Errors
    /// [`HelloRefused::Full`].
    pub(crate) fn arrive(&self, session: Session) -> Result<Arc<Port>, HelloRefused> {
        self.make_room()?;
        Ok(self.register(session))
    }

    fn register(&self, session: Session) -> Arc<Port> {
        let port = self.unregistered(session);
        let registration = Registration::new(&self.groups, &port);
        self.sessions.insert(port.id.clone(), registration);
        port
    }

    /// A session that nobody can find.
    pub(crate) fn unregistered(&self, session: Session) -> Arc<Port> {
        let number = self.ports.fetch_add(1, Ordering::Relaxed);
        Port::new(session, number, self.now(), &self.budget, &self.line)
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(crate) fn session(&self, id: &SessionId) -> Option<Arc<Port>> {
        self.sessions.get(id).map(|entry| Arc::clone(entry.port()))
    }

    /// Ends a session: what is queued is still written, then its connection says bye and closes.
    pub(crate) fn end(&self, port: &Port, code: CloseCode, reason: &str) {
        port.change(|session| session.close(code, reason));
        self.let_go(port);
    }

    /// Ends a session at once: what is queued is dropped, then its connection closes.
    pub(crate) fn end_now(&self, port: &Port, code: CloseCode, reason: &str) {
        port.change(|session| {
            session.end();
            session.abort(code, reason);
        });
        self.let_go(port);
    }

    /// Ends every session, each after what is queued for it. Returns how many there were.
    pub(crate) fn end_all(&self, code: CloseCode, reason: &str) -> usize {
        let mut ports = Vec::new();
        for shard in 0..Crowd::SHARDS {
            self.groups.all().shard(shard).collect_into(&mut ports);
        }
        for port in &ports {
            self.end(port, code, reason);
        }
        ports.len()
    }

    /// Takes a session that is ending out of all maps, unless its client polls and has still to
    /// fetch the end: then its GET does it, or the sweep when none comes.
    fn let_go(&self, port: &Port) {
        let fetched = port.with(|inner| {
            let session = &inner.session;
            session.transport() == Transport::Ws || session.link().is_none()
        });
        if fetched {
            self.forget(port);
        }
    }

    /// Takes a session that has ended out of all maps; but not as long as it has counted items that
    /// nobody is at work on. The sweep has those started, and forgets it a second later.
    pub(crate) fn forget(&self, port: &Port) {
        if port.with(|inner| inner.session.leaves_work()) {
            return;
        }
        // Two steps: the registration's Drop touches the other maps, so the guard goes first.
        // Another session of this id may have come since.
        let is_it = |_: &_, registration: &Registration| std::ptr::eq(&**registration.port(), port);
        let registration = self.sessions.remove_if(&port.id, is_it);
        if registration.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Ends every session of `uid`, after what is queued for it. Returns how many there were.
    pub(crate) fn kick(&self, uid: &Uid, reason: &str) -> usize {
        let mut ports = Vec::new();
        if let Some(members) = self.groups.user(uid) {
            members.collect_into(&mut ports);
        }
        for port in &ports {
            self.end(port, CloseCode::KICKED, reason);
        }
        self.metrics.hub.kicked.add(ports.len() as u64);
        ports.len()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            sessions: self.count.load(Ordering::Relaxed),
            users: self.groups.users(),
            anonymous: self.groups.anonymous().len(),
            queue_bytes: self.budget.bytes(),
        }
    }
}

/// How full the hub is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub sessions: usize,
    pub users: usize,
    pub anonymous: usize,
    pub queue_bytes: usize,
}
