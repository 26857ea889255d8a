//! RFC 6455 as a table of cases, each whole, split at every byte, and byte by byte.

use bytes::Bytes;
use fastwebsockets::CloseCode;
use proptest::prelude::*;

use super::{Decoder, Message, Violation};

const LIMIT: usize = 70_000;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CONTINUATION: u8 = 0x0;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;

/// A masked frame; `first` is the first byte of its header.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
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

fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason);
    frame(FIN | CLOSE, &payload)
}

fn text(text: &str) -> Message {
    Message::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn binary(bytes: &[u8]) -> Message {
    Message::Binary(Bytes::copy_from_slice(bytes))
}

fn ping(bytes: &[u8]) -> Message {
    Message::Ping(Bytes::copy_from_slice(bytes))
}

type Seen = (Vec<Message>, Option<Violation>);

/// Feeds the pieces one after another, as reads from a socket would.
fn feed(decoder: &mut Decoder, pieces: &[&[u8]]) -> Seen {
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
fn check(name: &str, parts: &[Vec<u8>], expect: &[Message], violation: Option<Violation>) {
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

fn accepts(name: &str, parts: &[Vec<u8>], expect: &[Message]) {
    check(name, parts, expect, None);
}

fn refuses(name: &str, parts: &[Vec<u8>], before: &[Message], violation: Violation) {
    check(name, parts, before, Some(violation));
}

#[test]
fn messages_of_every_length_form_arrive_whole() {
    for len in [
        0, 1, 2, 3, 4, 5, 7, 8, 9, 125, 126, 127, 128, 65_535, 65_536, LIMIT,
    ] {
        let body = "*".repeat(len);
        accepts(
            "text",
            &[frame(FIN | TEXT, body.as_bytes())],
            &[text(&body)],
        );
        let body: Vec<u8> = (0..len).map(|at| at as u8).collect();
        accepts("binary", &[frame(FIN | BINARY, &body)], &[binary(&body)]);
    }
}

#[test]
fn several_messages_in_one_read_come_out_in_order() {
    accepts(
        "three",
        &[
            frame(FIN | TEXT, b"a"),
            frame(FIN | BINARY, b""),
            frame(FIN | TEXT, b"c"),
        ],
        &[text("a"), binary(b""), text("c")],
    );
}

#[test]
fn control_frames_are_delivered_up_to_125_bytes() {
    let long = [0xfe; 125];
    accepts("empty ping", &[frame(FIN | PING, b"")], &[ping(b"")]);
    accepts("ping", &[frame(FIN | PING, b"hello")], &[ping(b"hello")]);
    accepts(
        "binary ping",
        &[frame(FIN | PING, &[0, 0xff, 0xfe])],
        &[ping(&[0, 0xff, 0xfe])],
    );
    accepts("ping of 125", &[frame(FIN | PING, &long)], &[ping(&long)]);
    accepts(
        "unasked pong",
        &[frame(FIN | PONG, b"why")],
        &[Message::Pong],
    );
    accepts("empty pong", &[frame(FIN | PONG, b"")], &[Message::Pong]);
    for opcode in [PING, PONG, CLOSE] {
        refuses(
            "126",
            &[frame(FIN | opcode, &[b'a'; 126])],
            &[],
            Violation::LongControl,
        );
        refuses(
            "fragment",
            &[frame(opcode, b"a")],
            &[],
            Violation::FragmentedControl,
        );
    }
}

#[test]
fn reserved_bits_and_opcodes_are_refused() {
    for bits in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70] {
        for opcode in [TEXT, BINARY, PING, CLOSE] {
            let wire = [frame(FIN | TEXT, b"ok"), frame(FIN | bits | opcode, b"x")];
            refuses(
                "reserved bit",
                &wire,
                &[text("ok")],
                Violation::ReservedBits,
            );
        }
    }
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        let wire = [frame(FIN | TEXT, b"ok"), frame(FIN | opcode, b"")];
        refuses(
            "opcode",
            &wire,
            &[text("ok")],
            Violation::UnknownOpcode(opcode),
        );
    }
}

#[test]
fn unmasked_frames_are_refused() {
    refuses(
        "text",
        &[vec![FIN | TEXT, 2, b'h', b'i']],
        &[],
        Violation::Unmasked,
    );
    refuses("close", &[vec![FIN | CLOSE, 0]], &[], Violation::Unmasked);
    let after = [frame(FIN | TEXT, b"ok"), vec![FIN | PING, 0]];
    refuses(
        "after a good one",
        &after,
        &[text("ok")],
        Violation::Unmasked,
    );
}

#[test]
fn lengths_must_be_in_their_shortest_form() {
    let header = |length: &[u8]| [&[FIN | BINARY], length, &MASK].concat();
    for length in [0_u16, 1, 125] {
        let length = [&[0x80 | 126], &length.to_be_bytes()[..]].concat();
        refuses("16 bit", &[header(&length)], &[], Violation::LongLength);
    }
    for length in [0_u64, 125, 65_535, 1 << 63, u64::MAX] {
        let length = [&[0x80 | 127], &length.to_be_bytes()[..]].concat();
        refuses("64 bit", &[header(&length)], &[], Violation::LongLength);
    }
}

#[test]
fn fragments_are_joined_and_control_frames_pass_between_them() {
    accepts(
        "two",
        &[frame(TEXT, b"frag"), frame(FIN, b"ment")],
        &[text("fragment")],
    );
    accepts(
        "ping between",
        &[
            frame(BINARY, b"a"),
            frame(FIN | PING, b"p"),
            frame(CONTINUATION, b"b"),
            frame(FIN | PONG, b"q"),
            frame(FIN, b"c"),
            frame(FIN | TEXT, b"next"),
        ],
        &[ping(b"p"), Message::Pong, binary(b"abc"), text("next")],
    );
    accepts(
        "empty fragments",
        &[frame(TEXT, b""), frame(CONTINUATION, b""), frame(FIN, b"")],
        &[text("")],
    );
    accepts(
        "only the last has bytes",
        &[
            frame(TEXT, b""),
            frame(CONTINUATION, b""),
            frame(FIN, b"end"),
        ],
        &[text("end")],
    );
    accepts(
        "only the first has bytes",
        &[
            frame(BINARY, b"start"),
            frame(CONTINUATION, b""),
            frame(FIN, b""),
        ],
        &[binary(b"start")],
    );
}

#[test]
fn fragments_out_of_turn_are_refused() {
    for first in [CONTINUATION, FIN] {
        refuses(
            "nothing to continue",
            &[frame(first, b"x")],
            &[],
            Violation::LoneContinuation,
        );
        let wire = [frame(FIN | TEXT, b"ok"), frame(first, b"x")];
        refuses(
            "after a whole one",
            &wire,
            &[text("ok")],
            Violation::LoneContinuation,
        );
        let wire = [frame(TEXT, b"o"), frame(FIN, b"k"), frame(first, b"x")];
        refuses(
            "after the last",
            &wire,
            &[text("ok")],
            Violation::LoneContinuation,
        );
    }
    for second in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
        let wire = [frame(TEXT, b"o"), frame(second, b"k")];
        refuses("new one inside", &wire, &[], Violation::Interleaved);
    }
}

