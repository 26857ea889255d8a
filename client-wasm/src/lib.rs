//! The browser client: JavaScript's face of `tengen_protocol::client::Session` over a browser's WebSocket or fetch.
//!
//! 1. `connect` in `socket` reads the page's `options`, makes a session and a `driver` for it.
//! 2. The driver carries out the session's actions: it opens a connection through `transport`
//!    (`websocket`, or `polling` over `http`; `refusal` finds out why a WebSocket was not accepted), writes frames, calls handlers, settles promises, and sets the one `timer`.
//! 3. `wakeups` tell it when the browser may have slept, so that it looks whether the line still lives.
//! 4. `values` turns JavaScript values into the protocol's and back; `failure` does it for errors.
//!
//! Nothing happens before `connect`: no clock, no listener, no global is touched on import.

mod calls;
mod codec;
mod driver;
mod failure;
mod http;
mod options;
mod polling;
mod refusal;
mod socket;
mod timer;
mod transport;
mod types;
mod values;
mod wakeups;
mod websocket;

pub use codec::{decode, encode};
pub use socket::{Socket, connect};
