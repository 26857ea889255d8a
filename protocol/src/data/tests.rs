//! Tests of values in both codecs, and of typed access.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Data;
use crate::codec::Codec;
use crate::codes::ErrorCode;
use crate::limits::Limits;
use crate::value::{Time, Value};

fn checked(codec: Codec, bytes: &[u8]) -> Result<Data, ErrorCode> {
    Data::checked(codec, Bytes::copy_from_slice(bytes), &Limits::default()).map_err(|r| r.code)
}

fn json(text: &str) -> Data {
    checked(Codec::Json, text.as_bytes()).expect(text)
}

fn through_json(text: &str, expect: &str) {
    let cbor = json(text).transcode(Codec::Cbor).expect(text);
    let back = cbor.transcode(Codec::Json).expect(text);
    assert_eq!(
        std::str::from_utf8(back.bytes()).expect("utf-8"),
        expect,
        "{text}"
    );
}

#[test]
fn json_goes_to_cbor_and_back() {
    for same in [
        "null",
        "true",
        "1",
        "-1",
        "1.0",
        "-0.0",
        "1e300",
        "\"\"",
        "\"a\\u0000\\n\\\"\"",
        "[]",
        "{}",
        "9007199254740992",
        "{\"$int\":\"9007199254740993\"}",
        "{\"$int\":\"-18446744073709551616\"}",
        "{\"$f64\":\"NaN\"}",
        "{\"$f64\":\"-inf\"}",
        "{\"$bytes\":\"AAH/\"}",
        "{\"$bytes\":\"\"}",
        "{\"$uuid\":\"67e55044-10b1-426f-9247-bb680e5fe0c8\"}",
        "{\"$time\":\"2026-11-21T03:21:42.5+01:00\"}",
        "{\"$map\":[[1,2],[null,[]]]}",
        "{\"$tag\":[1000,{\"a\":1}]}",
        "{\"$map\":[[\"$uuid\",7]]}",
        "{\"$a\":1,\"b\":2}",
        "{\"a\":{\"$map\":[[\"$\",1]]}}",
    ] {
        through_json(same, same);
    }
}

#[test]
fn json_is_read_generously_and_written_one_way() {
    through_json(
        " [ 1 , 2.50 , \"\\/\\u00e9\\ud83e\\udd80\" ] ",
        "[1,2.5,\"/é🦀\"]",
    );
    through_json("-0", "-0.0");
    through_json("9007199254740993", "{\"$int\":\"9007199254740993\"}");
    through_json("18446744073709551616", "1.8446744073709552e19");
    through_json("1e999", "{\"$f64\":\"inf\"}");
    through_json("{\"$map\":[]}", "{}");
    through_json("{\"$int\":\"7\"}", "7");
    through_json("{\"$bytes\":\"AAE\"}", "{\"$bytes\":\"AAE=\"}");
    through_json("{\"$uuid\":7}", "{\"$map\":[[\"$uuid\",7]]}");
    through_json(
        "{\"$time\":\"yesterday\"}",
        "{\"$map\":[[\"$time\",\"yesterday\"]]}",
    );
    through_json("{\"$int\":\"+7\"}", "{\"$map\":[[\"$int\",\"+7\"]]}");
    through_json("{\"$map\":[[1]]}", "{\"$map\":[[\"$map\",[[1]]]]}");
    through_json(
        "{\"$tag\":[37,{\"$bytes\":\"Z+VQRBCxQm+SR7toDl/gyA==\"}]}",
        "{\"$uuid\":\"67e55044-10b1-426f-9247-bb680e5fe0c8\"}",
    );
}

