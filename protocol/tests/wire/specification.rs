//! The examples and tables of the specification, held against the code.

use bytes::Bytes;
use tengen_protocol::{ClientFrame, CloseCode, Codec, ErrorCode, Limits, ServerFrame};

use crate::golden::{show, unhex};

const SPECIFICATION: &str = include_str!("../../README.md");

/// The pairs of lines that show one frame in both codecs: who says it, JSON, CBOR.
fn examples() -> Vec<(&'static str, &'static str, Bytes)> {
    let lines: Vec<&str> = SPECIFICATION.lines().collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let (from, json) = pair[0].strip_prefix("    ")?.split_once("  ")?;
        let cbor = pair[1].strip_prefix("    cbor    ")?;
        Some((from, json, unhex(cbor)))
    });
    pairs.collect()
}

#[test]
fn the_examples_are_the_same_frames_in_both_codecs() {
    let limits = Limits::default();
    for (from, json, cbor) in examples() {
        let json = Bytes::from_static(json.as_bytes());
        let [from_json, from_cbor] =
            [(Codec::Json, &json), (Codec::Cbor, &cbor)].map(|(codec, bytes)| {
                let written = match from {
                    "client" => ClientFrame::decode(codec, bytes.clone(), &limits)
                        .map(|frame| frame.encode(Codec::Cbor)),
                    "server" => ServerFrame::decode(codec, bytes.clone(), &limits)
                        .map(|frame| frame.encode(Codec::Cbor)),
                    other => panic!("{other} says nothing"),
                };
                show(
                    Codec::Cbor,
                    &written.unwrap_or_else(|refused| panic!("{bytes:?}: {refused}")),
                )
            });
        assert_eq!(from_json, from_cbor, "{json:?}");
        assert_eq!(from_cbor, show(Codec::Cbor, &cbor), "{json:?}");
    }
    assert!(examples().len() >= 10);
}

#[test]
fn the_tables_name_every_code() {
    for code in ErrorCode::ALL {
        let row = format!("| {} | {} |", code.0, code.name());
        assert!(SPECIFICATION.contains(&row), "{row}");
    }
    for code in CloseCode::ALL {
        let rows = SPECIFICATION
            .lines()
            .filter(|line| line.starts_with("| ") && line.contains(&code.0.to_string()));
        let answer = if code.comes_back() { "yes" } else { "no" };
        let told = rows.filter(|row| {
            row.rsplit('|')
                .nth(1)
                .is_some_and(|last| last.trim().starts_with(answer))
        });
        assert_eq!(told.count(), 1, "{code}");
    }
}

#[test]
fn the_walk_speaks_this_protocol() {
    let limits = Limits::default();
    let walk = SPECIFICATION.split("## A walk").nth(1).expect("a walk");
    let fill = |line: &str| {
        line.replace("SESSION", "n1.AAAAAAAAAAAAAAAAAAAAAA")
            .replace("\"node\":\"…\"", "\"node\":\"n1\"")
            .replace("\"uid\":…", "\"uid\":null")
            .replace(":…", ":null")
    };
    for line in walk.lines() {
        if let Some(said) = line.strip_prefix("< ") {
            let read = ServerFrame::decode(Codec::Json, fill(said).into(), &limits);
            assert!(read.is_ok(), "{line}: {read:?}");
        }
        if let Some(typed) = line.strip_prefix("> ") {
            let wrong = ["> [1,\"no-namespace\"]", "> hello?", "> [4,\"many\"]"].contains(&line);
            let read = ClientFrame::decode(Codec::Json, fill(typed).into(), &limits);
            assert_eq!(read.is_err(), wrong, "{line}: {read:?}");
        }
    }
}
