//! Every bound and interval of the server half, shared by reference among all sessions of a node.

use crate::limits::Limits;

/// Bounds and intervals of [`Session`](super::Session). Sizes in bytes, times in milliseconds.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Waiting + retained items of one session; above it the client is a slow consumer and the session ends (2 MiB).
    pub max_queue_bytes: usize,
    /// Inbound items that wait for their handler; at this count the driver stops reading (256).
    pub inbox_items: usize,
    /// Bytes of inbound items that wait for their handler; at this size the driver stops reading (1 MiB).
    pub inbox_bytes: usize,
    /// Requests without an answer; a further one is refused with `rate` (4,096).
    pub max_outstanding: usize,
    /// An ack is due after so many items (32) …
    pub ack_items: u64,
    /// … or so many bytes (64 KiB) …
    pub ack_bytes: usize,
    /// … else within this time; the first item after such a pause is acknowledged at once (1 s).
    pub ack_after_ms: u64,
    /// Refused frames within `error_window_ms` before the connection closes with 4506 (16).
    pub max_errors: u16,
    /// The window in which refused frames are counted (60 s).
    pub error_window_ms: u64,
    /// A connection to which nothing was written for so long gets a ping. Keep below the idle
    /// timeout of every proxy in front (nginx 60 s, Heroku 55 s) (15 s).
    pub ping_ms: u64,
    /// A connection from which no byte came for so long is dead (35 s).
    pub quiet_ms: u64,
    /// Pushes that come in a row while a GET waits leave in one answer if they come within this
    /// time of the first (10 ms).
    pub batch_poll_ms: u64,
    /// A frame larger than this is announced by `[5, bytes]`, so that the other end is patient (64 KiB).
    pub announce_bytes: usize,
    /// What a request's `timeout_ms` of 0 means (30 s).
    pub default_timeout_ms: u64,
    /// A larger `timeout_ms` counts as this (24 h).
    pub max_timeout_ms: u64,
    /// The handler of an event is over after this (30 s): for so long its session's next items
    /// wait on another node, if that one hears nothing of it.
    pub handler_timeout_ms: u64,
    /// Limits of a single frame.
    pub limits: Limits,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            max_queue_bytes: 2 << 20,
            inbox_items: 256,
            inbox_bytes: 1 << 20,
            max_outstanding: 4096,
            ack_items: 32,
            ack_bytes: 64 << 10,
            ack_after_ms: 1000,
            max_errors: 16,
            error_window_ms: 60_000,
            ping_ms: 15_000,
            quiet_ms: 35_000,
            batch_poll_ms: 10,
            announce_bytes: 64 << 10,
            default_timeout_ms: 30_000,
            max_timeout_ms: 24 * 60 * 60 * 1000,
            handler_timeout_ms: 30_000,
            limits: Limits::default(),
        }
    }
}