#[test]
fn cbor_is_written_in_its_shortest_form() {
    let check = |value: Value, expect: &[u8]| {
        let data = Data::from_value(Codec::Cbor, &value).expect("not deep");
        assert_eq!(&data.bytes()[..], expect, "{value:?}");
        assert_eq!(data.value().expect("own output"), value);
    };
    // RFC 8949 appendix A.
    check(Value::Int(23), &[0x17]);
    check(Value::Int(24), &[0x18, 24]);
    check(
        Value::Int(u64::MAX.into()),
        &[0x1b, 255, 255, 255, 255, 255, 255, 255, 255],
    );
    check(
        Value::Int(-(1 << 64)),
        &[0x3b, 255, 255, 255, 255, 255, 255, 255, 255],
    );
    check(Value::Int(-1000), &[0x39, 0x03, 0xe7]);
    check(Value::Float(0.0), &[0xf9, 0, 0]);
    check(Value::Float(-0.0), &[0xf9, 0x80, 0]);
    check(Value::Float(1.5), &[0xf9, 0x3e, 0]);
    check(Value::Float(65504.0), &[0xf9, 0x7b, 0xff]);
    check(Value::Float(100_000.0), &[0xfa, 0x47, 0xc3, 0x50, 0]);
    check(Value::Float(5.960_464_477_539_063e-8), &[0xf9, 0, 1]);
    check(Value::Float(0.000_061_035_156_25), &[0xf9, 4, 0]);
    check(
        Value::Float(1.1),
        &[0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a],
    );
    check(Value::Float(f64::INFINITY), &[0xf9, 0x7c, 0]);
    check(Value::Float(f64::NEG_INFINITY), &[0xf9, 0xfc, 0]);
    check(Value::Float(f64::NAN), &[0xf9, 0x7e, 0]);
    check(Value::Bool(false), &[0xf4]);
    check(Value::Text("ü".into()), &[0x62, 0xc3, 0xbc]);
    check(
        Value::Tag(24, Box::new(Value::Bytes(Bytes::from_static(b"d")))),
        &[0xd8, 0x18, 0x41, b'd'],
    );
}

#[test]
fn every_half_float_survives() {
    for half in 0..=u16::MAX {
        let data = checked(Codec::Cbor, &[0xf9, (half >> 8) as u8, half as u8]).expect("float");
        let again = Data::from_value(Codec::Cbor, &data.value().expect("float")).expect("float");
        let nan = half & 0x7c00 == 0x7c00 && half & 0x3ff != 0;
        if nan {
            assert_eq!(again.bytes()[..], [0xf9, 0x7e, 0]);
        } else {
            assert_eq!(again, data, "{half:04x}");
        }
    }
}

#[test]
fn cbor_in_any_well_formed_shape_is_read() {
    let check = |bytes: &[u8], expect: &str| {
        let data = checked(Codec::Cbor, bytes).expect(expect);
        let json = data.transcode(Codec::Json).expect(expect);
        assert_eq!(std::str::from_utf8(json.bytes()).expect("utf-8"), expect);
    };
    check(&[0x9f, 1, 0x82, 2, 3, 0x9f, 0xff, 0xff], "[1,[2,3],[]]");
    check(&[0xbf, 0x61, b'a', 1, 0xff], "{\"a\":1}");
    check(&[0x7f, 0x61, b'a', 0x60, 0x61, b'b', 0xff], "\"ab\"");
    check(&[0x5f, 0x41, 0, 0x41, 1, 0xff], "{\"$bytes\":\"AAE=\"}");
    check(&[0x5f, 0xff], "{\"$bytes\":\"\"}");
    check(&[0x1b, 0, 0, 0, 0, 0, 0, 0, 7], "7");
    check(&[0xf7], "null");
    check(&[0xc0, 0x61, b'x'], "{\"$tag\":[0,\"x\"]}");
    check(
        &[0xd8, 37, 0x41, 1],
        "{\"$tag\":[37,{\"$bytes\":\"AQ==\"}]}",
    );
}

