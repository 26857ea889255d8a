//! Sending, and waiting for what becomes of it.

use std::{
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use serde::de::DeserializeOwned;
use tengen_protocol::{
    Data, EventId, Refusal,
    client::{Failure, FailureKind, Outcome, SendOptions},
};
use tokio::sync::oneshot;

use crate::{
    client::{Client, closed, unsendable},
    command::Command,
};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is sent, or why it cannot be.
pub(crate) type Item = Result<(EventId, Data), Refusal>;

/// An event about to be sent; made by [`Client::send`].
///
/// Awaiting it sends it and waits until the cluster acknowledged it. Acknowledgements are
/// collected: they come after 32 items or within a second. To send many, [`queue`](Sending::queue)
/// them all and await the results afterwards.
#[derive(Debug)]
#[must_use = "nothing is sent before this is awaited or queued"]
pub struct Sending {
    pub(crate) client: Client,
    pub(crate) item: Item,
    pub(crate) options: SendOptions,
}

impl Sending {
    /// With `false`: fails at once instead of waiting in line while the client is not open.
    pub fn buffered(mut self, buffered: bool) -> Sending {
        self.options.buffered = buffered;
        self
    }

    /// Waits in line at most this long: what was not written by then never is. Without it, or
    /// with zero, it waits as long as it takes; more than a day counts as a day.
    pub fn deadline(mut self, deadline: Duration) -> Sending {
        self.options.timeout_ms = Some(millis(deadline));
        self
    }

    /// Puts the event in line and returns without waiting for its acknowledgement. Events are
    /// handled in the order in which they were put in line.
    ///
    /// # Errors
    /// An id or value that cannot be sent, and a client that has ended.
    ///
    /// # Cancel safety
    /// Dropped before it returns, nothing was sent.
    pub async fn queue(self) -> Result<Pending, Failure> {
        let (client, command, pending) = self.prepare()?;
        client.command(command).await?;
        Ok(pending)
    }

    /// As [`queue`](Sending::queue) without ever waiting, for handlers.
    ///
    /// # Errors
    /// Also `rate` when 64 commands wait for the client's task already.
    pub fn try_queue(self) -> Result<Pending, Failure> {
        let (client, command, pending) = self.prepare()?;
        client.try_command(command)?;
        Ok(pending)
    }

    fn prepare(self) -> Result<(Client, Command, Pending), Failure> {
        let (id, data) = self.item.map_err(unsendable)?;
        let (outcome, receiver) = oneshot::channel();
        let command = Command::Send {
            id,
            data,
            options: self.options,
            outcome,
        };
        Ok((self.client, command, Pending { receiver }))
    }
}

impl IntoFuture for Sending {
    type Output = Result<(), Failure>;
    type IntoFuture = Boxed<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.queue().await?.await })
    }
}

/// An event in line: resolves once, when the cluster acknowledged it or it failed.
///
/// Dropping it changes nothing: the event is sent all the same.
#[derive(Debug)]
pub struct Pending {
    receiver: oneshot::Receiver<Outcome>,
}

impl Future for Pending {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver)
            .poll(context)
            .map(|outcome| settled(outcome).map(drop))
    }
}

/// A request about to be sent; made by [`Client::request`].
///
/// Awaiting it sends it and waits for the reply.
#[derive(Debug)]
#[must_use = "nothing is sent before this is awaited or queued"]
pub struct Requesting<T> {
    pub(crate) client: Client,
    pub(crate) item: Item,
    pub(crate) options: SendOptions,
    pub(crate) reply: PhantomData<fn() -> T>,
}

impl<T> Requesting<T> {
    /// Waits this long for the reply, counted from the call that sends. Zero counts as not said
    /// (30 s), more than a day as a day.
    pub fn timeout(mut self, timeout: Duration) -> Requesting<T> {
        self.options.timeout_ms = Some(millis(timeout));
        self
    }

    /// With `false`: fails at once instead of waiting in line while the client is not open.
    pub fn buffered(mut self, buffered: bool) -> Requesting<T> {
        self.options.buffered = buffered;
        self
    }

    /// Puts the request in line and returns without waiting for its reply.
    ///
    /// # Errors
    /// An id or value that cannot be sent, and a client that has ended.
    ///
    /// # Cancel safety
    /// Dropped before it returns, nothing was sent.
    pub async fn queue(self) -> Result<PendingReply<T>, Failure> {
        let (id, data) = self.item.map_err(unsendable)?;
        let (outcome, receiver) = oneshot::channel();
        let command = Command::Request {
            id,
            data,
            options: self.options,
            outcome,
        };
        self.client.command(command).await?;
        Ok(PendingReply {
            receiver,
            reply: PhantomData,
        })
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for Requesting<T> {
    type Output = Result<T, Failure>;
    type IntoFuture = Boxed<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.queue().await?.await })
    }
}

/// A request in line: resolves once, with the reply or why there is none.
#[derive(Debug)]
pub struct PendingReply<T> {
    receiver: oneshot::Receiver<Outcome>,
    reply: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Future for PendingReply<T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(context).map(|outcome| {
            settled(outcome)?.to().map_err(|refusal| Failure {
                kind: FailureKind::Error,
                sent: true,
                refusal: Some(refusal),
            })
        })
    }
}

/// Whole milliseconds; a part of one is a whole one, so that it does not count as "not said".
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn settled(outcome: Result<Outcome, oneshot::error::RecvError>) -> Outcome {
    // The driver resolves everything it was given; a missing answer means that it died midway.
    outcome.unwrap_or_else(|_| Err(closed(true)))
}
