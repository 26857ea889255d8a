//! The committed corpus of every fuzz target of this crate, through the same function body.

use std::path::Path;

use proptest::prelude::*;
use tengen_protocol::{Codec, fuzzing};

fn run(target: &str, body: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut seen = 0;
    for file in files {
        let path = file.expect("folder entry").path();
        let bytes = std::fs::read(&path).expect("readable");
        // Named before it is run, so that a failure says which.
        println!("{}", path.display());
        body(&bytes);
        seen += 1;
    }
    assert!(seen >= 5, "{target} has {seen} files");
}

#[test]
fn f74_the_corpus_of_every_target_passes() {
    run("client_frame_cbor", |bytes| {
        fuzzing::client_frame(Codec::Cbor, bytes)
    });
    run("client_frame_json", |bytes| {
        fuzzing::client_frame(Codec::Json, bytes)
    });
    run("server_frame_cbor", |bytes| {
        fuzzing::server_frame(Codec::Cbor, bytes)
    });
    run("server_frame_json", |bytes| {
        fuzzing::server_frame(Codec::Json, bytes)
    });
    run("raw_event_cbor", |bytes| {
        fuzzing::raw_event(Codec::Cbor, bytes)
    });
    run("raw_event_json", |bytes| {
        fuzzing::raw_event(Codec::Json, bytes)
    });
    run("data_cbor", |bytes| fuzzing::data(Codec::Cbor, bytes));
    run("data_json", |bytes| fuzzing::data(Codec::Json, bytes));
    run("subject", fuzzing::subject);
    run("takeover", fuzzing::takeover);
    run("snapshot", fuzzing::snapshot);
    run("presence", fuzzing::presence);
    run("relay", fuzzing::relay);
}

/// Every file of the corpus through every decoder: what is strange to one may surprise another.
#[test]
fn f74_the_whole_corpus_passes_through_every_decoder() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for target in std::fs::read_dir(corpus).expect("corpus") {
        for file in std::fs::read_dir(target.expect("folder entry").path()).expect("target") {
            fuzzing::everything(
                &std::fs::read(file.expect("folder entry").path()).expect("readable"),
            );
        }
    }
}

fn files(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files = std::fs::read_dir(folder).expect("corpus");
    files
        .map(|file| std::fs::read(file.expect("folder entry").path()).expect("readable"))
        .collect()
}

/// A file of a corpus with a few bytes changed, inserted or cut off.
fn damaged(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..8u8);
    let changes = prop::collection::vec(change, 1..4);
    (prop::sample::select(files(target)), changes).prop_map(|(mut bytes, changes)| {
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len().max(1));
            match kind {
                0 => bytes.insert(at.min(bytes.len()), byte),
                1 => bytes.truncate(at.max(1)),
                _ if bytes.is_empty() => bytes.push(byte),
                _ => bytes[at] = byte,
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn f74_damaged_takeover_messages_are_refused_or_harmless(bytes in damaged("takeover")) {
        fuzzing::takeover(&bytes);
    }

    #[test]
    fn f74_damaged_messages_of_presence_are_refused_or_harmless(bytes in damaged("presence")) {
        fuzzing::presence(&bytes);
    }

    #[test]
    fn f74_damaged_messages_of_relay_are_refused_or_harmless(bytes in damaged("relay")) {
        fuzzing::relay(&bytes);
    }

    #[test]
    fn f74_a_session_of_damaged_parts_is_given_up_or_serves(bytes in damaged("snapshot")) {
        fuzzing::snapshot(&bytes);
    }
}