#[test]
fn f74_bytes_that_are_no_value_are_refused() {
    for bad in [
        &[][..],
        &[0x18],
        &[0x1c],
        &[0x61],
        &[0x61, 0xff],
        &[0x62, 0xc3],
        &[0x81],
        &[0x82, 1],
        &[0xff],
        &[0x9f, 1],
        &[0xa1, 1],
        &[0xbf, 1, 0xff],
        &[0x7f, 0x41, 0, 0xff],
        &[0x7f, 0x7f, 0xff, 0xff],
        &[0xe0],
        &[0xf8, 20],
        &[0xf8, 255],
        &[0xc1],
        &[1, 1],
        &[0xdf, 1],
        &[0x1f],
        &[0x3f],
        &[0xfc],
        &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0x5b, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0x81, 0xff],
        &[0x9f, 0xc1, 0xff, 0xff],
    ] {
        assert_eq!(
            checked(Codec::Cbor, bad),
            Err(ErrorCode::UNDECODABLE),
            "{bad:02x?}"
        );
    }
    for bad in [
        "",
        " ",
        "nul",
        "tru",
        "01",
        "-",
        "1.",
        ".1",
        "1e",
        "1e+",
        "+1",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,]",
        "{",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "]",
        "1 2",
        "NaN",
        "Infinity",
        "'a'",
        "[1 2]",
        "{\"a\" 1}",
        "\u{feff}1",
    ] {
        assert_eq!(
            checked(Codec::Json, bad.as_bytes()),
            Err(ErrorCode::UNDECODABLE),
            "{bad}"
        );
    }
    assert_eq!(
        checked(Codec::Json, b"\"\xff\""),
        Err(ErrorCode::UNDECODABLE)
    );
    assert_eq!(
        checked(Codec::Json, b"\"\xed\xa0\x80\""),
        Err(ErrorCode::UNDECODABLE)
    );
}