#[test]
fn text_in_utf8_passes_however_it_is_cut() {
    for body in [
        "κόσμε",
        "Hello-µ@ßöäüàá-UTF-8!!",
        "\u{0}",
        "\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
        "\u{d7ff}\u{e000}\u{fffd}\u{fdd0}",
        "Zoë 🦀",
    ] {
        accepts(
            "whole",
            &[frame(FIN | TEXT, body.as_bytes())],
            &[text(body)],
        );
        for at in 0..=body.len() {
            let (left, right) = body.as_bytes().split_at(at);
            accepts(
                "two frames",
                &[frame(TEXT, left), frame(FIN, right)],
                &[text(body)],
            );
        }
        let mut parts: Vec<_> = body
            .bytes()
            .map(|byte| frame(CONTINUATION, &[byte]))
            .collect();
        parts[0][0] = TEXT;
        parts.push(frame(FIN, b""));
        accepts("a frame a byte", &parts, &[text(body)]);
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let bad: [&[u8]; 12] = [
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", // surrogate
        b"\x80",
        b"\xbf tail",
        b"\xc0\xaf",         // overlong
        b"\xe0\x80\xaf",     // overlong
        b"\xf0\x80\x80\xaf", // overlong
        b"\xf4\x90\x80\x80", // beyond U+10FFFF
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xed\xbf\xbf",
        b"ok \xc3(",
    ];
    for body in bad {
        refuses("whole", &[frame(FIN | TEXT, body)], &[], Violation::NotUtf8);
        for at in 0..=body.len() {
            let (left, right) = body.split_at(at);
            refuses(
                "two",
                &[frame(TEXT, left), frame(FIN, right)],
                &[],
                Violation::NotUtf8,
            );
        }
        accepts(
            "binary may hold anything",
            &[frame(FIN | BINARY, body)],
            &[binary(body)],
        );
    }
    for cut in ["µ", "κό", "🦀"] {
        let cut = &cut.as_bytes()[..cut.len() - 1];
        refuses(
            "cut short",
            &[frame(FIN | TEXT, cut)],
            &[],
            Violation::NotUtf8,
        );
        let parts = [frame(TEXT, cut), frame(FIN, b"")];
        refuses("cut short over frames", &parts, &[], Violation::NotUtf8);
    }
}

#[test]
fn a_bad_byte_is_refused_before_its_message_is_complete() {
    let mut decoder = Decoder::new(LIMIT);
    let seen = feed(&mut decoder, &[&frame(TEXT, b"\xf4\x90\x80")]);
    assert_eq!(seen.1, Some(Violation::NotUtf8), "first fragment");

    let mut decoder = Decoder::new(LIMIT);
    let wire = frame(FIN | TEXT, b"\xed\xa0\x80 and much more to come");
    let seen = feed(&mut decoder, &[&wire[..10]]);
    assert_eq!(seen.1, Some(Violation::NotUtf8), "first bytes of a frame");
}

#[test]
fn close_frames_carry_a_code_that_may_be_sent() {
    accepts(
        "no code",
        &[frame(FIN | CLOSE, b"")],
        &[Message::Close(None)],
    );
    refuses(
        "one byte",
        &[frame(FIN | CLOSE, b"\x03")],
        &[],
        Violation::BadClose,
    );
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4505,
        4999,
    ] {
        accepts("code", &[closing(code, b"")], &[Message::Close(Some(code))]);
        accepts(
            "reason",
            &[closing(code, "bye µ".as_bytes())],
            &[Message::Close(Some(code))],
        );
        accepts(
            "123 bytes",
            &[closing(code, &[b'*'; 123])],
            &[Message::Close(Some(code))],
        );
        refuses(
            "124 bytes",
            &[closing(code, &[b'*'; 124])],
            &[],
            Violation::LongControl,
        );
        refuses(
            "not utf-8",
            &[closing(code, b"\xce\xba\xff")],
            &[],
            Violation::NotUtf8,
        );
    }
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        refuses("code", &[closing(code, b"")], &[], Violation::BadClose);
        refuses("reason", &[closing(code, b"x")], &[], Violation::BadClose);
    }
}

