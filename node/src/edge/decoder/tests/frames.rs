//! Headers, control frames, fragments, closes: RFC 6455 sections 5 and 7.

use fastwebsockets::CloseCode;

use super::super::{Message, Violation};
use super::fixture::*;

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

#[test]
fn violations_close_with_the_code_of_the_rfc() {
    assert_eq!(Violation::Unmasked.close_code(), CloseCode::Protocol);
    assert_eq!(Violation::NotUtf8.close_code(), CloseCode::Invalid);
    assert_eq!(
        Violation::TooLarge { limit: 1 }.close_code(),
        CloseCode::Size
    );
}
