//! Serves GETs and POSTs at the node of their session, whoever took them from the client.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tengen_protocol::server::{PollRefused, Posted, Standing};
use tengen_protocol::{CloseCode, Codec, NodeId, SessionId, Uid};
use tokio::time::{Instant, timeout_at};

use super::held::HeldPoll;
use super::refusal::Refusal;
use super::request::Asks;
use crate::edge::Edge;
use crate::edge::accept::patience::Patience;
use crate::handlers::connected::Connected;
use crate::hub::port::Port;

/// Who asks for a session.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) session: SessionId,
    pub(super) attempt: u64,
    /// Whom the node that has the request takes the client for.
    pub(super) uid: Option<Uid>,
}

/// Where a session is, as far as this node knows.
pub(super) enum Home {
    Here(Arc<Port>),
    /// Perhaps at this one.
    Elsewhere(Option<NodeId>),
}

/// What a POST brings.
pub(super) struct Brought<F> {
    /// The position of its first item.
    pub(super) first: u64,
    /// What its content type says.
    pub(super) codec: Codec,
    pub(super) body: Bytes,
    /// Makes of the session's hello what the handlers of its items see.
    pub(super) context: F,
}

impl Edge {
    /// The session, if it is the caller's own, or what is known here of where it is.
    pub(super) fn poll_home(&self, caller: &Caller) -> Result<Home, Refusal> {
        let Some(port) = self.hub.session(&caller.session) else {
            return Ok(Home::Elsewhere(None));
        };
        if port.uid != caller.uid {
            // Nothing changes for whoever owns it.
            return Err(Refusal::gone());
        }
        let (standing, owner) =
            port.with(|inner| (inner.session.standing(), inner.session.owner().cloned()));
        Ok(match standing {
            // One that is released is still here until the other node has it.
            Standing::Home | Standing::Frozen => Home::Here(port),
            Standing::Moved => Home::Elsewhere(owner),
            Standing::Arriving => Home::Elsewhere(None),
        })
    }

    /// Answers a GET: at once when something waits, else within `hold`.
    ///
    /// # Errors
    /// [`Refusal`].
    ///
    /// # Cancel safety
    /// May be dropped at any time: what waits stays in line for the client's next GET.
    pub(super) async fn poll_session(
        self: &Arc<Self>,
        port: &Arc<Port>,
        caller: &Caller,
        asks: Asks,
        hold: Duration,
        patience: Option<Patience>,
    ) -> Result<Bytes, Refusal> {
        let now = self.hub.now();
        // The GET before it is woken, and answered.
        let turn = port.change(|session| session.poll(caller.attempt, asks.n, asks.received, now));
        let turn = turn.map_err(|refused| self.refused(port, refused))?;
        HeldPoll::new(self, port, turn, hold, patience).await
    }

    /// Takes what a POST brings, starts its handlers and says how far it was counted; does not wait
    /// for them. Only when there is no room at all for its first item does it wait for some, up to
    /// `hold`.
    ///
    /// # Errors
    /// [`Refusal`]; nothing of it was taken then.
    ///
    /// # Cancel safety
    /// May be dropped at any time; what was counted stays counted.
    pub(super) async fn post_to_session(
        &self,
        port: &Arc<Port>,
        caller: &Caller,
        brought: Brought<impl FnOnce(&Connected) -> Connected>,
        hold: Duration,
    ) -> Result<Bytes, Refusal> {
        let Brought {
            first,
            codec,
            body,
            context,
        } = brought;
        if port.codec != codec {
            return Err(Refusal::codec("the session speaks the other codec"));
        }
        let Some(hello) = port.with(|inner| inner.poll_hello()) else {
            // It has a WebSocket by now.
            return Err(Refusal::superseded());
        };
        let context = Arc::new(context(&hello));
        self.metrics.poll.posts.increment();
        let until = Instant::now() + hold;
        loop {
            let posted = self.post_once(port, caller, first, &body, &context)?;
            let no_room = posted.received < first
                && port.with(|inner| !inner.session.may_read() && !inner.session.is_ending());
            if !no_room || timeout_at(until, room(port)).await.is_err() {
                self.metrics.hub.acks.increment();
                return Ok(posted.answer(codec));
            }
        }
    }

    fn post_once(
        &self,
        port: &Arc<Port>,
        caller: &Caller,
        first: u64,
        body: &Bytes,
        context: &Arc<Connected>,
    ) -> Result<Posted, Refusal> {
        let (now, bounds) = (self.hub.now(), self.hub.bounds());
        let (posted, says) = port.with(|inner| {
            let session = &mut inner.session;
            let posted = session.post(caller.attempt, first, body, context, now, bounds);
            (posted, session.wants_write(now, bounds))
        });
        let posted = posted.map_err(|refused| self.refused(port, refused))?;
        let ended = matches!(&posted.close, Some((code, _)) if *code != CloseCode::SLOW);
        let faults = u64::from(posted.refused) + u64::from(ended);
        self.metrics.edge.faults.add(faults);
        if posted.work {
            (self.start)(port);
        }
        if let Some((_, _, true)) = posted.left {
            self.hub.forget(port);
        }
        if says || posted.left.is_some() || posted.close.is_some() {
            port.wake();
        }
        Ok(posted)
    }

    fn refused(&self, port: &Port, refused: PollRefused) -> Refusal {
        if refused == PollRefused::Lost {
            self.hub
                .end_now(port, CloseCode::SUPERSEDED, "cannot be resumed");
        }
        refused.into()
    }
}

/// Waits until the session's handlers have made room, or something else about it has changed.
async fn room(port: &Port) {
    let mut asked = false;
    std::future::poll_fn(|cx| {
        if asked {
            return Poll::Ready(());
        }
        let Some(older) = port.with(|inner| inner.wait_for_room(cx.waker())) else {
            return Poll::Ready(());
        };
        asked = true;
        if let Some(older) = older {
            older.wake();
        }
        Poll::Pending
    })
    .await;
}
