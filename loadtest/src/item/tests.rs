//! Items have the size asked for and give their number back.

use tengen_protocol::{Limits, OutFrame};

use super::*;

fn frame(codec: Codec, event: Bytes, to: Codec) -> Bytes {
    let raw = RawEvent::check(codec, event, &Limits::default()).unwrap();
    OutFrame::event(to, &EventId::parse(raw.id()).unwrap(), &raw.data())
        .unwrap()
        .body()
}

#[test]
fn an_item_has_the_size_asked_for_and_gives_its_number_back() {
    for codec in [Codec::Cbor, Codec::Json] {
        for number in [1, 23, 24, 255, 256, 65_535, 65_536, 4_294_967_296] {
            for bytes in [64, 128, 300, 1_000, 70_000] {
                let event = event(codec, number, bytes).unwrap();
                assert!(
                    event.len() <= bytes && bytes - event.len() <= 4,
                    "{codec:?} {number} {bytes}: {}",
                    event.len()
                );
                assert_eq!(
                    super::number(codec, &frame(codec, event, codec)),
                    Some(number)
                );
            }
        }
    }
}

#[test]
fn the_number_survives_a_transcode() {
    let event = event(Codec::Json, 77, 128).unwrap();
    assert_eq!(
        number(Codec::Cbor, &frame(Codec::Json, event, Codec::Cbor)),
        Some(77)
    );
}

#[test]
fn too_small_an_item_is_an_error() {
    assert!(event(Codec::Cbor, 1, 8).is_err());
}

#[test]
fn other_frames_have_no_number() {
    for body in [
        &b""[..],
        b"\x81\x05",
        b"\x83\x01",
        CBOR_HEAD,
        b"\x83\x01\x69load/item\x82\x01\x45ab",
    ] {
        assert_eq!(number(Codec::Cbor, body), None, "{body:?}");
    }
    for body in [
        &b"[5]"[..],
        JSON_HEAD,
        b"[1,\"load/item\",[x,\"\"]]",
        b"[1,\"load/item\",[1]]",
    ] {
        assert_eq!(number(Codec::Json, body), None, "{body:?}");
    }
}
