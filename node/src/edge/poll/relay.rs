//! Poll requests for a session of another node: passed on over the bus, and answered there.

use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use bytes::Bytes;
use tengen_bus::Message;
use tengen_protocol::relay::{BadRelay, FromHome, RelayedPoll, RelayedPost, ToHome};
use tengen_protocol::{Codec, ErrorCode, NodeId, Refusal as Numbered};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::held::Parked;
use super::home::{Brought, Caller};
use super::refusal::Refusal;
use super::request::Asks;
use crate::edge::Edge;
use crate::edge::upgrade::peer;
use crate::handlers::connected::Connected;
use crate::identity::Identified;
use crate::locate::Locate;
use crate::metrics::Metrics;
use crate::peers::{Answering, Doors, Peers, Unanswered};

/// How long the home holds a GET for another node in one go. A home that dies meanwhile is noticed
/// after this and [`LATE`], whatever the poll timeout.
const LEG: Duration = Duration::from_secs(4);
/// How much longer than it should an answer may take.
const LATE: Duration = Duration::from_secs(2);
/// How long "who has this session?" is waited for.
const WHO: Duration = Duration::from_secs(1);
/// Such questions under way at once. They go to every node, and anybody may name a session.
const MAX_ASKING: usize = 256;
/// Requests of other nodes being answered here at once.
const MAX_FOR_OTHERS: usize = 1_000_000;

/// The asking half.
pub(crate) struct Relay {
    peers: Peers,
    node: NodeId,
    locate: Locate,
    asking: Semaphore,
    metrics: Arc<Metrics>,
}

/// What became of asking one node.
enum Asked {
    Answer(FromHome),
    /// It is not there, or there is no such node.
    Elsewhere,
}

impl Relay {
    /// `remember` is how long a place is believed: the life of a session without a connection.
    pub(crate) fn new(
        peers: Peers,
        node: NodeId,
        remember: Duration,
        metrics: Arc<Metrics>,
    ) -> Relay {
        Relay {
            peers,
            node,
            locate: Locate::new(remember),
            asking: Semaphore::new(MAX_ASKING),
            metrics,
        }
    }

    /// Passes a GET on, again and again until the home has something to tell or `hold` is over.
    ///
    /// # Errors
    /// [`Refusal`]: the home's, 410 if there is none, 503 if it or the bus does not answer.
    ///
    /// # Cancel safety
    /// May be dropped at any time. The home may go on holding it for up to 4 s, and answer nobody:
    /// what it tells stays in line until the client has acknowledged it.
    pub(super) async fn poll(
        &self,
        edge: &Edge,
        caller: &Caller,
        asks: Asks,
        hold: Duration,
    ) -> Result<(Option<Codec>, Bytes), Refusal> {
        let _parked = Parked::new(&self.metrics);
        let until = Instant::now() + hold;
        loop {
            let leg = until
                .saturating_duration_since(Instant::now())
                .min(LEG)
                .max(Duration::from_millis(1));
            let message = ToHome::Poll(RelayedPoll {
                session: caller.session.clone(),
                uid: caller.uid.clone(),
                attempt: caller.attempt,
                n: asks.n,
                received: asks.received,
                hold_ms: u64::try_from(leg.as_millis()).unwrap_or(u64::MAX),
            });
            self.metrics.poll.relayed_polls.increment();
            let asked = self.ask(edge, caller, "poll", message.encode(), leg + LATE);
            let Some(asked) = edge.shutdown.run_until_cancelled(asked).await else {
                // At its home nothing has happened to the session: the client asks another node.
                return Ok((None, Bytes::new()));
            };
            let (codec, body) = asked?;
            if !body.is_empty() || Instant::now() >= until {
                return Ok((Some(codec), body));
            }
        }
    }

    /// Passes a POST on.
    ///
    /// # Errors
    /// As [`Relay::poll`]; after a 503 it may have been taken: the same again is harmless.
    pub(super) async fn post(
        &self,
        edge: &Edge,
        caller: &Caller,
        first: u64,
        codec: Codec,
        parts: &Parts,
        body: Bytes,
    ) -> Result<Bytes, Refusal> {
        let headers = parts.headers.iter();
        let headers = headers
            .map(|(name, value)| {
                let value = Bytes::copy_from_slice(value.as_bytes());
                (name.as_str().to_owned(), value)
            })
            .collect();
        let message = ToHome::Post(RelayedPost {
            session: caller.session.clone(),
            uid: caller.uid.clone(),
            attempt: caller.attempt,
            first,
            codec,
            peer: peer(parts),
            uri: parts.uri.to_string(),
            headers,
            body,
        });
        self.metrics.poll.relayed_posts.increment();
        let asked = self.ask(edge, caller, "post", message.encode(), LEG + LATE);
        asked.await.map(|(_, body)| body)
    }

