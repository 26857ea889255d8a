//! A GET that waits for something to tell, at the node of its session.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tengen_protocol::Millis;
use tengen_protocol::server::{POLL_BYTES, PollDue, PollTurn};
use tokio::time::{Instant, Sleep};

use super::refusal::Refusal;
use crate::edge::Edge;
use crate::edge::accept::patience::Patience;
use crate::hub::port::Port;
use crate::metrics::Metrics;

/// The future is the answer's body; empty = nothing to tell within the time it was held.
///
/// Pushes wake it as they wake a WebSocket connection. Dropping it gives the GET up: what waits
/// stays in line for the next one.
pub(super) struct HeldPoll {
    edge: Arc<Edge>,
    port: Arc<Port>,
    turn: PollTurn,
    until: Instant,
    /// For `until`, or before it for the window in which further pushes are waited for.
    alarm: Pin<Box<Sleep>>,
    parked: Option<Parked>,
    /// Of the connection, until it is asked for.
    patience: Option<Patience>,
    answered: bool,
}

/// Counts a GET as held for as long as it lives.
pub(super) struct Parked(Arc<Metrics>);

impl Parked {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Parked {
        metrics.poll.parked.raise();
        Parked(Arc::clone(metrics))
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.0.poll.parked.lower();
    }
}

/// What a look at the session found.
enum Look {
    /// The body; true = with it the session has ended.
    Answer(Vec<u8>, bool),
    /// A later GET of the same connection is the one to answer.
    Replaced,
    /// The session has another connection.
    Superseded,
    Wait(Option<Millis>),
}

impl HeldPoll {
    pub(super) fn new(
        edge: &Arc<Edge>,
        port: &Arc<Port>,
        turn: PollTurn,
        hold: Duration,
        patience: Option<Patience>,
    ) -> HeldPoll {
        let until = Instant::now() + hold;
        HeldPoll {
            edge: Arc::clone(edge),
            port: Arc::clone(port),
            turn,
            until,
            alarm: Box::pin(tokio::time::sleep_until(until)),
            parked: None,
            patience,
            answered: false,
        }
    }

    fn look(&self, cx: &Context<'_>) -> Look {
        let (now, turn) = (self.edge.hub.now(), self.turn);
        let is_over = Instant::now() >= self.until;
        let bounds = self.edge.hub.bounds();
        self.port.with(|inner| {
            let was_current = inner.session.poll_is_current(turn);
            if !is_over {
                match inner.session.poll_due(turn, now, bounds) {
                    PollDue::Now => {}
                    PollDue::Idle => {
                        inner.park_poll(turn, cx.waker(), true);
                        return Look::Wait(None);
                    }
                    PollDue::At(at) => {
                        // Further pushes wake nobody: the window's end takes them all.
                        inner.park_poll(turn, cx.waker(), false);
                        return Look::Wait(Some(at));
                    }
                }
            }
            let (session, mut out) = (&mut inner.session, Vec::new());
            let written = session.poll_write(turn, &mut out, POLL_BYTES, now, bounds);
            if written.acked {
                self.edge.hub.metrics().hub.acks.increment();
            }
            match (was_current, written.close) {
                (true, None) => Look::Answer(out, false),
                (true, Some(_)) => {
                    // The bye is in the answer; nobody speaks for the session after it.
                    if let Some(link) = session.link() {
                        session.detach(link, now);
                    }
                    Look::Answer(out, session.is_over())
                }
                (false, Some(_)) => Look::Superseded,
                (false, None) => Look::Replaced,
            }
        })
    }

    fn finish(&mut self, look: Look) -> Result<Bytes, Refusal> {
        self.answered = true;
        let metrics = &self.edge.metrics.poll;
        match look {
            Look::Superseded => {
                metrics.replaced.increment();
                Err(Refusal::superseded())
            }
            // Whoever still waits for it asks again.
            Look::Replaced | Look::Wait(_) => {
                metrics.replaced.increment();
                Ok(Bytes::new())
            }
            Look::Answer(body, over) => {
                if over {
                    self.edge.hub.forget(&self.port);
                }
                let told = if body.is_empty() {
                    &metrics.empty
                } else {
                    &metrics.answered
                };
                told.increment();
                metrics.sent_bytes.add(body.len() as u64);
                Ok(body.into())
            }
        }
    }
}

impl Future for HeldPoll {
    type Output = Result<Bytes, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let until = self.until;
        loop {
            let alarm = match self.look(cx) {
                Look::Wait(None) => self.until,
                Look::Wait(Some(at)) => {
                    let wait = at - self.edge.hub.now();
                    self.until.min(Instant::now() + wait)
                }
                answer => return Poll::Ready(self.finish(answer)),
            };
            if self.parked.is_none() {
                self.parked = Some(Parked::new(&self.edge.metrics));
            }
            // Not for the window in which further pushes are waited for: that is over soon.
            if let Some(patience) = self.patience.take_if(|_| alarm == until) {
                patience.ask();
            }
            if self.alarm.deadline() != alarm {
                self.alarm.as_mut().reset(alarm);
            }
            // Once it has rung the session is looked at again.
            ready!(self.alarm.as_mut().poll(cx));
        }
    }
}

impl Drop for HeldPoll {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        self.edge.metrics.poll.abandoned.increment();
        let turn = self.turn;
        self.port.with(|inner| inner.leave_poll(turn));
    }
}
