//! Golden values: each in Rust, CBOR and JSON.

use bytes::Bytes;
use tengen_protocol::{Codec, Data, ErrorCode, Limits, Time, Value};
use uuid::Uuid;

use crate::golden::{bytes, either, file, list, show, text, unhex};

fn value_named(name: &str) -> Value {
    let int = Value::Int;
    let float = Value::Float;
    let time = |text| Value::Time(Time::parse(text).expect("instant"));
    let bytes = |content: &'static [u8]| Value::Bytes(Bytes::from_static(content));
    let array = Value::Array;
    let map = |pairs: &[(Value, Value)]| Value::Map(pairs.to_vec());
    let uuid = Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8);
    match name {
        "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "zero" => int(0),
        "one" => int(1),
        "one, as a float" => float(1.0),
        "minus one" => int(-1),
        "23, the last short integer" => int(23),
        "24" => int(24),
        "256" => int(256),
        "65536" => int(65_536),
        "2^32" => int(1 << 32),
        "2^53, the last plain integer" => int(1 << 53),
        "2^53 + 1" => int((1 << 53) + 1),
        "-2^53" => int(-(1 << 53)),
        "-2^53 - 1" => int(-(1 << 53) - 1),
        "greatest i64" => int(i64::MAX.into()),
        "least i64" => int(i64::MIN.into()),
        "greatest u64" => int(u64::MAX.into()),
        "least integer of CBOR" => int(-(1 << 64)),
        "one and a half" => float(1.5),
        "0.1" => float(0.1),
        "100000, as a float" => float(100_000.0),
        "1e300" => float(1e300),
        "least positive float" => float(5e-324),
        "zero, as a float" => float(0.0),
        "minus zero" => float(-0.0),
        "not a number" => float(f64::NAN),
        "infinity" => float(f64::INFINITY),
        "minus infinity" => float(f64::NEG_INFINITY),
        "empty text" => "".into(),
        "text" => "Zoë 🦀".into(),
        "text that needs escapes" => "\"\\/\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}\u{2028}".into(),
        "empty bytes" => bytes(b""),
        "bytes" => bytes(&[0, 1, 254, 255]),
        "empty array" => array(vec![]),
        "array" => array(vec![int(1), "two".into(), Value::Null, array(vec![])]),
        "empty map" => map(&[]),
        "map" => map(&[
            ("b".into(), int(1)),
            ("a".into(), Value::Null),
            ("".into(), map(&[])),
        ]),
        "map with keys of other kinds" => map(&[
            (int(1), "int".into()),
            (Value::Null, "null".into()),
            (float(1.5), "float".into()),
            (bytes(&[1]), "bytes".into()),
            (Value::Bool(true), "bool".into()),
            ("text".into(), "text".into()),
        ]),
        "map whose only key begins with $" => map(&[("$uuid".into(), "no uuid".into())]),
        "map with $ keys among others" => map(&[("$a".into(), int(1)), ("b".into(), int(2))]),
        "$ maps in $ maps" => map(&[(
            "$map".into(),
            map(&[("$".into(), map(&[(int(1), int(2))]))]),
        )]),
        "uuid" => Value::Uuid(uuid),
        "time" => time("2026-11-21T03:21:42.500Z"),
        "time with an offset" => time("2026-11-21T04:21:42.123456789+01:00"),
        "unknown tag" => Value::Tag(1000, Box::new(array(vec![int(1), bytes(&[2])]))),
        "largest tag" => Value::Tag(u64::MAX, Box::new(Value::Null)),
        "tag in a tag" => Value::Tag(24, Box::new(Value::Tag(6, Box::new(int(1))))),
        "tag of a time around no time" => Value::Tag(0, Box::new("yesterday".into())),
        "tag of a uuid around no uuid" => Value::Tag(37, Box::new(bytes(&[1]))),
        "everything at once" => array(vec![
            map(&[
                ("at".into(), time("2026-11-21T03:21:42.500Z")),
                ("id".into(), Value::Uuid(uuid)),
            ]),
            map(&[(
                Value::Uuid(uuid),
                array(vec![float(f64::NAN), int((1 << 53) + 1)]),
            )]),
        ]),
        other => panic!("no value named {other:?}"),
    }
}

#[test]
fn f09_values_are_written_as_the_golden_file_says() {
    let file = file("values.json");
    for entry in list(&file, "values") {
        let value = value_named(text(entry, "name"));
        for codec in Codec::ALL {
            let written = Data::from_value(codec, &value).expect("not deep");
            assert_eq!(
                show(codec, written.bytes()),
                show(codec, &bytes(entry, codec)),
                "{codec:?} of {}",
                text(entry, "name")
            );
        }
    }
    assert!(list(&file, "values").len() >= 50);
}

#[test]
fn f09_golden_values_are_read_and_transcoded() {
    let file = file("values.json");
    for entry in list(&file, "values") {
        let name = text(entry, "name");
        let value = value_named(name);
        for codec in Codec::ALL {
            let data = Data::checked(codec, bytes(entry, codec), &Limits::default()).expect(name);
            assert_eq!(data.value().expect(name), value, "{codec:?} of {name}");
            for to in Codec::ALL {
                let there = data.transcode(to).expect(name);
                assert_eq!(
                    there.bytes(),
                    &bytes(entry, to),
                    "{name} from {codec:?} to {to:?}"
                );
            }
        }
        let too = |codec, input: Bytes| {
            let data = Data::checked(codec, input, &Limits::default()).expect(name);
            assert_eq!(data.value().expect(name), value, "{data:?} as {name}");
        };
        for hex in entry["cbor_too"].as_array().into_iter().flatten() {
            too(Codec::Cbor, unhex(hex.as_str().expect("hex")));
        }
        for json in entry["json_too"].as_array().into_iter().flatten() {
            too(
                Codec::Json,
                Bytes::copy_from_slice(json.as_str().expect("json").as_bytes()),
            );
        }
    }
}

#[test]
fn f74_golden_bad_values_are_refused() {
    let file = file("values.json");
    for entry in list(&file, "refused") {
        let (codec, input) = either(entry);
        let refused =
            Data::checked(codec, input, &Limits::default()).map_err(|refusal| refusal.code);
        let code = entry["code"]
            .as_u64()
            .and_then(|code| u32::try_from(code).ok())
            .map(ErrorCode);
        assert_eq!(refused.err(), code, "{}", text(entry, "name"));
    }
}
