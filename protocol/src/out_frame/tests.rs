//! Tests of the WebSocket header.

use super::OutFrame;
use crate::codec::Codec;

#[test]
fn the_header_is_the_shortest_for_its_length() {
    for (length, header) in [
        (0, &[0x82, 0][..]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65_535, &[0x82, 126, 255, 255]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let frame = OutFrame::new(Codec::Cbor, &vec![7; length]);
        assert_eq!(&frame.ws()[..header.len()], header, "{length}");
        assert_eq!(frame.len(), header.len() + length);
        assert_eq!(frame.body(), vec![7; length]);
    }
    assert_eq!(OutFrame::new(Codec::Json, b"[6]").ws()[..], *b"\x81\x03[6]");
}

#[test]
fn json_stands_on_one_line_and_cbor_untouched() {
    assert_eq!(
        OutFrame::new(Codec::Json, b"[1,\"a/b\",\r\n[\n1]]").body()[..],
        *b"[1,\"a/b\",  [ 1]]"
    );
    assert_eq!(
        OutFrame::new(Codec::Cbor, &[0x81, 0x0a]).body()[..],
        [0x81, 0x0a]
    );
}
