//! The committed corpus of each fuzz target, and random bytes, through the same function bodies.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::{push_batch, push_message};

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files: Vec<_> = files
        .map(|file| fs::read(file.expect("an entry").path()).expect("readable"))
        .collect();
    assert!(files.len() >= 10, "{target} has {} files", files.len());
    files
}

#[test]
fn f74_the_committed_corpus_passes() {
    for (target, body) in [
        ("push_batch", push_batch as fn(&[u8])),
        ("push_message", push_message),
    ] {
        for bytes in corpus(target) {
            body(&bytes);
            // Every beginning of it, and every single byte changed.
            for cut in 0..bytes.len() {
                body(&bytes[..cut]);
                let mut changed = bytes.clone();
                changed[cut] ^= 0x81;
                body(&changed);
            }
        }
    }
}

proptest! {
    #[test]
    fn f74_any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        push_batch(&bytes);
        push_message(&bytes);
    }
}
