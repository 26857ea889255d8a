//! Promises about splitting bodies: in order, within limits, and never past what cannot be read.

use super::*;

fn frames(codec: Codec, body: &[u8]) -> Vec<Vec<u8>> {
    let body = Bytes::copy_from_slice(body);
    split(codec, &body, &Limits::default())
        .map(|frame| frame.to_vec())
        .collect()
}

#[test]
fn json_frames_stand_on_lines_and_empty_ones_are_skipped() {
    let body = b"[5]\n\n \r\n[1,\"a/b\"]\r\n[6]";
    let expected: [&[u8]; 3] = [b"[5]", b"[1,\"a/b\"]\r", b"[6]"];
    assert_eq!(frames(Codec::Json, body), expected);
    assert_eq!(frames(Codec::Json, b""), [[]; 0] as [[u8; 0]; 0]);
    assert_eq!(frames(Codec::Json, b"\n \n"), [[]; 0] as [[u8; 0]; 0]);
}

#[test]
fn cbor_frames_stand_one_after_another() {
    let body = [0x81, 5, 0x82, 4, 0x19, 1, 44, 0x81, 6];
    let expected: [&[u8]; 3] = [&[0x81, 5], &[0x82, 4, 0x19, 1, 44], &[0x81, 6]];
    assert_eq!(frames(Codec::Cbor, &body), expected);
}

#[test]
fn broken_cbor_frame_takes_the_rest_of_the_body() {
    let body = [0x81, 5, 0x82, 4, 0x1c, 0x81, 6];
    let expected: [&[u8]; 2] = [&[0x81, 5], &[0x82, 4, 0x1c, 0x81, 6]];
    assert_eq!(frames(Codec::Cbor, &body), expected);
    // Cut half-way.
    assert_eq!(frames(Codec::Cbor, &body[..4])[1], [0x82, 4]);
}

#[test]
fn frame_that_decodes_is_never_split_too_early() {
    // An event whose data is as deep and as numerous as allowed.
    let limits = Limits {
        max_bytes: 1 << 20,
        max_depth: 3,
        max_elements: 9,
    };
    let mut event = vec![0x83, 1, 0x63, b'a', b'/', b'b'];
    event.extend([0x81, 0x81, 0x83, 1, 2, 3]);
    let mut body = event.clone();
    body.extend([0x81, 5]);
    let found: Vec<Bytes> = split(Codec::Cbor, &body.into(), &limits).collect();
    assert_eq!(
        found,
        [Bytes::from(event.clone()), Bytes::from_static(&[0x81, 5])]
    );
    crate::ClientFrame::decode(Codec::Cbor, event.into(), &limits).unwrap();
}
