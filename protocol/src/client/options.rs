//! How a client is set up: its identity, its bounds, its intervals.

use crate::codec::Codec;
use crate::data::Data;
use crate::ids::ClientId;

/// The longest a promise may wait; a larger `timeout_ms` counts as this (24 h, the server's own limit).
pub const MAX_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;

/// What may carry the connections of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TransportChoice {
    /// A WebSocket where that works, else long-polling, and back as soon as it does.
    #[default]
    Auto,
    /// Only WebSockets.
    Ws,
    /// Only long-polling.
    Poll,
}

impl TransportChoice {
    /// The word for logs and JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            TransportChoice::Auto => "auto",
            TransportChoice::Ws => "ws",
            TransportChoice::Poll => "poll",
        }
    }
}

/// Set-up of a [`Session`](super::Session). Sizes in bytes, times in milliseconds.
#[derive(Clone, Debug)]
pub struct Options {
    pub codec: Codec,
    pub transport: TransportChoice,
    /// This tab or device; random if none.
    pub client: Option<ClientId>,
    /// What handlers shall know about this client; named in every hello.
    pub params: Option<Data>,
    /// Items that wait to be written; a further one is refused with `rate` (256).
    pub queue_items: u64,
    /// Bytes of items that wait to be written (1 MiB).
    pub queue_bytes: usize,
    /// Items written and not acknowledged; further ones wait (4,096).
    pub window_items: u64,
    /// Bytes written and not acknowledged (4 MiB).
    pub window_bytes: usize,
    /// The largest frame, until a hello says otherwise (512 KiB).
    pub max_bytes: usize,
    /// A request's deadline if the caller names none or 0 (30 s).
    pub request_timeout_ms: u64,
    /// From opening to opened (10 s).
    pub connect_timeout_ms: u64,
    /// From our hello to the server's (10 s).
    pub hello_timeout_ms: u64,
    /// Added to the server's `ping_ms` before its silence counts as its end (10 s).
    pub grace_ms: u64,
    /// From opening a WebSocket to its hello, where long-polling may take its place (2.5 s).
    pub fallback_ms: u64,
    /// A WebSocket that broke within this time of its hello speaks against WebSockets, not against
    /// the moment (5 s).
    pub young_ms: u64,
    /// WebSockets that do not work are left alone for so long by new connections (10 min).
    pub downgrade_ms: u64,
    /// From a poll, a WebSocket is tried after up to this (5 s), doubling …
    pub upgrade_base_ms: u64,
    /// … to at most this (5 min).
    pub upgrade_cap_ms: u64,
    /// How long a probe waits for any sign of life (5 s).
    pub probe_ms: u64,
    /// Backoff begins with up to this (500 ms) …
    pub backoff_base_ms: u64,
    /// … and never waits longer than this (20 s).
    pub backoff_cap_ms: u64,
    /// A connection that was open for so long makes the next retry immediate again (10 s).
    pub stable_ms: u64,
    /// Coming back to a node that went away without a word is spread over this (2 s).
    pub spread_ms: u64,
    /// An ack is due after so many items (32) …
    pub ack_items: u64,
    /// … or bytes (64 KiB) …
    pub ack_bytes: usize,
    /// … else within this time (1 s).
    pub ack_after_ms: u64,
    /// A frame larger than this is announced by `[5, bytes]` (64 KiB).
    pub announce_bytes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            codec: Codec::Cbor,
            transport: TransportChoice::Auto,
            client: None,
            params: None,
            queue_items: 256,
            queue_bytes: 1 << 20,
            window_items: 4096,
            window_bytes: 4 << 20,
            max_bytes: 512 << 10,
            request_timeout_ms: 30_000,
            connect_timeout_ms: 10_000,
            hello_timeout_ms: 10_000,
            grace_ms: 10_000,
            fallback_ms: 2_500,
            young_ms: 5_000,
            downgrade_ms: 600_000,
            upgrade_base_ms: 5_000,
            upgrade_cap_ms: 300_000,
            probe_ms: 5_000,
            backoff_base_ms: 500,
            backoff_cap_ms: 20_000,
            stable_ms: 10_000,
            spread_ms: 2_000,
            ack_items: 32,
            ack_bytes: 64 << 10,
            ack_after_ms: 1000,
            announce_bytes: 64 << 10,
        }
    }
}

/// How one event or request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendOptions {
    /// Wait in line while there is no connection (default); else fail at once, unsent.
    pub buffered: bool,
    /// The caller's patience. For a request `None` and 0 mean the default; for an event they mean
    /// no deadline. More than [`MAX_TIMEOUT_MS`] counts as that.
    pub timeout_ms: Option<u64>,
}

impl Default for SendOptions {
    fn default() -> SendOptions {
        SendOptions {
            buffered: true,
            timeout_ms: None,
        }
    }
}
