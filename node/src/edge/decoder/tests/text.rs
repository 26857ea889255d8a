//! UTF-8 in text messages: RFC 6455 section 8.1.

use super::super::{Decoder, Violation};
use super::fixture::*;

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
