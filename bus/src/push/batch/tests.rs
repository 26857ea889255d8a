//! Batches against the golden file, and any batch against itself.

use bytes::Bytes;
use proptest::prelude::*;
use tengen_protocol::Codec;

use super::{Head, decode, encode, item_bytes};
use crate::push::{
    Filter, Push, Target,
    tests::{golden, hex, list, number, push},
};

#[test]
fn c2_batches_are_written_and_read_as_in_the_golden_file() {
    for case in list(&golden(), "batches") {
        let name = &case["name"];
        let bytes = Bytes::from(hex(case["hex"].as_str().expect("hex")));
        let seq = case["seq"]
            .as_str()
            .and_then(|seq| seq.parse().ok())
            .expect("a number");
        let publisher = number(&case["publisher"]);
        let pushes: Vec<Push> = case["pushes"]
            .as_array()
            .expect("pushes")
            .iter()
            .map(push)
            .collect();
        assert_eq!(encode(publisher, seq, &pushes), bytes, "{name}");
        let (head, reader) = decode(bytes).expect("a batch");
        let count = u16::try_from(pushes.len()).expect("few");
        assert_eq!(
            head,
            Head {
                publisher,
                seq,
                count
            },
            "{name}"
        );
        assert_eq!(
            reader.collect::<Result<Vec<_>, _>>().as_ref(),
            Ok(&pushes),
            "{name}"
        );
    }
}

#[test]
fn f63b_a_faulty_push_is_refused_and_its_neighbours_live() {
    for case in list(&golden(), "refused") {
        let name = &case["name"];
        let decoded = decode(hex(case["hex"].as_str().expect("hex")).into());
        match (decoded, case["whole"].as_u64()) {
            (Err(refusal), Some(code)) => assert_eq!(u64::from(refusal.code.0), code, "{name}"),
            (Ok((_, reader)), None) => {
                let codes: Vec<_> = reader
                    .map(|item| item.map_or_else(|refusal| refusal.code.0.into(), |_| 0))
                    .collect();
                let expected: Vec<u64> = list(case, "items")
                    .iter()
                    .map(|code| code.as_u64().expect("a code"))
                    .collect();
                assert_eq!(codes, expected, "{name}");
            }
            (decoded, whole) => panic!("{name}: {decoded:?} {whole:?}"),
        }
    }
}

#[test]
fn events_share_the_memory_of_the_batch() {
    let one = Push::new(Target::All, Codec::Json, Bytes::from_static(b"[\"a/b\"]"));
    let bytes = encode(1, 1, [&one]);
    let (_, mut reader) = decode(bytes.clone()).expect("a batch");
    let read = reader.next().expect("a push").expect("a good one");
    assert!(bytes.as_ptr_range().contains(&read.event.1.as_ptr()));
}

fn any_push() -> impl Strategy<Value = Push> {
    let target = prop_oneof![
        "[^\\x00-\\x1f\\x7f-\\x9f]{1,60}".prop_map(|uid| Target::Uid(uid.parse().expect("a uid"))),
        Just(Target::Anonymous),
        Just(Target::All),
    ];
    let filter = prop_oneof![
        Just(Filter::None),
        "[A-Za-z0-9_-]{1,64}".prop_map(|client| Filter::Only(client.parse().expect("a client"))),
        "[A-Za-z0-9_-]{1,64}".prop_map(|client| Filter::Except(client.parse().expect("a client"))),
    ];
    let codec = prop_oneof![Just(Codec::Json), Just(Codec::Cbor)];
    let event = proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let wants = any::<(bool, bool)>();
    (target, filter, any::<u128>(), wants, (codec, event)).prop_map(
        |(target, filter, id, (report, flush), event)| Push {
            target,
            filter,
            id,
            report,
            flush,
            event,
        },
    )
}

proptest! {
    #[test]
    fn any_batch_reads_as_it_was_written_and_costs_what_is_said(
        publisher: u128,
        seq: u64,
        pushes in proptest::collection::vec(any_push(), 0..20),
    ) {
        let bytes = encode(publisher, seq, &pushes);
        let expected = super::HEADER_BYTES + pushes.iter().map(item_bytes).sum::<usize>();
        prop_assert_eq!(bytes.len(), expected);
        let (head, reader) = decode(bytes.clone()).expect("a batch");
        prop_assert_eq!((head.publisher, head.seq), (publisher, seq));
        let read = reader.collect::<Result<Vec<_>, _>>();
        prop_assert_eq!(read.as_ref(), Ok(&pushes));
        // Cut anywhere, whatever is whole is still read.
        for cut in (super::HEADER_BYTES..bytes.len()).step_by(7) {
            let (_, reader) = decode(bytes.slice(..cut)).expect("a head");
            let items: Vec<_> = reader.collect();
            let (last, whole) = items.split_last().expect("an error at least");
            prop_assert!(last.is_err());
            for (item, push) in whole.iter().zip(&pushes) {
                prop_assert_eq!(item.as_ref(), Ok(push));
            }
        }
    }
}
