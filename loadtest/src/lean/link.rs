//! One lean connection: cuts server frames out of the stream, keeps the ledger, acknowledges.

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tengen_protocol::{ClientFrame, Codec, Limits, ServerFrame};

use crate::{
    item,
    ledger::{Ledger, Verdict},
};

/// Read at once from one socket: a whole burst of a fan-out usually.
pub(super) const SCRATCH_BYTES: usize = 256 * 1024;

/// Acknowledged at the latest after so many items or bytes.
const ACK_ITEMS: u64 = 32;
const ACK_BYTES: usize = 64 * 1024;

pub(super) struct Link {
    stream: TcpStream,
    /// The beginning of a frame whose end has not come yet.
    rest: Vec<u8>,
    ledger: Ledger,
    /// Items received, of any kind: what an acknowledgement names.
    received: u64,
    acknowledged: u64,
    unacknowledged_bytes: usize,
    unacknowledged_since: Option<Instant>,
    open: bool,
    told: Vec<String>,
}

impl Link {
    /// Takes over a connection whose hello has been answered; `rest` came with that answer.
    pub(super) fn new(stream: TcpStream, rest: Vec<u8>) -> io::Result<Link> {
        stream.set_nonblocking(true)?;
        Ok(Link {
            stream,
            rest,
            ledger: Ledger::default(),
            received: 0,
            acknowledged: 0,
            unacknowledged_bytes: 0,
            unacknowledged_since: None,
            open: true,
            told: Vec::new(),
        })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn close_books(&self, expected: u64) -> Verdict {
        self.ledger.close(expected)
    }

    pub(super) fn tell(&self, told: &mut HashMap<String, u64>) {
        for text in &self.told {
            *told.entry(text.clone()).or_default() += 1;
        }
    }

    /// Takes what stood in the rest already. Items of the ledger that came.
    pub(super) fn resume(&mut self, codec: Codec) -> u64 {
        self.take(codec, &[])
    }

    /// Reads until there is no more and takes every whole frame. Items of the ledger that came.
    pub(super) fn readable(&mut self, codec: Codec, scratch: &mut [u8]) -> u64 {
        let mut items = 0;
        while self.open {
            match (&self.stream).read(scratch) {
                Ok(0) => self.end("the node hung up"),
                Ok(count) => {
                    items += self.take(codec, &scratch[..count]);
                    // A short read has emptied the socket (epoll(7)); what comes later is told.
                    if count < scratch.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => self.end(&format!("reading failed: {}", error.kind())),
            }
        }
        items
    }

    fn take(&mut self, codec: Codec, fresh: &[u8]) -> u64 {
        let kept;
        let mut bytes = if self.rest.is_empty() {
            fresh
        } else {
            self.rest.extend_from_slice(fresh);
            kept = std::mem::take(&mut self.rest);
            &kept
        };
        let mut items = 0;
        while self.open {
            match cut(bytes) {
                Cut::Frame {
                    opcode,
                    body,
                    after,
                } => {
                    items += self.frame(codec, opcode, body);
                    bytes = after;
                }
                Cut::Incomplete => {
                    self.rest = bytes.to_vec();
                    break;
                }
                Cut::Broken(why) => self.end(why),
            }
        }
        if self.received - self.acknowledged >= ACK_ITEMS || self.unacknowledged_bytes >= ACK_BYTES
        {
            self.acknowledge(codec);
        } else if self.received > self.acknowledged && self.unacknowledged_since.is_none() {
            self.unacknowledged_since = Some(Instant::now());
        }
        items
    }

    fn frame(&mut self, codec: Codec, opcode: u8, body: &[u8]) -> u64 {
        match opcode {
            1 | 2 => {}
            8 => {
                let code = body
                    .get(..2)
                    .map_or(0, |code| u16::from_be_bytes([code[0], code[1]]));
                self.end(&format!("closed with {code}"));
                return 0;
            }
            _ => return 0,
        }
        if let Some(number) = item::number(codec, body) {
            self.count_item(body.len());
            self.ledger.book(number);
            return 1;
        }
        match ServerFrame::decode(codec, Bytes::copy_from_slice(body), &Limits::default()) {
            Ok(ServerFrame::Ping { .. }) => self.write(codec, &ClientFrame::Pong),
            Ok(frame) => {
                if frame.is_item() {
                    self.count_item(body.len());
                }
                if let ServerFrame::Event { id, data } = &frame {
                    self.told.push(format!("{id} {:?}", data.value().ok()));
                } else if let ServerFrame::Bye { code, .. } = &frame {
                    self.told.push(format!("bye {}", code.0));
                }
            }
            Err(undecodable) => {
                self.count_item(body.len());
                self.told
                    .push(format!("undecodable: {}", undecodable.refusal.message));
            }
        }
        0
    }

    fn count_item(&mut self, bytes: usize) {
        self.received += 1;
        self.unacknowledged_bytes += bytes;
    }

    pub(super) fn acknowledge_if_due(&mut self, codec: Codec, now: Instant, after: Duration) {
        if self.open
            && self
                .unacknowledged_since
                .is_some_and(|since| now - since >= after)
        {
            self.acknowledge(codec);
        }
    }

    fn acknowledge(&mut self, codec: Codec) {
        self.acknowledged = self.received;
        self.unacknowledged_bytes = 0;
        self.unacknowledged_since = None;
        self.write(
            codec,
            &ClientFrame::Ack {
                received: self.received,
            },
        );
    }

    fn write(&mut self, codec: Codec, frame: &ClientFrame) {
        let bytes = masked(codec, &frame.encode(codec));
        // A few bytes on a connection that sends nothing else: the kernel takes all or it is broken.
        if self.open && !matches!((&self.stream).write(&bytes), Ok(count) if count == bytes.len()) {
            self.end("writing failed");
        }
    }

    fn end(&mut self, why: &str) {
        if self.open {
            self.open = false;
            self.told.push(why.to_owned());
        }
    }
}

/// A client frame as it stands on the wire.
pub(super) fn masked(codec: Codec, body: &[u8]) -> Vec<u8> {
    let opcode = if codec == Codec::Json { 0x81 } else { 0x82 };
    let mut bytes = Vec::with_capacity(body.len() + 8);
    bytes.push(opcode);
    match u16::try_from(body.len()) {
        Ok(length @ 0..=125) => bytes.push(0x80 | length as u8),
        Ok(length) => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    // A key of zeros is a valid mask (RFC 6455 §5.3) and needs no work; there is no proxy to confuse here.
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(body);
    bytes
}

/// The next frame at the front of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut<'a> {
    Frame {
        opcode: u8,
        body: &'a [u8],
        after: &'a [u8],
    },
    Incomplete,
    Broken(&'static str),
}

/// Cuts one server frame off. A node of ours sends every frame whole and unmasked.
pub(super) fn cut(bytes: &[u8]) -> Cut<'_> {
    let [first, second, ..] = bytes else {
        return Cut::Incomplete;
    };
    if first & 0xf0 != 0x80 {
        return Cut::Broken("a fragment or a reserved bit");
    }
    if second & 0x80 != 0 {
        return Cut::Broken("a masked server frame");
    }
    let (head, length) = match second & 0x7f {
        126 => match bytes.get(2..4) {
            Some(length) => (4, u64::from(u16::from_be_bytes([length[0], length[1]]))),
            None => return Cut::Incomplete,
        },
        127 => match bytes
            .get(2..10)
            .and_then(|length| <[u8; 8]>::try_from(length).ok())
        {
            Some(length) => (10, u64::from_be_bytes(length)),
            None => return Cut::Incomplete,
        },
        length => (2, u64::from(length)),
    };
    if length > 16 << 20 {
        return Cut::Broken("a frame over 16 MiB");
    }
    let end = head + length as usize;
    match (bytes.get(head..end), bytes.get(end..)) {
        (Some(body), Some(after)) => Cut::Frame {
            opcode: first & 0x0f,
            body,
            after,
        },
        _ => Cut::Incomplete,
    }
}
