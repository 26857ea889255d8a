//! The routes of the channel socket: the WebSocket handshake, the plain GET that explains a refusal, and the way to the polls.

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fastwebsockets::upgrade::{is_upgrade_request, upgrade};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tengen_protocol::{CloseCode, Codec, Data, Transport};

use super::accept::replayed::Replayed;
use super::connection::{Connection, Guest};
use super::{Edge, poll};
use crate::handlers::connected::Connected;
use crate::identity::Identified;
use crate::identity::refused::Refused;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The channel socket at `path`, to be merged into or nested in any router.
pub(crate) fn routes(edge: Arc<Edge>, path: &str) -> Router {
    Router::new()
        .route(path, get(open).post(post).fallback(other_method))
        .layer(axum::middleware::map_response(no_store))
        .with_state(edge)
}

/// Nothing under this path may be kept by a cache, whoever answered.
async fn no_store(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, NO_STORE);
    response
}

async fn other_method() -> Response {
    let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    response
}

async fn open(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let answer = if is_upgrade_request(&request) {
        Box::pin(upgraded(&edge, request)).await
    } else {
        return plain(&edge, request).await;
    };
    answer.unwrap_or_else(|refusal| {
        edge.metrics.edge.refused.increment();
        refusal
    })
}

/// A GET without upgrade: a poll, or the question of a browser that cannot see why its upgrade
/// failed.
async fn plain(edge: &Arc<Edge>, request: Request) -> Response {
    if poll::is_poll(&request) {
        return poll::get(edge, request).await;
    }
    Box::pin(asked(edge, request)).await
}

async fn asked(edge: &Edge, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match admit(edge, &parts).await {
        Ok((identified, _)) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            set_cookie(&identified, response.headers_mut());
            response
        }
        Err(refused) => {
            edge.metrics.edge.refused.increment();
            refused.into_response()
        }
    }
}

async fn post(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    poll::post(&edge, request).await
}

/// Whether this request may have a connection, and what its hello will say. Every kind of request
/// passes here before anything else happens; what else may refuse one (its origin) belongs here.
pub(super) async fn admit(edge: &Edge, parts: &Parts) -> Result<(Identified, Data), Refused> {
    if edge.shutdown.is_cancelled() {
        return Err(Refused::unavailable("the node is shutting down"));
    }
    let identified = edge.identity.identify(parts).await?;
    let data = edge.identity.handshake(parts, &identified).await?;
    Ok((identified, data))
}

/// From where a request came. Under a server that does not tell, nobody is known to be there.
pub(super) fn peer(parts: &Parts) -> SocketAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or((Ipv4Addr::UNSPECIFIED, 0).into(), |ConnectInfo(peer)| *peer)
}

async fn upgraded(edge: &Arc<Edge>, request: Request) -> Result<Response, Response> {
    let codec = negotiate(request.headers()).map_err(Unfit::into_response)?;
    let (mut parts, _) = request.into_parts();
    // Not for the app's hooks: whoever awaits it gets the socket.
    let Some(on_upgrade) = parts.extensions.remove::<OnUpgrade>() else {
        // HTTP/1.0, or a layer in front that took the connection away.
        let message = "this connection cannot be upgraded";
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            CloseCode::PROTOCOL,
            message,
        ));
    };
    let admitted = admit(edge, &parts).await;
    let (identified, data) = admitted.map_err(Refused::into_response)?;

    let mut request = Request::from_parts(parts, Body::empty());
    let Ok((response, _)) = upgrade(&mut request) else {
        let message = "this is no WebSocket handshake of RFC 6455";
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            CloseCode::PROTOCOL,
            message,
        ));
    };
    let mut response = response.map(|_| Body::empty());
    let subprotocol = HeaderValue::from_static(codec.subprotocol());
    response
        .headers_mut()
        .insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    set_cookie(&identified, response.headers_mut());

    let (parts, _) = request.into_parts();
    let peer = peer(&parts);
    let uid = identified.uid().cloned();
    let connected = Connected::new(parts, peer, Transport::Ws, &identified, &data);
    let guest = Box::new(Guest {
        connected,
        uid,
        data,
    });
    edge.tracker
        .spawn(begin(edge.clone(), on_upgrade, codec, guest));
    Ok(response)
}