#[test]
fn limits_hold_on_both_codecs() {
    let limits = Limits {
        max_bytes: 100,
        max_depth: 3,
        max_elements: 10,
    };
    let check = |codec, bytes: &[u8]| {
        Data::checked(codec, Bytes::copy_from_slice(bytes), &limits)
            .map(drop)
            .map_err(|r| r.code)
    };
    assert_eq!(check(Codec::Cbor, &[0x81, 0x81, 0x80]), Ok(()));
    assert_eq!(check(Codec::Cbor, &[0x81, 0x81, 0x81, 1]), Ok(()));
    assert_eq!(
        check(Codec::Cbor, &[0x81, 0x81, 0x81, 0x80]),
        Err(ErrorCode::TOO_DEEP)
    );
    assert_eq!(
        check(Codec::Cbor, &[0xc1, 0xc1, 0xc1, 0xc1, 1]),
        Err(ErrorCode::TOO_DEEP)
    );
    assert_eq!(check(Codec::Json, b"[[[1]]]"), Ok(()));
    assert_eq!(check(Codec::Json, b"[[{}]]"), Ok(()));
    assert_eq!(check(Codec::Json, b"[[[[]]]]"), Err(ErrorCode::TOO_DEEP));
    assert_eq!(check(Codec::Json, b"[1,2,3,4,5,6,7,8,9]"), Ok(()));
    assert_eq!(
        check(Codec::Json, b"[1,2,3,4,5,6,7,8,9,0]"),
        Err(ErrorCode::TOO_LARGE)
    );
    assert_eq!(
        check(Codec::Cbor, &[0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        Ok(())
    );
    assert_eq!(
        check(Codec::Cbor, &[0x8a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]),
        Err(ErrorCode::TOO_LARGE)
    );
    assert_eq!(check(Codec::Json, &[b' '; 101]), Err(ErrorCode::TOO_LARGE));
}

#[test]
fn the_deepest_value_that_limits_can_allow_is_read_and_transcoded() {
    let limits = Limits {
        max_depth: usize::MAX,
        ..Limits::default()
    };
    let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
    let deepest =
        Data::checked(Codec::Json, nested(Limits::DEEPEST).into(), &limits).expect("allowed");
    let cbor = deepest.transcode(Codec::Cbor).expect("allowed");
    assert_eq!(cbor.transcode(Codec::Json).expect("allowed"), deepest);
    let deeper = Data::checked(Codec::Json, nested(Limits::DEEPEST + 1).into(), &limits);
    assert_eq!(deeper.map_err(|r| r.code), Err(ErrorCode::TOO_DEEP));
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Everything {
    id: Uuid,
    #[serde(with = "crate::typed::uuid")]
    marked: Uuid,
    #[serde(with = "crate::typed::time")]
    at: Time,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    numbers: Vec<u8>,
    float: f64,
    large: u64,
    huge: i128,
    nothing: Option<u8>,
    something: Option<String>,
    pair: (u8, char),
    kind: Kind,
    kinds: Vec<Kind>,
    by_number: std::collections::BTreeMap<u16, bool>,
    unit: (),
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Kind {
    Plain,
    New(u8),
    Tuple(u8, u8),
    Fields { a: u8 },
}

#[test]
fn f09_a_rust_type_goes_through_both_codecs() {
    let uuid = Uuid::from_bytes(*b"sixteen bytes ok");
    let value = Everything {
        id: uuid,
        marked: uuid,
        at: Time::parse("2026-11-21T03:21:42Z").expect("instant"),
        bytes: vec![0, 255],
        numbers: vec![1, 2],
        float: 1.0,
        large: u64::MAX,
        huge: i128::MIN,
        nothing: None,
        something: Some("x".into()),
        pair: (1, 'ü'),
        kind: Kind::Plain,
        kinds: vec![Kind::New(1), Kind::Tuple(1, 2), Kind::Fields { a: 1 }],
        by_number: [(1, true)].into(),
        unit: (),
    };
    for codec in Codec::ALL {
        let data = Data::from(codec, &value).expect("encodable");
        assert_eq!(data.codec(), codec);
        assert_eq!(
            data.to::<Everything>().expect("decodable"),
            value,
            "{codec:?}"
        );
    }
    let json = Data::from(Codec::Json, &value).expect("encodable");
    let text = std::str::from_utf8(json.bytes()).expect("utf-8");
    assert!(
        text.contains(r#""marked":{"$uuid":"73697874-6565-6e20-6279-746573206f6b"}"#),
        "{text}"
    );
    assert!(
        text.contains(r#""at":{"$time":"2026-11-21T03:21:42Z"}"#),
        "{text}"
    );
    assert!(text.contains(r#""bytes":{"$bytes":"AP8="}"#), "{text}");
    assert!(
        text.contains(r#""by_number":{"$map":[[1,true]]}"#),
        "{text}"
    );
}

#[test]
fn f09_what_javascript_sends_fits_rust_types() {
    #[derive(Deserialize, PartialEq, Debug)]
    struct Point {
        x: f64,
        y: f32,
        #[serde(default)]
        label: Option<String>,
        id: Uuid,
        raw: Vec<u8>,
    }
    let sent = json(
        r#"{"x":1,"y":2.5,"id":{"$uuid":"67e55044-10b1-426f-9247-bb680e5fe0c8"},"raw":{"$bytes":"AQI="},"more":1}"#,
    );
    let point: Point = sent.to().expect("fits");
    assert_eq!((point.x, point.y, point.label), (1.0, 2.5, None));
    assert_eq!(point.id.to_string(), "67e55044-10b1-426f-9247-bb680e5fe0c8");
    assert_eq!(point.raw, [1, 2]);
    assert_eq!(
        json("1.5").to::<u8>().map_err(|r| r.code),
        Err(ErrorCode::UNDECODABLE)
    );
    assert_eq!(
        json("256").to::<u8>().map_err(|r| r.code),
        Err(ErrorCode::UNDECODABLE)
    );
    assert_eq!(
        json("[1,2,3]").to::<(u8, u8)>().map_err(|r| r.code),
        Err(ErrorCode::UNDECODABLE)
    );
    assert_eq!(json("null").to::<()>(), Ok(()));
    let uuid = json(r#"{"$uuid":"67e55044-10b1-426f-9247-bb680e5fe0c8"}"#);
    assert_eq!(
        uuid.to::<String>().as_deref(),
        Ok("67e55044-10b1-426f-9247-bb680e5fe0c8")
    );
    let time = json(r#"{"$time":"2026-11-21T03:21:42Z"}"#);
    assert_eq!(time.to::<String>().as_deref(), Ok("2026-11-21T03:21:42Z"));
    assert_eq!(
        json(r#"{"$tag":[1000,"x"]}"#).to::<String>().as_deref(),
        Ok("x")
    );
}

#[test]
fn values_too_deep_to_write_are_refused() {
    let mut value = Value::Null;
    for _ in 0..=Limits::DEEPEST {
        value = Value::Array(vec![value]);
    }
    for codec in Codec::ALL {
        assert_eq!(
            Data::from_value(codec, &value).map_err(|r| r.code),
            Err(ErrorCode::TOO_DEEP)
        );
    }
}
