//! Golden bus messages: `protocol/wire/bus.json` says what each means.

use serde_json::Value;

use super::{Filter, Push, Target, message_id};

/// The golden file.
pub(super) fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/wire/bus.json");
    let text = std::fs::read_to_string(path).expect("protocol/wire/bus.json");
    serde_json::from_str(&text).expect("JSON")
}

pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value[key]
        .as_array()
        .unwrap_or_else(|| panic!("no list {key}"));
    assert!(!list.is_empty());
    list
}

pub(super) fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect()
}

pub(super) fn number(value: &Value) -> u128 {
    value.as_str().map_or(0, |text| {
        u128::from_str_radix(text, 16).expect("hexadecimal")
    })
}

/// A push as the golden file describes it.
pub(super) fn push(value: &Value) -> Push {
    let text = |key: &str| value[key].as_str().unwrap_or_default();
    let event = match value["event_hex"].as_str() {
        Some(bytes) => hex(bytes),
        None => text("event").as_bytes().to_vec(),
    };
    Push {
        target: match text("target") {
            "uid" => Target::Uid(text("uid").parse().expect("a uid")),
            "anonymous" => Target::Anonymous,
            "all" => Target::All,
            other => panic!("target {other}"),
        },
        filter: match text("filter") {
            "" => Filter::None,
            "only" => Filter::Only(text("client").parse().expect("a client")),
            "except" => Filter::Except(text("client").parse().expect("a client")),
            other => panic!("filter {other}"),
        },
        id: number(&value["id"]),
        report: value["report"].as_bool().unwrap_or(false),
        flush: value["flush"].as_bool().unwrap_or(false),
        event: (
            if text("codec") == "cbor" {
                tengen_protocol::Codec::Cbor
            } else {
                tengen_protocol::Codec::Json
            },
            event.into(),
        ),
    }
}

#[test]
fn c2_message_ids_are_those_of_the_golden_file() {
    for case in list(&golden(), "message_ids") {
        let text = case["text"].as_str().expect("a text");
        assert_eq!(message_id(text), number(&case["id"]), "{text:?}");
    }
}
