//! Poll requests for a session of another node: passed on over the bus to whoever has it.

pub(super) mod pieces;
pub(crate) mod serving;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use tengen_protocol::relay::{FromHome, RelayedPoll, RelayedPost, ToHome};
use tengen_protocol::{Codec, ErrorCode, NodeId};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::SEVERAL;
use super::held::Parked;
use super::home::Caller;
use super::refusal::Refusal;
use super::request::Asks;
use crate::edge::Edge;
use crate::edge::upgrade::peer;
use crate::locate::Locate;
use crate::metrics::Metrics;
use crate::peers::{Peers, Unanswered};

/// How long the home holds a GET for another node in one go. A home that dies meanwhile is noticed
/// after this and [`LATE`], whatever the poll timeout.
const LEG: Duration = Duration::from_secs(2);
/// How much longer than it should an answer may take.
const LATE: Duration = Duration::from_secs(1);
/// How long "who has this session?" is waited for.
const WHO: Duration = Duration::from_secs(1);
/// Such questions under way at once. They go to every node, and anybody may name a session.
const MAX_ASKING: usize = 256;
/// Nodes asked for one request at most, this one included: a session may have moved meanwhile, but
/// not for ever.
const MAX_ASKED: usize = 6;

/// The asking half.
pub(crate) struct Relay {
    peers: Peers,
    node: NodeId,
    locate: Locate,
    asking: Semaphore,
    metrics: Arc<Metrics>,
}

/// What is asked of the home, and for how long its answer is waited for.
struct Question {
    what: &'static str,
    message: Bytes,
    limit: Duration,
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

    /// The most that one message to another node can carry, in bytes.
    pub(super) fn max_payload(&self) -> usize {
        self.peers.max_payload()
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Passes a GET on, again and again until the home has something to tell or `hold` is over.
    ///
    /// # Errors
    /// [`Refusal`]: the home's, 410 if there is none, 503 if it or the bus does not answer.
    ///
    /// # Cancel safety
    /// May be dropped at any time. The home may go on holding it for up to 2 s, and answer nobody:
    /// what it tells stays in line until the client has acknowledged it.
    pub(super) async fn poll(
        &self,
        edge: &Edge,
        caller: &Caller,
        hint: Option<NodeId>,
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
            let question = Question {
                what: "poll",
                message: message.encode(),
                limit: leg + LATE,
            };
            let asked = self.ask(edge, caller, hint.clone(), question);
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
        hint: Option<NodeId>,
        message: Bytes,
    ) -> Result<Bytes, Refusal> {
        self.metrics.poll.relayed_posts.increment();
        let question = Question {
            what: "post",
            message,
            limit: LEG + LATE,
        };
        let asked = self.ask(edge, caller, hint, question);
        asked.await.map(|(_, body)| body)
    }

    /// Asks whoever may be the home, the likeliest first, until one is.
    async fn ask(
        &self,
        edge: &Edge,
        caller: &Caller,
        hint: Option<NodeId>,
        question: Question,
    ) -> Result<(Codec, Bytes), Refusal> {
        let session = &caller.session;
        let remembered = self.locate.remembered(session, edge.hub.now());
        let mut next = VecDeque::from_iter(hint.into_iter().chain(remembered));
        next.push_back(session.node());
        let mut asked = vec![self.node.clone()];
        let mut asked_all = false;
        loop {
            let Some(node) = next.pop_front() else {
                if std::mem::replace(&mut asked_all, true) {
                    return Err(Refusal::gone());
                }
                self.locate.lost(session);
                next.extend(self.who(caller).await?);
                continue;
            };
            if asked.contains(&node) || asked.len() > MAX_ASKED {
                continue;
            }
            match self.ask_node(&node, &question).await? {
                Some(FromHome::Mine(other)) => next.push_front(other),
                Some(FromHome::Begun {
                    codec,
                    id,
                    total,
                    piece,
                }) => {
                    self.locate.found(session, &node, edge.hub.now());
                    // A body of several items has its bound, and a single one is at most so much
                    // larger than in the codec in which it was let in.
                    let most = edge.hub.bounds().limits.max_bytes.saturating_mul(8) + SEVERAL;
                    if total > most as u64 {
                        return Err(Refusal::bus_down("the session's node answered oddly"));
                    }
                    let body = self.rest(&node, id, total, piece).await?;
                    return Ok((codec, body));
                }
                Some(answer) => {
                    self.locate.found(session, &node, edge.hub.now());
                    return read(answer);
                }
                None => {}
            }
            asked.push(node);
        }
    }

    /// `None`: it is not there, or there is no such node.
    async fn ask_node(
        &self,
        node: &NodeId,
        question: &Question,
    ) -> Result<Option<FromHome>, Refusal> {
        let (message, limit) = (question.message.clone(), question.limit);
        let answer = match self.peers.ask(node, question.what, message, limit).await {
            Ok(bytes) => FromHome::decode(&bytes),
            Err(Unanswered::Nobody) => return Ok(None),
            Err(error) => return Err(self.failed(&error)),
        };
        match answer {
            Ok(FromHome::NotMine) => Ok(None),
            Ok(answer) => Ok(Some(answer)),
            Err(bad) => {
                self.metrics.poll.count_bad(&bad);
                Err(Refusal::bus_down("the session's node gave no answer"))
            }
        }
    }

    /// Fetches what follows the first piece of a body.
    async fn rest(
        &self,
        home: &NodeId,
        id: u128,
        total: u64,
        piece: Bytes,
    ) -> Result<Bytes, Refusal> {
        let mut body = BytesMut::from(&piece[..]);
        while (body.len() as u64) < total {
            let from = body.len() as u64;
            let question = Question {
                what: "poll",
                message: ToHome::Rest { id, from }.encode(),
                limit: LATE,
            };
            match self.ask_node(home, &question).await? {
                Some(FromHome::Piece(piece)) if !piece.is_empty() => {
                    body.extend_from_slice(&piece);
                }
                _ => return Err(Refusal::bus_down("the session's node answered oddly")),
            }
        }
        Ok(body.freeze())
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
        FromHome::NotMine | FromHome::Mine(_) | FromHome::Begun { .. } | FromHome::Piece(_) => {
            Err(Refusal::bus_down("the session's node answered oddly"))
        }
    }
}

/// A POST as it is passed on.
pub(super) fn relayed(
    caller: &Caller,
    first: u64,
    codec: Codec,
    parts: &Parts,
    body: Bytes,
) -> Bytes {
    let headers = parts.headers.iter();
    let headers = headers
        .map(|(name, value)| {
            let value = Bytes::copy_from_slice(value.as_bytes());
            (name.as_str().to_owned(), value)
        })
        .collect();
    ToHome::Post(RelayedPost {
        session: caller.session.clone(),
        uid: caller.uid.clone(),
        attempt: caller.attempt,
        first,
        codec,
        peer: peer(parts),
        uri: parts.uri.to_string(),
        headers,
        body,
    })
    .encode()
}
