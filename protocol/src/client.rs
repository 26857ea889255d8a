//! The client's half of the conversation: connect, hello, keep-alive, backoff, queue, acks, resume, outcomes; events in, actions out.

mod action;
mod backoff;
mod clock;
mod connection;
mod fallback;
mod greeting;
mod inbound;
mod loss;
mod options;
mod outbox;
pub mod poll;
mod random;
mod router;
mod state;

use crate::ids::{ClientId, SessionId, Uid};
use crate::millis::Millis;
use crate::out_queue::OutQueue;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use action::{Action, Event, Failure, FailureKind, Outcome, Source, Token, TransportClose};
pub use options::{MAX_TIMEOUT_MS, Options, SendOptions, TransportChoice};
pub use router::{Pattern, RouteId, Routed, Router};
pub use state::{CloseReason, Downgrade, LastClose, LastError, LastWsClose, State};

use backoff::Backoff;
use connection::Connection;
use fallback::Fallback;
use outbox::{Outgoing, Pending};
use random::Random;

/// One client, from its first connect to its end, over any number of connections and sessions.
///
/// A pure value: it never reads a clock, opens a socket or draws a random number it was not
/// seeded with. After any call the driver carries out [`Session::poll`]'s actions until there is
/// none, and calls [`Session::tick`] at [`Session::next_timeout`]. Every token that `send` or
/// `request` gave out comes back in exactly one [`Action::Resolved`].
#[derive(Debug)]
pub struct Session {
    options: Options,
    random: Random,
    client: ClientId,
    state: Arc<State>,
    actions: VecDeque<Action>,

    /// The application wants a connection.
    wanted: bool,
    /// `connect` has been called; before, items wait for it.
    started: bool,
    /// `end` has been called.
    ended: bool,
    current: Option<Connection>,
    /// The connection that a move opens beside the current one.
    moving: Option<Connection>,
    /// The connection that a move has left; closed when its successor is greeted.
    leaving: Option<u64>,
    connections: u64,
    attempt: u64,
    backoff: Backoff,
    retry_at: Option<Millis>,
    move_at: Option<Millis>,
    fallback: Fallback,

    session: Option<SessionId>,
    /// Who the last hello said we are; `None` before the first.
    uid: Option<Option<Uid>>,
    /// A session was parted from: the next hello, which names none, is followed by a gap.
    gap_owed: Option<&'static str>,
    /// Items of the server counted in this session.
    received: u64,
    /// What the server was last told of `received`.
    told: u64,
    untold_bytes: usize,
    untold_since: Millis,
    out: OutQueue<Outgoing>,
    /// Weight of the items written and not yet acknowledged.
    inflight_bytes: usize,

    tokens: u64,
    refs: u32,
    /// Requests without an outcome, by ref.
    pending: BTreeMap<u32, Pending>,
    /// Every deadline, with the ref if it is a request's.
    deadlines: BTreeMap<(Millis, Token), Option<u32>>,
    bad_connection_rate: f64,
}

impl Session {
    /// A client that has not connected yet. `seed` decides every jitter, and the client id if
    /// `options` has none: draw it from the system's randomness, except in tests.
    pub fn new(options: Options, seed: u64) -> Session {
        let mut random = Random::new(seed);
        let client = options.client.clone().unwrap_or_else(|| random.client_id());
        let backoff = Backoff::new(options.backoff_base_ms, options.backoff_cap_ms);
        Session {
            options,
            random,
            client,
            state: Arc::new(State::default()),
            actions: VecDeque::new(),
            wanted: false,
            started: false,
            ended: false,
            current: None,
            moving: None,
            leaving: None,
            connections: 0,
            attempt: 0,
            backoff,
            retry_at: None,
            move_at: None,
            fallback: Fallback::default(),
            session: None,
            uid: None,
            gap_owed: None,
            received: 0,
            told: 0,
            untold_bytes: 0,
            untold_since: Millis(0),
            out: OutQueue::new(),
            inflight_bytes: 0,
            tokens: 0,
            refs: 0,
            pending: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            bad_connection_rate: 0.0,
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What the application may know, as of now.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// This client's id; it changes when another connection took its session over.
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// Items of the server counted in this session; what a poll names as `received`.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Items and requests that have no outcome yet.
    pub fn unresolved(&mut self) -> usize {
        let events = self
            .out
            .iter_mut()
            .filter(|item| item.token.is_some())
            .count();
        events + self.pending.len()
    }

    /// Nothing is connected, wanted, or left to carry out.
    pub fn is_idle(&self) -> bool {
        !self.wanted && self.current.is_none() && self.moving.is_none() && self.actions.is_empty()
    }

    /// Changes the state, tells of it once, and says nothing if it is the same.
    fn update(&mut self, change: impl FnOnce(&mut State)) {
        let mut new = State::clone(&self.state);
        new.first_open = false;
        change(&mut new);
        if new == *self.state {
            return;
        }
        let new = Arc::new(new);
        let old = std::mem::replace(&mut self.state, Arc::clone(&new));
        let data = State::change(self.options.codec, &old, &new);
        self.actions.push_back(Action::State { old, new });
        self.library_event(crate::ids::EventId::STATE, &data);
    }
}

#[cfg(test)]
mod tests;