fn too_large(beginning: &[u8], bytes: usize) -> Message {
    let beginning = Bytes::copy_from_slice(beginning);
    Message::TooLarge { beginning, bytes }
}

#[test]
fn the_limit_counts_all_fragments_of_a_message() {
    let full = vec![7; LIMIT];
    let parts = [frame(BINARY, &full), frame(FIN, b"")];
    accepts("exactly full", &parts, &[binary(&full)]);
    let parts = [frame(FIN | BINARY, &full), frame(FIN | BINARY, &full)];
    accepts("each message anew", &parts, &[binary(&full), binary(&full)]);

    let over = too_large(&[7; 64], LIMIT + 1);
    let next = || frame(FIN | TEXT, b"next");
    let parts = [frame(FIN | BINARY, &[7; LIMIT + 1]), next()];
    accepts("one frame", &parts, &[over.clone(), text("next")]);
    let parts = [
        frame(BINARY, &full),
        frame(FIN | PING, b"p"),
        frame(FIN, &[7]),
        next(),
    ];
    accepts(
        "one byte over in the last",
        &parts,
        &[ping(b"p"), over.clone(), text("next")],
    );
    let parts = [
        frame(TEXT, b"a\xc3"),
        frame(CONTINUATION, &full),
        frame(FIN, b"b"),
        next(),
    ];
    let beginning = [b"a\xc3", &[7; 62][..]].concat();
    accepts(
        "over in the middle",
        &parts,
        &[too_large(&beginning, LIMIT + 3), text("next")],
    );
}