    /// Asks whoever may be the home, the likeliest first, until one is.
    async fn ask(
        &self,
        edge: &Edge,
        caller: &Caller,
        what: &str,
        message: Bytes,
        limit: Duration,
    ) -> Result<(Codec, Bytes), Refusal> {
        let session = &caller.session;
        let remembered = self.locate.remembered(session, edge.hub.now());
        let named = Some(session.node()).filter(|named| Some(named) != remembered.as_ref());
        for node in remembered.into_iter().chain(named) {
            if node == self.node {
                continue;
            }
            let asked = self.ask_node(&node, what, message.clone(), limit);
            if let Asked::Answer(answer) = asked.await? {
                self.locate.found(session, &node, edge.hub.now());
                return read(answer);
            }
        }
        self.locate.lost(session);
        let Some(node) = self.who(caller).await? else {
            return Err(Refusal::gone());
        };
        match self.ask_node(&node, what, message, limit).await? {
            Asked::Answer(answer) => {
                self.locate.found(session, &node, edge.hub.now());
                read(answer)
            }
            Asked::Elsewhere => Err(Refusal::gone()),
        }
    }

    async fn ask_node(
        &self,
        node: &NodeId,
        what: &str,
        message: Bytes,
        limit: Duration,
    ) -> Result<Asked, Refusal> {
        let answer = match self.peers.ask(node, what, message, limit).await {
            Ok(bytes) => FromHome::decode(&bytes),
            Err(Unanswered::Nobody) => return Ok(Asked::Elsewhere),
            Err(error) => return Err(self.failed(&error)),
        };
        match answer {
            Ok(FromHome::NotMine) => Ok(Asked::Elsewhere),
            Ok(answer) => Ok(Asked::Answer(answer)),
            Err(bad) => {
                self.metrics.poll.count_bad(&bad);
                Err(Refusal::bus_down("the session's node gave no answer"))
            }
        }
    }

    /// Which node has the session, if any says so within 1 s.
    async fn who(&self, caller: &Caller) -> Result<Option<NodeId>, Refusal> {
        let Ok(_one) = self.asking.try_acquire() else {
            return Err(Refusal::unavailable(
                "too many sessions are being looked for",
            ));
        };
        self.metrics.poll.asked_all.increment();
        let message = ToHome::Who(caller.session.clone()).encode();
        let answer = match self.peers.ask_everyone(message, WHO).await {
            Ok(bytes) => FromHome::decode(&bytes),
            Err(Unanswered::Late | Unanswered::Nobody) => return Ok(None),
            Err(error) => return Err(self.failed(&error)),
        };
        match answer {
            Ok(FromHome::Mine(node)) if node != self.node => Ok(Some(node)),
            Ok(_) => Ok(None),
            Err(bad) => {
                self.metrics.poll.count_bad(&bad);
                Ok(None)
            }
        }
    }

    fn failed(&self, error: &Unanswered) -> Refusal {
        self.metrics.poll.relay_failed.increment();
        match error {
            Unanswered::Refused(refusal) if refusal.code == ErrorCode::TOO_LARGE => {
                Refusal::too_large(self.peers.max_payload())
            }
            Unanswered::BusDown => Refusal::bus_down("the bus is down"),
            _ => Refusal::bus_down("the session's node gave no answer"),
        }
    }
}

fn read(answer: FromHome) -> Result<(Codec, Bytes), Refusal> {
    match answer {
        FromHome::Body(codec, body) => Ok((codec, body)),
        FromHome::Refused(status, code, message) => {
            let refusal = Refusal::relayed(status, code, message);
            Err(refusal.unwrap_or_else(|| Refusal::bus_down("the session's node answered oddly")))
        }
        FromHome::NotMine | FromHome::Mine(_) => {
            Err(Refusal::bus_down("the session's node answered oddly"))
        }
    }
}

/// Opens the doors for what other nodes pass on to this one.
pub(crate) fn open_doors(doors: &mut Doors, edge: &Arc<Edge>) {
    for what in ["poll", "post"] {
        let edge = Arc::clone(edge);
        doors.on_question(what, MAX_FOR_OTHERS, move |message| {
            let read = read_message(&edge, message)?;
            let edge = Arc::clone(&edge);
            edge.metrics.poll.for_others.increment();
            Ok(match read {
                ToHome::Poll(poll) => Box::pin(async move { Some(serve_poll(&edge, poll).await) }),
                ToHome::Post(post) => Box::pin(async move { Some(serve_post(&edge, post).await) }),
                ToHome::Who(_) => {
                    edge.metrics.poll.malformed.increment();
                    return Err(unreadable(&BadRelay::Malformed("asked of one node")));
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
                let here = edge.hub.session(&session).map(|_| FromHome::Mine(node));
                let answer: Answering = Box::pin(async move { here.map(|mine| mine.encode()) });
                Ok(answer)
            }
            ToHome::Poll(_) | ToHome::Post(_) => {
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
    let port = match edge.poll_home(&caller) {
        Ok(Some(port)) => port,
        Ok(None) => return FromHome::NotMine.encode(),
        Err(refusal) => return refused(refusal),
    };
    match edge.poll_session(&port, &caller, asks, hold).await {
        Ok(body) => FromHome::Body(port.codec, body).encode(),
        Err(refusal) => refused(refusal),
    }
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
    let port = match edge.poll_home(&caller) {
        Ok(Some(port)) => port,
        Ok(None) => return FromHome::NotMine.encode(),
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
