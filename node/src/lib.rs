//! Tengen's edge: mounts a channel socket on an axum router, holds its clients, and joins them to the cluster.
//!
//! The life of a connection, in reading order:
//!
//! 1. [`server`](crate::Node) makes every part and joins them; [`config`] is where its settings come from.
//! 2. `edge::accept` takes the TCP connection and serves the router over HTTP/1.1.
//! 3. `edge::upgrade` answers `GET /chsk`: subprotocol, `identity` (who is it?), handshake data, 101.
//! 4. `edge::connection` is then the one task of the connection: `edge::decoder` reads, `edge::writer` writes.
//! 5. Its hello finds or begins a session in `hub`, once `interest` is confirmed: what is pushed now is heard.
//! 6. The client's items wait in the session's inbox until `handlers::dispatch` runs them one after another:
//!    `handlers::registry` finds the handler, `handlers::extract` its arguments, `handlers::reply` the way back.
//! 7. What no handler takes goes to a service over the bus: `handlers::service`.
//! 8. A push begins at [`Handle`] or anywhere on the bus; `ingest` takes it from the one push subscription,
//! 9. checks it, finds the user's sessions in `hub`, encodes it once per codec and puts it in their queues;
//! 10. each touched connection is woken once and writes what waits, many frames a syscall.
//!     Who asked whom a push reached gets one answer: `reports`.
//! 11. `hub::sweep` asks each session once a second what time has made due: pings, acks, silence, the end.
//! 12. `kick` and `edge`'s close end it; [`Node::shutdown`] ends them all. `admin` watches from outside.

mod admin;
pub(crate) mod arrival;
pub mod assets;
#[doc(hidden)]
pub mod bench;
mod builder;
pub mod config;
pub(crate) mod debts;
pub(crate) mod edge;
pub(crate) mod forward;
pub(crate) mod handle;
mod handlers;
pub(crate) mod holder;
pub(crate) mod hub;
mod identity;
pub(crate) mod ingest;
pub(crate) mod interest;
pub(crate) mod kick;
pub(crate) mod locate;
pub(crate) mod metrics;
pub(crate) mod moves;
pub(crate) mod online;
pub(crate) mod peers;
pub(crate) mod presence;
pub(crate) mod push;
pub(crate) mod reports;
mod server;
mod shared;
pub(crate) mod spine;
mod telemetry;

pub use builder::{BuildError, NodeBuilder};
pub use handle::{Handle, SendReported, SendTo};
pub use handlers::event::Event;
pub use handlers::extract::{FromEvent, Handshake, Params, Payload};
pub use handlers::registry::{Handler, RegistrationError};
pub use handlers::reply::{Answer, AppError, IntoAnswer, Reply, Unanswered};
pub use identity::cookie::{CookieKey, CookieSettings, CookieTooLarge, SessionCookies, ShortKey};
pub use identity::refused::Refused;
pub use identity::session_map::SessionMap;
pub use identity::{Identity, NewVisitors};
pub use online::watching::Update;
pub use online::{ConnectedUids, Place, UserClients, Watch};
pub use push::{PushError, ReportError};
pub use server::Node;
pub use telemetry::{LogLevel, Telemetry};
pub use tengen_protocol::Transport;
pub use tengen_protocol::presence::who::Client as OnlineClient;
pub use tengen_protocol::presence::{Counts, Diff, Kinds, NotReady};
pub use tengen_protocol::report::Report;
