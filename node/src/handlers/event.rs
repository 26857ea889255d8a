//! One event or request on its way to a handler, and everything a handler may ask about it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use tengen_protocol::server::{Pushed, Replied};
use tengen_protocol::{ClientId, Codec, Data, EventId, NodeId, Refusal, SessionId, Transport, Uid};

use tengen_protocol::takeover::Forward;

use super::connected::Connected;
use super::reply::Reply;
use crate::forward::Forwards;
use crate::handle::Handle;
use crate::hub::Hub;
use crate::hub::port::Port;
use crate::identity::session_map::SessionMap;

/// What a client sent, who sent it, and over which connection. Cheap to clone.
///
/// Handlers usually take the few things they need as arguments instead (see
/// [`FromEvent`](super::extract::FromEvent)); a catch-all takes the whole.
#[derive(Clone)]
pub struct Event {
    pub(crate) id: EventId,
    pub(crate) data: Data,
    pub(crate) position: u64,
    pub(crate) request: Option<u32>,
    pub(crate) port: Arc<Port>,
    pub(crate) connected: Arc<Connected>,
    pub(crate) place: Arc<Place>,
}

/// Where events are handled: this node, its sessions and its way to push.
pub(crate) struct Place {
    pub(crate) handle: Handle,
    pub(crate) hub: Arc<Hub>,
    /// The way to sessions that have moved on since.
    pub(crate) forwards: Arc<Forwards>,
}

impl Place {
    /// Answers a request of the session behind `port`. False = nobody waits for it any more.
    pub(crate) fn reply(&self, port: &Port, request: u32, outcome: Result<Data, Refusal>) -> bool {
        let bounds = self.hub.bounds();
        let (replied, elsewhere) = port.change(|session| {
            let owner = session.owner().cloned();
            // Only a session that moves has its answer said twice.
            let elsewhere = owner.map(|owner| (owner, outcome.clone()));
            (session.reply(request, outcome, bounds), elsewhere)
        });
        match replied {
            Replied::Slow => self.slow(port),
            Replied::Queued | Replied::Elsewhere => {
                if let Some((owner, outcome)) = elsewhere {
                    let (from, session) = (self.node(), port.id.clone());
                    let reply = Forward::Reply {
                        from,
                        session,
                        request,
                        outcome,
                    };
                    self.forwards.send(&owner, &reply);
                }
                return true;
            }
            Replied::Over | Replied::Ignored => {}
        }
        false
    }

    /// Tells the sender of an event that it was not handled.
    pub(crate) fn report(&self, port: &Port, position: u64, refusal: &Refusal) {
        let bounds = self.hub.bounds();
        let (pushed, owner) = port.change(|session| {
            let owner = session.owner().cloned();
            (session.report(position, refusal, bounds), owner)
        });
        match (pushed, owner) {
            (Pushed::Slow, _) => self.slow(port),
            (Pushed::Queued | Pushed::Elsewhere, Some(owner)) => {
                let report = Forward::Report {
                    from: self.node(),
                    session: port.id.clone(),
                    position,
                    refusal: refusal.clone(),
                };
                self.forwards.send(&owner, &report);
            }
            _ => {}
        }
    }

    /// Tells the node that has, or takes, the session that the handler here has returned.
    pub(crate) fn returned(&self, port: &Port, owner: &NodeId, position: u64) {
        let returned = Forward::Returned {
            from: self.node(),
            session: port.id.clone(),
            position,
        };
        self.forwards.send(owner, &returned);
    }

    fn node(&self) -> NodeId {
        self.hub.config().node.clone()
    }

    /// The session ended because its client does not read.
    fn slow(&self, port: &Port) {
        self.hub.metrics().hub.slow.increment();
        self.hub.forget(port);
    }
}

impl Event {
    /// The event's id, `ns/name`.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// The value as it came, not decoded.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Whether a client sent it. `chsk/uidport-open` and `chsk/uidport-close` come from the cluster:
    /// of those only [`id`](Self::id), [`uid`](Self::uid), the value and what belongs to this node
    /// mean anything.
    pub fn is_from_client(&self) -> bool {
        // Positions count from 1.
        self.position > 0
    }

    /// Who sent it; `None` for an anonymous client. Never what the client merely claims.
    pub fn uid(&self) -> Option<&Uid> {
        self.port.uid.as_ref()
    }

    /// The tab or device, by its own choice of id. Not proof of anything.
    pub fn client(&self) -> &ClientId {
        &self.port.client
    }

    /// The session. Whoever knows its id may resume it, so keep it from other users and logs.
    pub fn session(&self) -> &SessionId {
        &self.port.id
    }

    /// The codec of the client's session.
    pub fn codec(&self) -> Codec {
        self.port.codec
    }

    /// This node's id.
    pub fn node(&self) -> &NodeId {
        &self.place.hub.config().node
    }

    /// Pushes to any user, here or on another node.
    pub fn handle(&self) -> &Handle {
        &self.place.handle
    }

    /// The address the connection came from: the proxy's behind a proxy.
    pub fn peer(&self) -> SocketAddr {
        self.connected.peer()
    }

    pub fn transport(&self) -> Transport {
        self.connected.transport()
    }

    /// Whether the client waits for an answer.
    pub fn wants_reply(&self) -> bool {
        self.request.is_some()
    }

    /// One header of the request that opened the connection (a POST's own on long-poll), its
    /// first value. Cheaper than [`Event::headers`].
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.connected.header(name)
    }

    /// All headers of that request; built at each call, about a microsecond.
    pub fn headers(&self) -> HeaderMap {
        self.connected.headers()
    }

    /// The parts of that request with the app's extensions; built at each call.
    pub fn parts(&self) -> Parts {
        self.connected.parts()
    }

    /// What the app's layers put into that request.
    pub fn extensions(&self) -> &Extensions {
        self.connected.extensions()
    }

    /// The decrypted session cookie of that request.
    pub fn session_map(&self) -> Option<SessionMap> {
        self.connected.session_map()
    }

    /// The `params` of the client's hello; null without.
    pub fn params(&self) -> Data {
        self.connected.params()
    }

    /// What `handshake_data` told this client; null without.
    pub fn handshake(&self) -> Data {
        self.connected.handshake()
    }

    /// The right to answer. The session counts answers, so a second one is ignored.
    pub(crate) fn reply(&self) -> Option<Reply> {
        Some(Reply::new(
            self.port.clone(),
            self.place.clone(),
            self.request?,
        ))
    }

    /// Tells the sender that this was not handled: the request's error, or a `chsk/error` item
    /// with the event's position.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        match self.request {
            Some(request) => {
                self.place.reply(&self.port, request, Err(refusal));
            }
            None => self.place.report(&self.port, self.position, &refusal),
        }
    }
}

impl std::fmt::Debug for Event {
    /// Without the value and the session id: one is private, the other a credential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("uid", &self.port.uid)
            .field("client", &self.port.client)
            .field("wants_reply", &self.wants_reply())
            .finish_non_exhaustive()
    }
}
