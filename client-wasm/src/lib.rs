//! The browser client: JavaScript's face of `tengen_protocol::client::Session` over a browser's WebSocket.

mod codec;
mod values;

pub use codec::{decode, encode};
