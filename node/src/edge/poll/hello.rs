//! A hello that comes by POST: the one poll request that begins, resumes or moves a session.

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::response::Response;
use tengen_protocol::{ClientFrame, ClientHello, Codec, Transport};

use super::refusal::Refusal;
use super::{answer, request};
use crate::edge::Edge;
use crate::edge::upgrade::{admit, peer, set_cookie};
use crate::handlers::connected::Connected;
use crate::hub::HelloRefused;

/// Says hello: 200 with the server's hello.
///
/// # Errors
/// [`Refusal`]; no session was begun then.
///
/// # Cancel safety
/// May be dropped; a session that was attached is then left, as if the answer had been lost.
pub(super) async fn hello(edge: &Arc<Edge>, parts: Parts, body: Body) -> Result<Response, Refusal> {
    let codec = request::codec(&parts.headers)?;
    let (identified, data) = admit(edge, &parts).await?;
    let taken = edge.polls.bodies.take(body).await?;
    let hello = read(edge, codec, &taken.bytes)?;
    drop(taken);
    let connected = Connected::new(
        parts.clone(),
        peer(&parts),
        Transport::Poll,
        &identified,
        &data,
    );
    let connected = Arc::new(connected.with_params(hello.params.as_ref()));
    let uid = identified.uid().cloned();
    let (who, context) = (uid.clone(), Arc::clone(&connected));
    let greeted = edge
        .arrivals
        .greet(hello, who, codec, Transport::Poll, context);
    let attachment = greeted.await.map_err(|refused| match refused {
        HelloRefused::Superseded => Refusal::superseded(),
        HelloRefused::Full => Refusal::unavailable("the node is full"),
        HelloRefused::NotOpen => Refusal::unavailable("the node is not open yet"),
        HelloRefused::Ended(code) => Refusal::ended(code),
    })?;
    let mut hello = edge.hello_to(&attachment, uid, data.clone());
    // The client gives up 10 s after this; a GET may be held for longer than pings are apart.
    let held_ms = u64::try_from(edge.polls.hold.as_millis()).unwrap_or(u64::MAX);
    hello.ping_ms = hello.ping_ms.max(held_ms.saturating_sub(5_000));
    let mut out = Vec::new();
    let current = attachment.port.with(|inner| {
        let session = &mut inner.session;
        let link = attachment.link;
        let current = session.hello(link, &hello) && session.poll_hello(link, &mut out);
        if current {
            inner.begin_polls(connected);
        }
        current
    });
    if !current {
        return Err(Refusal::superseded());
    }
    // From here on no task holds the session: its GETs and POSTs keep it, and their absence ends it.
    attachment.keep();
    edge.metrics.poll.hellos.increment();
    let mut response = answer(Some(codec), out.into());
    set_cookie(&identified, response.headers_mut());
    Ok(response)
}

fn read(edge: &Edge, codec: Codec, body: &bytes::Bytes) -> Result<ClientHello, Refusal> {
    match ClientFrame::decode(codec, body.clone(), &edge.hub.bounds().limits) {
        Ok(ClientFrame::Hello(hello)) => Ok(hello),
        Ok(_) => Err(Refusal::malformed(
            "without Tengen-Session a body must be one hello",
        )),
        Err(undecodable) => Err(Refusal::malformed(format!(
            "the body is no hello: {}",
            undecodable.refusal.message
        ))),
    }
}
