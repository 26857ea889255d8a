//! Frames as a client writes them, and the three ways in which every case is fed.

use bytes::Bytes;

use super::super::{Decoder, Message, Violation};

pub(super) const LIMIT: usize = 70_000;
pub(super) const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;
pub(super) const FIN: u8 = 0x80;

/// A masked frame; `first` is the first byte of its header.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=65_535 => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(
        payload
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ MASK[at % 4]),
    );
    out
}

pub(super) fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason);
    frame(FIN | CLOSE, &payload)
}

pub(super) fn text(text: &str) -> Message {
    Message::Text(Bytes::copy_from_slice(text.as_bytes()))
}

pub(super) fn binary(bytes: &[u8]) -> Message {
    Message::Binary(Bytes::copy_from_slice(bytes))
}

pub(super) fn ping(bytes: &[u8]) -> Message {
    Message::Ping(Bytes::copy_from_slice(bytes))
}

pub(super) type Seen = (Vec<Message>, Option<Violation>);

/// Feeds the pieces one after another, as reads from a socket would.
pub(super) fn feed(decoder: &mut Decoder, pieces: &[&[u8]]) -> Seen {
    let mut messages = Vec::new();
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let mut at = 0;
        while at < bytes.len() {
            match decoder.decode(&mut bytes[at..]) {
                Ok((taken, message)) => {
                    assert!(taken > 0, "no progress on {} bytes", bytes.len() - at);
                    at += taken;
                    messages.extend(message);
                }
                Err(violation) => return (messages, Some(violation)),
            }
        }
    }
    (messages, None)
}

/// Checks a stream of frames: whole, split in two at every byte, and byte by byte.
pub(super) fn check(
    name: &str,
    parts: &[Vec<u8>],
    expect: &[Message],
    violation: Option<Violation>,
) {
    let wire = parts.concat();
    let expect = (expect.to_vec(), violation);
    assert_eq!(
        feed(&mut Decoder::new(LIMIT), &[&wire]),
        expect,
        "{name}, whole"
    );
    // Long streams are split around every header and at a stride through the payload.
    let stride = if wire.len() > 2_000 { 997 } else { 1 };
    for at in (0..=wire.len())
        .step_by(stride)
        .chain(0..wire.len().min(32))
    {
        let (left, right) = wire.split_at(at);
        let seen = feed(&mut Decoder::new(LIMIT), &[left, right]);
        assert_eq!(seen, expect, "{name}, split at {at}");
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    let mut decoder = Decoder::new(LIMIT);
    assert_eq!(feed(&mut decoder, &bytes), expect, "{name}, byte by byte");
    if violation.is_none() && !decoder.is_midway() {
        assert_eq!(decoder.heap(), 0, "{name}: an idle decoder owns no heap");
    }
}

pub(super) fn accepts(name: &str, parts: &[Vec<u8>], expect: &[Message]) {
    check(name, parts, expect, None);
}

pub(super) fn refuses(name: &str, parts: &[Vec<u8>], before: &[Message], violation: Violation) {
    check(name, parts, before, Some(violation));
}

pub(super) fn too_large(beginning: &[u8], bytes: usize) -> Message {
    let beginning = Bytes::copy_from_slice(beginning);
    Message::TooLarge { beginning, bytes }
}
