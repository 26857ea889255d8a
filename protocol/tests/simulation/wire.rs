//! One WebSocket between a tab and a node: each direction in order, late, and mortal.

use super::chance::Chance;
use bytes::Bytes;
use std::collections::VecDeque;
use tengen_protocol::server::Link;
use tengen_protocol::{Codec, SessionId, Transport, Uid};

pub(crate) struct Wire {
    /// The tab and the number by which it knows this connection; `None` is a stranger's.
    pub(crate) tab: Option<(usize, u64)>,
    /// Which life of which node.
    pub(crate) node: (usize, u32),
    /// Whose credentials the connection was opened with.
    pub(crate) uid: Option<Uid>,
    /// It is no WebSocket, but a hello by POST, which this answers.
    pub(crate) http: Option<u64>,
    pub(crate) codec: Codec,
    pub(crate) home: Option<(SessionId, Link)>,
    /// Its hello has been heard.
    pub(crate) greeting: bool,
    /// Swallows everything; nobody is told.
    pub(crate) dark: bool,
    pub(crate) client_done: bool,
    pub(crate) server_done: bool,
    /// The server's socket takes nothing until then.
    pub(crate) blocked_until: u64,
    /// Frames that the server does not read yet.
    pub(crate) held: VecDeque<Bytes>,
    up_at: u64,
    down_at: u64,
    latency: u64,
}

impl Wire {
    pub(crate) fn new(
        tab: Option<(usize, u64)>,
        node: (usize, u32),
        uid: Option<Uid>,
        codec: Codec,
        latency: u64,
    ) -> Wire {
        Wire {
            tab,
            node,
            uid,
            http: None,
            codec,
            home: None,
            greeting: false,
            dark: false,
            client_done: false,
            server_done: false,
            blocked_until: 0,
            held: VecDeque::new(),
            up_at: 0,
            down_at: 0,
            latency,
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        match self.http {
            None => Transport::Ws,
            Some(_) => Transport::Poll,
        }
    }

    /// When something sent up now arrives: late, but never before what was sent earlier.
    pub(crate) fn up(&mut self, now: u64, chance: &mut Chance) -> u64 {
        self.up_at = self.up_at.max(now + chance.between(0, self.latency));
        self.up_at
    }

    /// Nothing that is sent up arrives before then.
    pub(crate) fn holds_up(&mut self, until: u64) {
        self.up_at = self.up_at.max(until);
    }

    pub(crate) fn down(&mut self, now: u64, chance: &mut Chance) -> u64 {
        self.down_at = self.down_at.max(now + chance.between(0, self.latency));
        self.down_at
    }
}

/// The body of a WebSocket frame as the server writes it (RFC 6455 section 5.2, unmasked).
pub(crate) fn body(frame: &Bytes) -> Bytes {
    match frame[1] {
        126 => frame.slice(4..),
        127 => frame.slice(10..),
        length => {
            assert_eq!(usize::from(length), frame.len() - 2);
            frame.slice(2..)
        }
    }
}
