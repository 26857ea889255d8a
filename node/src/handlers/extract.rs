//! What a handler may take as arguments: each type says how it is got from an event.

use axum::Extension;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri};
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use tengen_protocol::{
    ClientId, Codec, Data, ErrorCode, EventId, NodeId, Refusal, SessionId, Transport, Uid,
};

use super::event::Event;
use super::reply::Reply;
use crate::handle::Handle;
use crate::identity::session_map::SessionMap;

/// An argument of a handler.
///
/// | type | is | refused when |
/// |---|---|---|
/// | [`EventId`] | the event's id | – |
/// | [`Payload<T>`] | the value, decoded | it is no `T`: `undecodable` |
/// | [`Data`] | the value as it came | – |
/// | [`Uid`], `Option<Uid>` | the user | the client is anonymous: `handler-failed` |
/// | [`ClientId`], [`SessionId`], [`NodeId`] | tab, session, this node | – |
/// | [`Parts`], [`HeaderMap`], [`Uri`], [`Method`] | the request that opened the connection; a POST's own on long-poll | – |
/// | [`SessionMap`], `Option<SessionMap>` | the decrypted session cookie | there is none: `handler-failed` |
/// | [`Extension<T>`], `Option<Extension<T>>` | what the app's layers put into the request | it is missing: `handler-failed` |
/// | [`Params<T>`] | the client's connection params, decoded | they are no `T`: `undecodable` |
/// | [`Handshake`] | what `handshake_data` told this client | – |
/// | [`SocketAddr`], [`Transport`] | the peer, ws or poll | – |
/// | [`Handle`] | pushes to users, from here or from a task | – |
/// | [`Reply`], `Option<Reply>` | the right to answer; `None` for an event | it is an event: `bad-event` |
/// | [`Event`] | all of this | – |
///
/// A refused argument is told to the client as the error named here; the handler does not run.
///
/// **Extensions do not travel.** Headers, URI and session cookie of a POST reach the node of its
/// session wherever a balancer sent it; the [`Extension`]s that a layer put into it are values of
/// the other process and stay there. The handler sees those of the client's last hello at its own
/// node instead. So let layers put there what is true of the client (its tenant, its rights), and
/// read what differs from request to request from the headers.
///
/// Handlers of `chsk/uidport-open` and `chsk/uidport-close` take the [`Uid`] (it is the value, too),
/// [`EventId`], [`NodeId`] and [`Handle`]; there is no client, so what only a client has is refused.
pub trait FromEvent: Sized {
    /// Whether this argument takes the [`Reply`] away. Such a handler returns `()`.
    const TAKES_REPLY: bool = false;

    /// Gets it from `event`; `reply` is there for a request until an earlier argument took it.
    ///
    /// # Errors
    /// The refusal that the client is told.
    fn from_event(event: &Event, reply: &mut Option<Reply>) -> Result<Self, Refusal>;
}

/// The event's value, decoded as a `T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<T>(pub T);

/// The client's connection params, decoded as a `T`. Without params it is null that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params<T>(pub T);

/// What the app's `handshake_data` told this client; null without the hook.
#[derive(Clone, Debug)]
pub struct Handshake(pub Data);

/// Extractors that clone one thing out of the event.
macro_rules! from_event {
    ($($type:ty: $event:ident => $value:expr;)*) => {$(
        impl FromEvent for $type {
            fn from_event($event: &Event, _: &mut Option<Reply>) -> Result<Self, Refusal> {
                Ok($value)
            }
        }
    )*};
}

from_event! {
    Event: event => event.clone();
    EventId: event => event.id().clone();
    Data: event => event.data().clone();
    Codec: event => event.codec();
    Option<Uid>: event => event.uid().cloned();
    NodeId: event => event.node().clone();
    Option<SessionMap>: event => event.session_map();
    Handshake: event => Handshake(event.handshake());
    Handle: event => event.handle().clone();
}

/// The same for what only a client has.
macro_rules! from_client {
    ($($type:ty: $event:ident => $value:expr;)*) => {$(
        impl FromEvent for $type {
            fn from_event($event: &Event, _: &mut Option<Reply>) -> Result<Self, Refusal> {
                if $event.is_from_client() {
                    Ok($value)
                } else {
                    Err(missing("a client, and this event is the cluster's own"))
                }
            }
        }
    )*};
}

from_client! {
    ClientId: event => event.client().clone();
    SessionId: event => event.session().clone();
    Parts: event => event.parts();
    HeaderMap: event => event.headers();
    Uri: event => event.parts().uri;
    Method: event => event.parts().method;
    SocketAddr: event => event.peer();
    Transport: event => event.transport();
}

impl FromEvent for Uid {
    fn from_event(event: &Event, _: &mut Option<Reply>) -> Result<Self, Refusal> {
        event
            .uid()
            .cloned()
            .ok_or_else(|| missing("a user id, and this client is anonymous"))
    }
}

impl FromEvent for SessionMap {
    fn from_event(event: &Event, _: &mut Option<Reply>) -> Result<Self, Refusal> {
        event
            .session_map()
            .ok_or_else(|| missing("a session cookie, and the request had none that is valid"))
    }
}

impl<T: Clone + Send + Sync + 'static> FromEvent for Extension<T> {
    fn from_event(event: &Event, reply: &mut Option<Reply>) -> Result<Self, Refusal> {
        Option::<Extension<T>>::from_event(event, reply)?
            .ok_or_else(|| missing("an extension of the request that no layer put there"))
    }
}

impl<T: Clone + Send + Sync + 'static> FromEvent for Option<Extension<T>> {
    fn from_event(event: &Event, _: &mut Option<Reply>) -> Result<Self, Refusal> {
        Ok(event.extensions().get::<T>().cloned().map(Extension))
    }
}

impl<T: DeserializeOwned> FromEvent for Payload<T> {
    fn from_event(event: &Event, _: &mut Option<Reply>) -> Result<Self, Refusal> {
        event.data().to().map(Payload).map_err(undecodable)
    }
}

impl<T: DeserializeOwned> FromEvent for Params<T> {
    fn from_event(event: &Event, _: &mut Option<Reply>) -> Result<Self, Refusal> {
        event.params().to().map(Params).map_err(undecodable)
    }
}

impl FromEvent for Reply {
    const TAKES_REPLY: bool = true;

    fn from_event(_: &Event, reply: &mut Option<Reply>) -> Result<Self, Refusal> {
        reply.take().ok_or_else(|| {
            Refusal::new(
                ErrorCode::BAD_EVENT,
                "this is to be sent as a request: its handler answers it",
            )
        })
    }
}

impl FromEvent for Option<Reply> {
    const TAKES_REPLY: bool = true;

    fn from_event(_: &Event, reply: &mut Option<Reply>) -> Result<Self, Refusal> {
        Ok(reply.take())
    }
}

fn missing(what: &str) -> Refusal {
    Refusal::new(
        ErrorCode::HANDLER_FAILED,
        format!("the handler needs {what}"),
    )
}

/// A value may be well-formed and still not what the handler asked for; both are the sender's.
fn undecodable(cause: Refusal) -> Refusal {
    Refusal::new(ErrorCode::UNDECODABLE, cause.message)
}
