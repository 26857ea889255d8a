//! The native Tengen client over tokio.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use tengen_client::Client;
//!
//! let client = Client::builder("ws://127.0.0.1:8080/chsk").connect().await?;
//! let _greetings = client.on("chat/hello", |event| println!("{:?}", event.to::<String>()));
//! client.send("chat/say", "hi").await?;
//! let sum: u64 = client.request("math/add", &[1, 2]).await?;
//! let login = client.http("/login").method("POST").param("uid", "alice").await?;
//! if login.is_success() {
//!     client.reconnect().await?;
//! }
//! client.close().await;
//! # Ok(()) }
//! ```
//!
//! The life of a client, in reading order:
//!
//! 1. [`Builder`] collects the settings; `spawn` or `connect` starts the one task of the client.
//! 2. The task is the `driver`: it owns `tengen_protocol::client::Session`, which decides
//!    everything, and the connections, which carry frames. It feeds the one with the other.
//! 3. `transport` is what the driver knows of a connection: `transport/websocket`, or
//!    `transport/poll`, whose HTTP is `exchange`. Both go the client's `route`, by plain sockets
//!    or TLS.
//! 4. [`Client`] is a handle: what an application asks goes to the task as a `command`.
//! 5. [`Sending`] and [`Requesting`] wait for what becomes of an item.
//! 6. Events come back through `shared`: to the handlers ([`Registration`]), to the raw stream
//!    ([`Events`]), and the state to its watchers.
//! 7. [`Http`] is for what is not said over the channel socket: logins, large transfers. Its
//!    cookies are the client's.
//! 8. [`Client::close`] ends the task and waits until nothing of the client is left.

mod builder;
mod client;
mod command;
mod cookies;
mod driver;
mod event;
mod exchange;
mod handler;
mod http;
mod outcome;
mod route;
mod shared;
mod socket;
mod stream;
mod transport;

pub use builder::{BuildError, Builder, ConnectError};
pub use client::Client;
pub use event::Event;
pub use handler::Registration;
pub use http::{Http, HttpError, HttpResponse};
pub use outcome::{Pending, PendingReply, Requesting, Sending};
pub use stream::{Events, StreamError, Streamed};
pub use tengen_protocol::{
    ClientId, Codec, Data, ErrorCode, EventId, Refusal, Transport, Uid, Value,
    client::{
        CloseReason, Downgrade, Failure, FailureKind, LastClose, LastError, LastWsClose, Options,
        Source, State, TransportChoice,
    },
};