/// Waits until the 101 is written, then begins the connection. Ends unheard if the peer is gone.
///
/// The connection gets a task of its own: a future is never smaller than the largest it has been,
/// and this one holds the request. Measured: 1,280 bytes for each idle connection instead of 512.
async fn begin(edge: Arc<Edge>, on_upgrade: OnUpgrade, codec: Codec, guest: Box<Guest>) {
    let Ok(upgraded) = on_upgrade.await else {
        return;
    };
    let tracker = edge.tracker.clone();
    // On our own loop the socket is known; without the wrapping a connection is 0.2 KiB smaller.
    match upgraded.downcast::<TokioIo<Replayed>>() {
        Ok(parts) => {
            let (rest, socket) = parts.io.into_inner().into_parts();
            // Copied out: even an empty slice would keep hyper's 8 KiB for as long as it lives.
            let unread = [&parts.read_buf[..], &rest].concat();
            tracker.spawn(Connection::new(edge, socket, codec, guest, unread));
        }
        // TLS, or whatever stream the host's server has.
        Err(upgraded) => {
            let socket = TokioIo::new(upgraded);
            tracker.spawn(Connection::new(edge, socket, codec, guest, Vec::new()));
        }
    }
}

/// Checks the handshake's headers (RFC 6455 section 4.2.1) and picks the codec.
///
/// Extensions are never accepted, so the answer names none: compressing would cost each connection
/// memory, and next to a secret it tells its length.
fn negotiate(headers: &HeaderMap) -> Result<Codec, Unfit> {
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version != "13") {
        return Err(Unfit::Version);
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .map(|key| STANDARD.decode(key));
    if !matches!(key, Some(Ok(nonce)) if nonce.len() == 16) {
        return Err(Unfit::Key);
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    offered
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|offer| Codec::from_subprotocol(offer.trim()))
        .ok_or(Unfit::Subprotocol)
}

/// Why a handshake cannot become a connection.
enum Unfit {
    Version,
    Key,
    Subprotocol,
}

impl Unfit {
    fn into_response(self) -> Response {
        match self {
            Unfit::Version => {
                let message = "this node speaks version 13 of the WebSocket protocol";
                let mut refusal = refuse(StatusCode::UPGRADE_REQUIRED, CloseCode::VERSION, message);
                let version = HeaderValue::from_static("13");
                refusal
                    .headers_mut()
                    .insert(header::SEC_WEBSOCKET_VERSION, version);
                refusal
            }
            Unfit::Key => {
                let message = "Sec-WebSocket-Key must be 16 bytes in base64";
                refuse(StatusCode::BAD_REQUEST, CloseCode::PROTOCOL, message)
            }
            Unfit::Subprotocol => {
                let message = format!(
                    "offer one of the subprotocols {} and {}",
                    Codec::Cbor.subprotocol(),
                    Codec::Json.subprotocol()
                );
                refuse(StatusCode::BAD_REQUEST, CloseCode::VERSION, &message)
            }
        }
    }
}

pub(super) fn set_cookie(identified: &Identified, headers: &mut HeaderMap) {
    if let Some(cookie) = identified.set_cookie() {
        headers.append(header::SET_COOKIE, cookie.clone());
    }
}

/// A refusal of ours, marked so that a client does not take it for a proxy's.
fn refuse(status: StatusCode, code: CloseCode, message: &str) -> Response {
    let mut response = (status, format!("{message}\n")).into_response();
    response
        .headers_mut()
        .insert("tengen-error", HeaderValue::from(code.0));
    response
}
