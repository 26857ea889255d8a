//! What an application does with a running node: push to users, kick them; who is online it asks in `online::asking`.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tengen_bus::push::{Filter, Push, Target};
use tengen_protocol::report::Report;
use tengen_protocol::{Codec, RawEvent, Refusal, Uid};

use crate::online::Online;
use crate::push::{self, PushError, Pusher, ReportError};

/// A node's face for the application. Cheap to clone, usable from any task.
#[derive(Clone)]
pub struct Handle {
    pusher: Arc<Pusher>,
    pub(crate) online: Arc<Online>,
}

impl Handle {
    pub(crate) fn new(pusher: Arc<Pusher>, online: Arc<Online>) -> Self {
        Self { pusher, online }
    }

    /// Pushes `["namespace/name", data]` to every client of `uid`, on all nodes.
    ///
    /// Does nothing before it is awaited; resolves once the bus has accepted the push, which says
    /// nothing about who receives it. Pushes of one handle (and of its clones) that are awaited
    /// one after another arrive in that order, those to all included.
    ///
    /// ```no_run
    /// # async fn example(handle: tengen_node::Handle) -> Result<(), tengen_node::PushError> {
    /// handle.send_to_uid("alice", "chat/message", "hello").await?;
    /// handle.send_to_uid("alice", "chat/typing", &true).except("phone").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`PushError`] when awaited; nobody receives the push then.
    pub fn send_to_uid<T: Serialize + ?Sized>(
        &self,
        uid: impl AsRef<str>,
        id: &str,
        data: &T,
    ) -> SendTo<'_> {
        self.prepare(Uid::parse(uid.as_ref()).map(Target::Uid), || {
            self.pusher.encode(id, data)
        })
    }

    /// The same to every client of everybody, with and without a uid.
    ///
    /// # Errors
    /// [`PushError`] when awaited.
    pub fn send_to_all<T: Serialize + ?Sized>(&self, id: &str, data: &T) -> SendTo<'_> {
        self.prepare(Ok(Target::All), || self.pusher.encode(id, data))
    }

    /// The same to every client without a uid.
    ///
    /// # Errors
    /// [`PushError`] when awaited.
    pub fn send_to_anonymous<T: Serialize + ?Sized>(&self, id: &str, data: &T) -> SendTo<'_> {
        self.prepare(Ok(Target::Anonymous), || self.pusher.encode(id, data))
    }

    /// Pushes an event that is already encoded, `["namespace/name", data]` as one value.
    ///
    /// # Errors
    /// [`PushError`] when awaited.
    pub fn send_encoded(&self, target: Target, codec: Codec, event: Bytes) -> SendTo<'_> {
        self.prepare(Ok(target), || self.pusher.check(codec, event))
    }

    /// Pushes what was put together elsewhere; its event must have been checked.
    pub(crate) async fn push(&self, push: &Push) -> Result<(), PushError> {
        self.pusher.push(push).await
    }

    /// The same, and says whom it reached.
    pub(crate) async fn push_reported(&self, push: &Push) -> Result<Report, ReportError> {
        self.pusher.push_reported(push).await
    }

    /// Ends all sessions of `uid` on all nodes with close code 4504, after what was pushed to
    /// them before. They may log in again at once.
    ///
    /// # Errors
    /// [`PushError`]; then nobody was kicked.
    pub async fn kick(&self, uid: impl AsRef<str>, reason: &str) -> Result<(), PushError> {
        let uid = Uid::parse(uid.as_ref())?;
        self.pusher.kick(&uid, reason).await
    }

    fn prepare(
        &self,
        target: Result<Target, Refusal>,
        event: impl FnOnce() -> Result<RawEvent, Refusal>,
    ) -> SendTo<'_> {
        let push = target.and_then(|target| event().map(|event| push::to(target, &event)));
        SendTo {
            pusher: &self.pusher,
            push,
        }
    }
}

/// A push that is ready to go: narrow it, then `.await` it.
#[must_use = "a push does nothing until it is awaited"]
pub struct SendTo<'a> {
    pusher: &'a Pusher,
    push: Result<Push, Refusal>,
}

impl<'a> SendTo<'a> {
    /// Only to this client of those addressed.
    pub fn only(self, client: impl AsRef<str>) -> Self {
        self.filter(client.as_ref(), Filter::Only)
    }

    /// To all of those addressed but this client.
    pub fn except(self, client: impl AsRef<str>) -> Self {
        self.filter(client.as_ref(), Filter::Except)
    }

    /// Names the push: another one with the same name to the same address within 10 s is dropped.
    pub fn id(mut self, id: &str) -> Self {
        if let Ok(push) = &mut self.push {
            push.id = push::message_id(id);
        }
        self
    }

    /// Lets it leave at once, and what stands before it: no batching window of a node
    /// (`ws_window`, `poll_window`) holds it back.
    pub fn flush(mut self) -> Self {
        if let Ok(push) = &mut self.push {
            push.flush = true;
        }
        self
    }

    /// Asks whom it reaches: awaited, it gives the [`Report`] instead of nothing. That takes as long
    /// as the nodes that have the user need to count, a few milliseconds, and at most 300 when one
    /// of them is silent, or 800 when that is the one that was to answer; for a user who is nowhere 50.
    /// After 2 s it is [`ReportError::Silent`]. A plain push pays nothing for it; this one costs a
    /// small message per such node, one for the answer, and one to the node that stands by.
    ///
    /// ```no_run
    /// # async fn example(handle: tengen_node::Handle) -> Result<(), tengen_node::ReportError> {
    /// let report = handle.send_to_uid("alice", "chat/message", "hello").report().await?;
    /// if report.clients == 0 && report.missing == 0 {
    ///     // Nobody there: send a mail.
    /// }
    /// # Ok(()) }
    /// ```
    pub fn report(self) -> SendReported<'a> {
        SendReported(self)
    }

    /// Hands the push over without waiting for the bus: a loop of these travels as one batch and
    /// arrives in few socket writes. In order with the pushes that are awaited.
    ///
    /// # Errors
    /// [`PushError`]; nobody receives the push then. What goes wrong later, the bus breaking down
    /// in the next moment, is told to the clients as a gap and to the caller no more.
    pub fn try_send(self) -> Result<(), PushError> {
        self.pusher.try_push(&self.push?)
    }

    fn filter(
        mut self,
        client: &str,
        filter: impl FnOnce(tengen_protocol::ClientId) -> Filter,
    ) -> Self {
        self.push = self.push.and_then(|mut push| {
            push.filter = filter(push::client(client)?);
            Ok(push)
        });
        self
    }
}

impl<'a> IntoFuture for SendTo<'a> {
    type Output = Result<(), PushError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.pusher.push(&self.push?).await })
    }
}

/// A push that wants to know whom it reached: `.await` it.
#[must_use = "a push does nothing until it is awaited"]
pub struct SendReported<'a>(SendTo<'a>);

impl<'a> IntoFuture for SendReported<'a> {
    type Output = Result<Report, ReportError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let SendTo { pusher, push } = self.0;
            let push = push.map_err(PushError::Refused)?;
            pusher.push_reported(&push).await
        })
    }
}
