//! What other nodes pass on to this one: GETs, POSTs, and "who has this session?".

use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use bytes::Bytes;
use tengen_bus::Message;
use tengen_protocol::relay::{BadRelay, FromHome, RelayedPoll, RelayedPost, ToHome};
use tengen_protocol::server::Standing;
use tengen_protocol::{ErrorCode, Refusal as Numbered};

use super::LEG;
use crate::edge::Edge;
use crate::edge::poll::home::{Brought, Caller, Home};
use crate::edge::poll::refusal::Refusal;
use crate::edge::poll::request::Asks;
use crate::handlers::connected::Connected;
use crate::identity::Identified;
use crate::peers::{Answering, Doors};

/// Requests of other nodes being answered here at once.
const MAX_FOR_OTHERS: usize = 1_000_000;

/// Opens the doors for what other nodes pass on to this one.
pub(crate) fn open_doors(doors: &mut Doors, edge: &Arc<Edge>) {
    for what in ["poll", "post"] {
        let edge = Arc::clone(edge);
        doors.on_question(what, MAX_FOR_OTHERS, move |message| {
            let read = read_message(&edge, message)?;
            let edge = Arc::clone(&edge);
            edge.metrics.poll.for_others.increment();
            // A node that stops waits until they are answered.
            let tracked = edge.tracker.token();
            Ok(match read {
                ToHome::Poll(poll) => Box::pin(async move {
                    let _tracked = tracked;
                    Some(serve_poll(&edge, poll).await)
                }),
                ToHome::Post(post) => Box::pin(async move {
                    let _tracked = tracked;
                    Some(serve_post(&edge, post).await)
                }),
                ToHome::Rest { id, from } if what == "poll" => Box::pin(async move {
                    let _tracked = tracked;
                    Some(serve_rest(&edge, id, from))
                }),
                ToHome::Who(_) | ToHome::Rest { .. } => {
                    edge.metrics.poll.malformed.increment();
                    return Err(unreadable(&BadRelay::Malformed("not asked here")));
                }
            })
        });
    }
    let edge = Arc::clone(edge);
    doors.on_everyones_question(MAX_FOR_OTHERS, move |message| {
        // Several parts of a node are asked by this subject: what is not of this kind is no fault.
        match ToHome::decode(&message.body).map_err(|bad| unreadable(&bad))? {
            ToHome::Who(session) => {
                let node = edge.hub.config().node.clone();
                let here = edge.hub.session(&session).filter(|port| {
                    let standing = port.with(|inner| inner.session.standing());
                    matches!(standing, Standing::Home | Standing::Frozen)
                });
                let here = here.map(|_| FromHome::Mine(node));
                let answer: Answering = Box::pin(async move { here.map(|mine| mine.encode()) });
                Ok(answer)
            }
            ToHome::Poll(_) | ToHome::Post(_) | ToHome::Rest { .. } => {
                Err(unreadable(&BadRelay::Malformed("asked of everyone")))
            }
        }
    });
}

fn read_message(edge: &Edge, message: &Message) -> Result<ToHome, Numbered> {
    ToHome::decode(&message.body).map_err(|bad| {
        edge.metrics.poll.count_bad(&bad);
        unreadable(&bad)
    })
}

fn unreadable(bad: &BadRelay) -> Numbered {
    Numbered::new(ErrorCode::UNDECODABLE, bad.to_string())
}

/// The session if it is here, and goes on here.
fn home(edge: &Edge, caller: &Caller) -> Result<Home, Refusal> {
    if edge.shutdown.is_cancelled() {
        // Its end here has been said, or is being said; elsewhere it can begin again at once.
        return Err(Refusal::gone());
    }
    edge.poll_home(caller)
}

async fn serve_poll(edge: &Arc<Edge>, poll: RelayedPoll) -> Bytes {
    let caller = Caller {
        session: poll.session,
        attempt: poll.attempt,
        uid: poll.uid,
    };
    let asks = Asks {
        received: poll.received,
        n: poll.n,
    };
    let hold = Duration::from_millis(poll.hold_ms).min(edge.polls.hold);
    let port = match home(edge, &caller) {
        Ok(Home::Here(port)) => port,
        Ok(Home::Elsewhere(other)) => {
            return other.map_or(FromHome::NotMine, FromHome::Mine).encode();
        }
        Err(refusal) => return refused(refusal),
    };
    match edge.poll_session(&port, &caller, asks, hold, None).await {
        Ok(body) => edge.polls.pieces.answer(port.codec, body).encode(),
        Err(refusal) => refused(refusal),
    }
}

fn serve_rest(edge: &Edge, id: u128, from: u64) -> Bytes {
    let piece = edge.polls.pieces.rest(id, from);
    piece.map_or(FromHome::NotMine, FromHome::Piece).encode()
}

async fn serve_post(edge: &Arc<Edge>, post: RelayedPost) -> Bytes {
    let Some(parts) = parts_of(&post) else {
        edge.metrics.poll.malformed.increment();
        return refused(Refusal::malformed("the relayed request is none"));
    };
    let caller = Caller {
        session: post.session,
        attempt: post.attempt,
        uid: post.uid,
    };
    let port = match home(edge, &caller) {
        Ok(Home::Here(port)) => port,
        Ok(Home::Elsewhere(other)) => {
            return other.map_or(FromHome::NotMine, FromHome::Mine).encode();
        }
        Err(refusal) => return refused(refusal),
    };
    let identified = Identified::told(caller.uid.clone(), edge.identity.cookies(), &parts.headers);
    let codec = post.codec;
    let brought = Brought {
        first: post.first,
        codec,
        body: post.body,
        context: |hello: &Connected| Connected::of_post(parts, post.peer, &identified, hello),
    };
    // The asker waits a leg for it, so that it always hears.
    let hold = edge.polls.hold.min(LEG);
    match edge.post_to_session(&port, &caller, brought, hold).await {
        Ok(body) => FromHome::Body(codec, body).encode(),
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> Bytes {
    let (status, code, message) = refusal.into_parts();
    FromHome::Refused(status, code, message).encode()
}

/// The POST's parts as the node that took it saw them; `None` if they are none.
fn parts_of(post: &RelayedPost) -> Option<Parts> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::try_from(post.uri.as_str()).ok()?;
    for (name, value) in &post.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        request
            .headers_mut()
            .append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(request.into_parts().0)
}
