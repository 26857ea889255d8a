//! Long-poll: hellos, items and held GETs over plain HTTP, for a session of this node or of any other.

mod body;
mod held;
mod hello;
mod home;
mod refusal;
pub(crate) mod relay;
mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tengen_protocol::Codec;

use self::body::Bodies;
use self::home::{Brought, Caller, Home};
use self::refusal::Refusal;
use self::relay::pieces::Pieces;
use self::relay::{Relay, relayed};
use self::request::{Asks, Named};
use super::Edge;
use super::accept::patience::Patience;
use super::upgrade::peer;
use crate::handlers::connected::Connected;

/// A body of several frames has at most so many bytes (256 KiB).
const SEVERAL: usize = 256 << 10;
/// What a body may have beyond its frames: line breaks, and a little too much, which is refused by
/// number and counted instead of by 413.
const SLACK: usize = 1 << 10;

/// What the poll requests of a node share.
pub(crate) struct Polls {
    /// How long a GET is held, and a POST for which there is no room.
    hold: Duration,
    bodies: Bodies,
    relay: Relay,
    pieces: Pieces,
}

impl Polls {
    /// `max_bytes` is the largest frame, `post_bytes` what all bodies being taken may have.
    pub(crate) fn new(hold: Duration, max_bytes: usize, post_bytes: usize, relay: Relay) -> Polls {
        Polls {
            hold,
            bodies: Bodies::new(max_bytes.max(SEVERAL) + SLACK, post_bytes, relay.metrics()),
            pieces: Pieces::new(relay.max_payload(), relay.metrics()),
            relay,
        }
    }

    /// Those of a node without others.
    #[cfg(test)]
    pub(crate) fn alone(hub: &crate::hub::Hub, hold: Duration) -> Polls {
        let (node, metrics) = (hub.config().node.clone(), hub.metrics());
        let subjects = tengen_protocol::subject::Subjects::default();
        let bus = tengen_bus::Bus::local();
        let peers = crate::peers::Peers::new(bus, subjects, node.clone(), Arc::clone(metrics));
        let relay = Relay::new(peers, node, hub.config().session_ttl, Arc::clone(metrics));
        Polls::new(hold, hub.bounds().limits.max_bytes, 64 << 20, relay)
    }
}

/// Whether a GET wants to poll. A plain one, which asks for the cause of a refusal, does not; the
/// address may have a query of its own.
pub(crate) fn is_poll(request: &Request) -> bool {
    let headers = request.headers();
    headers.contains_key(request::SESSION)
        || headers.contains_key(request::ATTEMPT)
        || Asks::any(request.uri().query())
}

/// `GET /chsk?received=…&n=…`: what waits for the client, or nothing after a while.
pub(crate) async fn get(edge: &Arc<Edge>, request: Request) -> Response {
    // A node that stops waits for its answer, whoever serves the connection.
    let _answering = edge.tracker.token();
    // A future is never smaller than the largest it has been, and a held GET is held for long: what
    // comes before has a box of its own, and so has what few of them need.
    let answered = match Box::pin(asked(edge, request)).await {
        Ok((caller, asks, patience)) => held(edge, &caller, asks, patience).await,
        Err(refusal) => Err(refusal),
    };
    said(edge, answered)
}

/// Who asks, and for what. The request is gone when this returns: a held GET keeps none of it.
async fn asked(edge: &Edge, request: Request) -> Result<(Caller, Asks, Option<Patience>), Refusal> {
    let (mut parts, _) = request.into_parts();
    let patience = parts.extensions.remove::<Patience>();
    let named = Named::read(&parts.headers)?
        .ok_or_else(|| Refusal::malformed("Tengen-Session is missing"))?;
    let asks = Asks::read(parts.uri.query())?;
    let (caller, _) = caller(edge, &parts, named).await?;
    Ok((caller, asks, patience))
}

async fn held(
    edge: &Arc<Edge>,
    caller: &Caller,
    asks: Asks,
    patience: Option<Patience>,
) -> Result<Response, Refusal> {
    let hold = edge.polls.hold;
    let (codec, body) = match edge.poll_home(caller)? {
        Home::Here(port) => {
            let held = edge.poll_session(&port, caller, asks, hold, patience);
            let body = held.await?;
            (Some(port.codec), body)
        }
        Home::Elsewhere(hint) => {
            let relay = &edge.polls.relay;
            if let Some(patience) = patience {
                patience.ask();
            }
            Box::pin(relay.poll(edge, caller, hint, asks, hold)).await?
        }
    };
    Ok(answer(codec, body))
}

/// `POST /chsk`: a hello, or with `first` and the headers of a session the client's items.
pub(crate) async fn post(edge: &Arc<Edge>, request: Request) -> Response {
    let _answering = edge.tracker.token();
    let (parts, body) = request.into_parts();
    let answered = match Named::read(&parts.headers) {
        Ok(Some(named)) => Box::pin(items(edge, named, parts, body)).await,
        Ok(None) => Box::pin(hello::hello(edge, parts, body)).await,
        Err(refusal) => Err(refusal),
    };
    said(edge, answered)
}

async fn items(
    edge: &Arc<Edge>,
    named: Named,
    parts: Parts,
    body: Body,
) -> Result<Response, Refusal> {
    let first = request::first(parts.uri.query())?;
    let codec = request::codec(&parts.headers)?;
    let (caller, identified) = caller(edge, &parts, named).await?;
    let taken = edge.polls.bodies.take(body).await?;
    let received = &edge.metrics.poll.received_bytes;
    received.add(taken.bytes.len() as u64);
    let (hold, bytes) = (edge.polls.hold, taken.bytes.clone());
    let answered = match edge.poll_home(&caller)? {
        Home::Here(port) => {
            let peer = peer(&parts);
            let brought = Brought {
                first,
                codec,
                body: bytes,
                context: |hello: &Connected| Connected::of_post(parts, peer, &identified, hello),
            };
            edge.post_to_session(&port, &caller, brought, hold).await?
        }
        Home::Elsewhere(hint) => {
            let relay = &edge.polls.relay;
            let message = relayed(&caller, first, codec, &parts, bytes);
            relay.post(edge, &caller, hint, message).await?
        }
    };
    Ok(answer(Some(codec), answered))
}

/// Who the request is. Asked of every single one: a session is served to its own user alone.
async fn caller(
    edge: &Edge,
    parts: &Parts,
    named: Named,
) -> Result<(Caller, crate::identity::Identified), Refusal> {
    if edge.shutdown.is_cancelled() {
        return Err(Refusal::unavailable("the node is shutting down"));
    }
    let identified = edge.identity.identify(parts).await?;
    let caller = Caller {
        session: named.session,
        attempt: named.attempt,
        uid: identified.uid().cloned(),
    };
    Ok((caller, identified))
}

fn said(edge: &Edge, answered: Result<Response, Refusal>) -> Response {
    answered.unwrap_or_else(|refusal| {
        tracing::debug!(status = refusal.status().as_u16(), "poll request refused");
        refusal.count(&edge.metrics);
        refusal.into_response()
    })
}

/// A 200. Without a codec there is nothing in it.
fn answer(codec: Option<Codec>, body: Bytes) -> Response {
    let mut response = Body::from(body).into_response();
    if let Some(codec) = codec {
        let kind = HeaderValue::from_static(codec.poll_content_type());
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}
