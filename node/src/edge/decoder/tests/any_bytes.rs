//! Whatever comes, however it is cut.

use proptest::prelude::*;

use super::super::Decoder;
use super::super::fuzzing::any_bytes;
use super::fixture::*;

/// The committed corpus of the fuzz target, through the same body.
#[test]
fn f74_the_corpus_of_the_websocket_target_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/websocket");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        // Named before it is run, so that a failure says which.
        println!("{}", path.display());
        any_bytes(&std::fs::read(path).unwrap());
        seen += 1;
    }
    assert!(seen >= 10, "{seen} files");
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
