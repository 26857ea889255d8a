//! The handle that applications hold: send, request, handlers, state, connecting and ending.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    sync::{Arc, Weak},
};

use serde::Serialize;
use tengen_protocol::{
    Codec, Data, ErrorCode, EventId, Refusal,
    client::{Failure, FailureKind, Pattern, SendOptions, State},
};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};

use crate::{
    builder::{BuildError, Builder},
    command::Command,
    event::Event,
    handler::{Handler, Registration},
    http::Http,
    outcome::{Item, Requesting, Sending},
    shared::Shared,
    stream::Events,
};

/// One channel socket: a client of a Tengen cluster, over any number of connections.
///
/// Clones are handles of the same client. It ends, with everything that belongs to it, by
/// [`close`](Client::close), or when the last handle is dropped. A handler that keeps a handle
/// keeps the client alive: handlers use [`Event::client`] instead.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

impl Client {
    /// Begins to describe a client of the cluster behind `url` (`ws://host:port/chsk`).
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url.into())
    }

    pub(crate) fn new(commands: mpsc::Sender<Command>, shared: Arc<Shared>) -> Client {
        Client {
            inner: Arc::new(Inner { commands, shared }),
        }
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub(crate) fn upgrade(inner: &Weak<Inner>) -> Option<Client> {
        inner.upgrade().map(|inner| Client { inner })
    }

    /// The codec of this client's frames.
    pub fn codec(&self) -> Codec {
        self.inner.shared.codec
    }

    /// Prepares an event. Nothing is sent before the result is awaited or
    /// [queued](Sending::queue).
    pub fn send<T: Serialize + ?Sized>(&self, id: &str, data: &T) -> Sending {
        self.sending(item(id, Data::from(self.codec(), data)))
    }

    /// The same for a value that is encoded already, in either codec.
    pub fn send_data(&self, id: &str, data: &Data) -> Sending {
        self.sending(item(id, data.transcode(self.codec())))
    }

    fn sending(&self, item: Item) -> Sending {
        Sending {
            client: self.clone(),
            item,
            options: SendOptions::default(),
        }
    }

    /// Prepares a request whose reply is an `R`. Nothing is sent before the result is awaited or
    /// [queued](Requesting::queue).
    pub fn request<R>(&self, id: &str, data: &(impl Serialize + ?Sized)) -> Requesting<R> {
        self.requesting(item(id, Data::from(self.codec(), data)))
    }

    /// The same for a value that is encoded already, in either codec.
    pub fn request_data<R>(&self, id: &str, data: &Data) -> Requesting<R> {
        self.requesting(item(id, data.transcode(self.codec())))
    }

    fn requesting<R>(&self, item: Item) -> Requesting<R> {
        Requesting {
            client: self.clone(),
            item,
            options: SendOptions::default(),
            reply: PhantomData,
        }
    }

    /// Calls `handler` with every event that `pattern` names: `ns/name`, or `ns/*` for what no
    /// handler took by its name. Ends when the registration is dropped.
    ///
    /// Handlers run on the client's own task, one event after another, and must not block or
    /// wait: see [`on_async`](Client::on_async). One that panics is logged and harms nobody.
    /// Events that came before the first handler are kept, up to a bound, and given to it.
    ///
    /// # Panics
    /// If `pattern` is neither form: it is a part of the program, like a route.
    pub fn on(
        &self,
        pattern: &str,
        handler: impl Fn(Event) + Send + Sync + 'static,
    ) -> Registration {
        self.inner
            .shared
            .attach(known(pattern), Handler::new(handler), &self.inner.commands)
    }

    /// Calls `handler` with every event that no other handler takes.
    pub fn on_any(&self, handler: impl Fn(Event) + Send + Sync + 'static) -> Registration {
        self.inner
            .shared
            .attach(Pattern::Any, Handler::new(handler), &self.inner.commands)
    }

    /// Like [`on`](Client::on) for a handler that waits. Its events are handled one after another
    /// on a task of their own: a handler that hangs stops nothing but itself.
    ///
    /// At most 1,024 events wait for it. One more is dropped, and the handler gets a `chsk/gap`
    /// in its place. The task ends with the registration or the client, also in the middle of an
    /// event.
    ///
    /// # Panics
    /// As `on`; also outside a tokio runtime.
    pub fn on_async<F>(
        &self,
        pattern: &str,
        handler: impl Fn(Event) -> F + Send + Sync + 'static,
    ) -> Registration
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let handler = Handler::spawn(handler, &self.inner.shared);
        self.inner
            .shared
            .attach(known(pattern), handler, &self.inner.commands)
    }

    /// The raw stream of everything that handlers see, from now on, with the source of each item.
    pub fn events(&self) -> Events {
        self.inner.shared.events()
    }

    /// Puts an event of the application's own into the stream, as if it had been pushed, with the
    /// source *injected*.
    ///
    /// # Errors
    /// An id or value that cannot be an event, and a client that has ended.
    pub async fn inject<T: Serialize + ?Sized>(&self, id: &str, data: &T) -> Result<(), Failure> {
        let (id, data) = item(id, Data::from(self.codec(), data)).map_err(unsendable)?;
        self.command(Command::Inject { id, data }).await
    }

    /// What is known about the connection, and every change of it. A watcher that comes late sees
    /// the current state first.
    pub fn state(&self) -> watch::Receiver<Arc<State>> {
        self.inner.shared.state.subscribe()
    }

    pub(crate) fn idle(&self) -> watch::Receiver<bool> {
        self.inner.shared.idle.subscribe()
    }

    /// Closes the connection, gives the session up and stays away until
    /// [`connect`](Client::connect). Everything unresolved ends as closed.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn disconnect(&self) -> Result<(), Failure> {
        self.command(Command::Disconnect).await
    }

    /// Connects again after a [`disconnect`](Client::disconnect) or a refusal.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn connect(&self) -> Result<(), Failure> {
        self.command(Command::Connect).await
    }

    /// Closes the connection and opens a new one at once: after a login, for one. The session goes
    /// on if the cluster still takes the client for the same user.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn reconnect(&self) -> Result<(), Failure> {
        self.command(Command::Reconnect).await
    }

    /// Test aid: breaks the connection. With `close_socket` its sockets are dropped without a
    /// goodbye; without it they stay open and go silent in both directions.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn break_connection(&self, close_socket: bool) -> Result<(), Failure> {
        self.command(Command::Break { close_socket }).await
    }

    /// Test aid: from now on this share of writes, 0 to 1, breaks the connection instead. What
    /// leaves together, as the line does after a reconnect, counts as one.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn set_bad_connection_rate(&self, rate: f64) -> Result<(), Failure> {
        let rate = rate.clamp(0.0, 1.0);
        self.command(Command::BadConnection { rate }).await
    }

    /// Prepares an HTTP request to the same server, with the client's headers and cookies, beside
    /// the channel socket: a login, a large transfer. `path` is absolute (`/login`), or relative to
    /// the channel socket's.
    pub fn http(&self, path: &str) -> Http {
        Http::new(Arc::clone(&self.inner.shared), path)
    }

    /// Changes a header that goes with every later request. A WebSocket that is open stays what
    /// it is until [`reconnect`](Client::reconnect); a client that polls speaks under the new
    /// header from its next request on. Another `cookie` replaces all cookies, also those that the
    /// server has set.
    ///
    /// # Errors
    /// A name or value that no header can have.
    pub fn set_header(&self, name: &str, value: &str) -> Result<(), BuildError> {
        let name =
            HeaderName::try_from(name).map_err(|error| BuildError::Setting(error.to_string()))?;
        let value =
            HeaderValue::try_from(value).map_err(|error| BuildError::Setting(error.to_string()))?;
        self.inner.shared.set_header(name, value);
        Ok(())
    }

    /// Ends the client: says goodbye, resolves what is unresolved as closed, and returns when no
    /// task, timer or socket of it is left. Takes at most some two seconds, for a server that does
    /// not answer the goodbye.
    ///
    /// # Cancel safety
    /// Dropped midway, the client ends all the same.
    pub async fn close(self) {
        let shared = self.inner.shared.clone();
        drop(self);
        shared.closing.cancel();
        shared.tasks.close();
        shared.tasks.wait().await;
    }

    pub(crate) async fn command(&self, command: Command) -> Result<(), Failure> {
        self.inner
            .commands
            .send(command)
            .await
            .map_err(|_| closed(false))
    }

    pub(crate) fn try_command(&self, command: Command) -> Result<(), Failure> {
        self.inner
            .commands
            .try_send(command)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    unsendable(Refusal::new(ErrorCode::RATE, "too many commands wait"))
                }
                mpsc::error::TrySendError::Closed(_) => closed(false),
            })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.shared.state.borrow();
        f.debug_struct("Client")
            .field("open", &state.open)
            .field("uid", &state.uid)
            .finish_non_exhaustive()
    }
}

fn item(id: &str, data: Result<Data, Refusal>) -> Item {
    Ok((EventId::parse(id)?.unreserved()?, data?))
}

fn known(pattern: &str) -> Pattern {
    match Pattern::parse(pattern) {
        Ok(pattern) => pattern,
        Err(refusal) => panic!("{pattern:?} is no pattern of events: {}", refusal.message),
    }
}

/// Nothing was written: the item itself is wrong.
pub(crate) fn unsendable(refusal: Refusal) -> Failure {
    Failure {
        kind: FailureKind::Error,
        sent: false,
        refusal: Some(refusal),
    }
}

/// The client has ended.
pub(crate) fn closed(sent: bool) -> Failure {
    Failure {
        kind: FailureKind::Closed,
        sent,
        refusal: None,
    }
}
