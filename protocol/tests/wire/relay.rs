//! Relay messages: golden bytes, every cut refused, later versions and kinds told apart.

use bytes::Bytes;
use tengen_protocol::relay::{BadRelay, FromHome, RelayedPoll, RelayedPost, ToHome};
use tengen_protocol::{Codec, Data, NodeId, SessionId, Uid, Value};

use crate::golden;

fn session() -> SessionId {
    SessionId::new(&NodeId::parse("n1").expect("valid"), [0; 16])
}

fn requests() -> Vec<(&'static str, ToHome)> {
    vec![
        (
            "a GET of nobody",
            ToHome::Poll(RelayedPoll {
                session: session(),
                uid: None,
                attempt: 1,
                n: 7,
                received: 300,
                hold_ms: 4_000,
            }),
        ),
        (
            "a POST of alice",
            ToHome::Post(RelayedPost {
                session: session(),
                uid: Some(Uid::parse("alice").expect("valid")),
                attempt: 2,
                first: 3,
                codec: Codec::Json,
                peer: "127.0.0.1:4711".parse().expect("valid"),
                uri: "/chsk?first=3".to_owned(),
                headers: vec![
                    ("host".to_owned(), Bytes::from_static(b"example.com")),
                    ("x-raw".to_owned(), Bytes::from_static(&[0xff])),
                ],
                body: Bytes::from_static(b"[1,\"a/b\"]\n"),
            }),
        ),
        ("who has it", ToHome::Who(session())),
        (
            "the rest of an answer",
            ToHome::Rest {
                id: 7,
                from: 1_048_576,
            },
        ),
    ]
}

fn answers() -> Vec<(&'static str, FromHome)> {
    vec![
        ("nothing waits", FromHome::Body(Codec::Cbor, Bytes::new())),
        (
            "an ack",
            FromHome::Body(Codec::Json, Bytes::from_static(b"[4,3]\n")),
        ),
        (
            "superseded",
            FromHome::Refused(409, 4505, "a newer connection was here".to_owned()),
        ),
        ("not mine", FromHome::NotMine),
        ("mine", FromHome::Mine(NodeId::parse("n2").expect("valid"))),
        (
            "the beginning of a large answer",
            FromHome::Begun {
                codec: Codec::Json,
                id: 7,
                total: 1_500_000,
                piece: Bytes::from_static(b"[1,\"a/b\",\""),
            },
        ),
        (
            "a piece of it",
            FromHome::Piece(Bytes::from_static(b"\\u0001")),
        ),
    ]
}

#[test]
fn c2_relay_messages_have_golden_bytes() {
    let mut ours = Vec::new();
    for (name, message) in requests() {
        assert_eq!(ToHome::decode(&message.encode()).as_ref(), Ok(&message));
        ours.push((
            name.to_owned(),
            golden::show(Codec::Cbor, &message.encode()),
        ));
    }
    for (name, message) in answers() {
        assert_eq!(FromHome::decode(&message.encode()).as_ref(), Ok(&message));
        ours.push((
            name.to_owned(),
            golden::show(Codec::Cbor, &message.encode()),
        ));
    }
    let file = golden::file("bus.json");
    let golden: Vec<_> = golden::list(&file, "relay")
        .iter()
        .map(|entry| (golden::text(entry, "name"), golden::text(entry, "hex")))
        .collect();
    let ours: Vec<_> = ours
        .iter()
        .map(|(name, hex)| (name.as_str(), hex.as_str()))
        .collect();
    assert_eq!(ours, golden);
}

#[test]
fn a_message_cut_anywhere_is_refused_and_read_by_nobody() {
    for (name, message) in requests() {
        let whole = message.encode();
        for end in 0..whole.len() {
            assert!(ToHome::decode(&whole.slice(..end)).is_err(), "{name} {end}");
        }
    }
    for (name, message) in answers() {
        let whole = message.encode();
        for end in 0..whole.len() {
            assert!(
                FromHome::decode(&whole.slice(..end)).is_err(),
                "{name} {end}"
            );
        }
    }
}

#[test]
fn later_versions_and_other_kinds_are_told_apart_from_broken_ones() {
    let (number, text) = (Value::Int, |text: &str| Value::Text(text.to_owned()));
    let encoded = |fields: Vec<Value>| {
        let data = Data::from_value(Codec::Cbor, &Value::Array(fields)).expect("valid");
        data.bytes().clone()
    };
    let later = encoded(vec![number(2), number(34), text("whatever")]);
    assert_eq!(ToHome::decode(&later), Err(BadRelay::Version(2)));
    assert_eq!(FromHome::decode(&later), Err(BadRelay::Version(2)));
    let other = encoded(vec![number(1), number(3), text("whatever")]);
    assert_eq!(ToHome::decode(&other), Err(BadRelay::Kind(3)));
    assert_eq!(FromHome::decode(&other), Err(BadRelay::Kind(3)));
    let nobody = encoded(vec![number(1), number(34), text("nobody")]);
    assert_eq!(
        ToHome::decode(&nobody),
        Err(BadRelay::Malformed("session id"))
    );
    // What a later node adds behind the fields we know does not matter.
    let id = text(session().as_str());
    let more = encoded(vec![number(1), number(34), id, Value::Null]);
    assert_eq!(ToHome::decode(&more), Ok(ToHome::Who(session())));
}