#[test]
fn f88_a_message_far_over_the_limit_is_refused_at_its_header() {
    let violation = Violation::TooLarge { limit: LIMIT };
    let parts = [frame(FIN | BINARY, &vec![7; 8 * LIMIT + 1])];
    refuses("one frame", &parts, &[], violation);
    let half = vec![7; 4 * LIMIT];
    let parts = [
        frame(BINARY, &half),
        frame(CONTINUATION, &half),
        frame(FIN, b"1"),
    ];
    refuses("in fragments", &parts, &[], violation);
    let parts = [frame(BINARY, &half), frame(FIN, &half)];
    accepts(
        "as far as it goes",
        &parts,
        &[too_large(&[7; 64], 8 * LIMIT)],
    );
}

#[test]
fn f88_a_declared_length_allocates_nothing() {
    let violation = Violation::TooLarge { limit: LIMIT };
    for (length, expect) in [
        (1_u64 << 63, Some(Violation::LongLength)),
        ((1 << 63) - 1, Some(violation)),
        (1 << 62, Some(violation)),
        (8 * LIMIT as u64 + 1, Some(violation)),
        (LIMIT as u64 + 1, None),
    ] {
        let wire = [&[FIN | BINARY, 0xff], &length.to_be_bytes()[..], &MASK].concat();
        let mut decoder = Decoder::new(LIMIT);
        assert_eq!(feed(&mut decoder, &[&wire]), (vec![], expect));
        assert_eq!(decoder.heap(), 0);
    }
    // What is passed over is not kept.
    let mut decoder = Decoder::new(LIMIT);
    let wire = frame(FIN | BINARY, &vec![7; 8 * LIMIT]);
    feed(
        &mut decoder,
        &[&wire[..100_000], &wire[100_000..wire.len() - 1]],
    );
    assert!(
        decoder.is_midway() && decoder.heap() <= 64,
        "{} held",
        decoder.heap()
    );

    // Within the limit it grows by what came, not by what was announced.
    let wire = frame(FIN | BINARY, &[1; LIMIT]);
    let mut decoder = Decoder::new(LIMIT);
    feed(&mut decoder, &[&wire[..14]]);
    assert_eq!(decoder.heap(), 0, "a header alone");
    for received in [1, 10, 1_000, 30_000] {
        let mut decoder = Decoder::new(LIMIT);
        let (header, payload) = wire.split_at(14);
        let payload = payload[..received].chunks(7);
        let pieces: Vec<&[u8]> = [header].into_iter().chain(payload).collect();
        feed(&mut decoder, &pieces);
        assert!(
            (received..=2 * received).contains(&decoder.heap()),
            "{received} received, {} held",
            decoder.heap()
        );
    }
}

#[test]
fn violations_close_with_the_code_of_the_rfc() {
    assert_eq!(Violation::Unmasked.close_code(), CloseCode::Protocol);
    assert_eq!(Violation::NotUtf8.close_code(), CloseCode::Invalid);
    assert_eq!(
        Violation::TooLarge { limit: 1 }.close_code(),
        CloseCode::Size
    );
}

proptest! {
    /// Whatever comes, however it is cut: no panic, the same verdict, memory within bounds.
    #[test]
    fn any_bytes_never_panic(
        wire in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..400),
            proptest::collection::vec(
                (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..200))
                    .prop_map(|(first, payload)| frame(first, &payload)),
                0..8,
            ).prop_map(|frames| frames.concat()),
        ],
        cut in 1_usize..64,
    ) {
        let whole = feed(&mut Decoder::new(256), &[&wire]);
        let mut decoder = Decoder::new(256);
        let pieces: Vec<&[u8]> = wire.chunks(cut).collect();
        let cut = feed(&mut decoder, &pieces);
        prop_assert!(decoder.heap() <= 512);
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn any_message_arrives_equal_however_it_is_fragmented(
        body in proptest::collection::vec(any::<u8>(), 0..600),
        cuts in proptest::collection::vec(0_usize..600, 0..6),
        cut in 1_usize..64,
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(body.len())).collect();
        cuts.sort_unstable();
        let mut parts = Vec::new();
        let mut from = 0;
        for at in cuts {
            parts.push(frame(if parts.is_empty() { BINARY } else { CONTINUATION }, &body[from..at]));
            parts.push(frame(FIN | PING, b"between"));
            from = at;
        }
        parts.push(frame(FIN | if parts.is_empty() { BINARY } else { CONTINUATION }, &body[from..]));
        let wire = parts.concat();
        let pieces: Vec<&[u8]> = wire.chunks(cut).collect();
        let (messages, violation) = feed(&mut Decoder::new(1_000), &pieces);
        prop_assert_eq!(violation, None);
        prop_assert_eq!(messages.last(), Some(&binary(&body)));
    }
}
