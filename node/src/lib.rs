//! Tengen's edge: mounts a channel socket on an axum router, holds its clients, and joins them to the cluster.

#[doc(hidden)]
pub mod bench;
pub mod config;
pub(crate) mod edge;
pub(crate) mod handle;
mod handlers;
pub(crate) mod hub;
mod identity;
pub(crate) mod ingest;
pub(crate) mod interest;
pub(crate) mod kick;
pub(crate) mod metrics;
pub(crate) mod push;
pub(crate) mod spine;

pub use handle::{Handle, SendTo};
pub use handlers::connected::Transport;
pub use handlers::event::Event;
pub use handlers::extract::{FromEvent, Handshake, Params, Payload};
pub use handlers::registry::{Handler, RegistrationError};
pub use handlers::reply::{Answer, AppError, IntoAnswer, Reply, Unanswered};
pub use identity::cookie::{CookieKey, CookieSettings, CookieTooLarge, SessionCookies, ShortKey};
pub use identity::refused::Refused;
pub use identity::session_map::SessionMap;
pub use identity::{Identity, NewVisitors};
pub use push::PushError;
