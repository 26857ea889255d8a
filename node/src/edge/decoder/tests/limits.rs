//! Size limits, and that memory follows what was received.

use super::super::{Decoder, Violation};
use super::fixture::*;

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
