//! Golden frames and pushed events: each in Rust, CBOR and JSON.

use bytes::Bytes;
use tengen_protocol::{
    ClientFrame, ClientHello, CloseCode, Codec, Data, ErrorCode, EventId, Limits, OutFrame,
    RawEvent, Refusal, ServerFrame, ServerHello, Undecodable, Value,
};

use crate::golden::{bytes, either, file, list, show, text};

fn id(text: &str) -> EventId {
    EventId::parse(text).expect("event id")
}

fn data(codec: Codec, value: &Value) -> Data {
    Data::from_value(codec, value).expect("not deep")
}

fn note() -> Value {
    Value::Map(vec![
        ("text".into(), "hi".into()),
        ("n".into(), Value::Int(1)),
    ])
}

fn client_frame(name: &str, codec: Codec) -> ClientFrame {
    let hello = |session: Option<&str>, received, params: Option<Value>| {
        ClientFrame::Hello(ClientHello {
            client: "tab-1".try_into().expect("client id"),
            attempt: 1,
            session: session.map(|session| session.try_into().expect("session id")),
            received,
            params: params.map(|value| data(codec, &value)),
        })
    };
    match name {
        "hello" => hello(None, None, None),
        "hello that resumes, with params" => {
            hello(Some("n1.AAAAAAAAAAAAAAAAAAAAAA"), Some(42), Some(note()))
        }
        "hello with null params" => hello(None, None, Some(Value::Null)),
        "event" => ClientFrame::Event {
            id: id("chat/say"),
            data: data(codec, &note()),
        },
        "event without data" => ClientFrame::Event {
            id: id("a/b"),
            data: Data::null(codec),
        },
        "event with the longest id" => ClientFrame::Event {
            id: id(&format!("{}/{}", "n".repeat(64), "e".repeat(64))),
            data: data(codec, &Value::Int(1)),
        },
        "request" => ClientFrame::Request {
            request: 7,
            id: id("chat/history"),
            data: data(codec, &Value::Array(vec![Value::Int(1), "x".into()])),
            timeout_ms: 5000,
        },
        "request with the largest ref and the node's own deadline" => ClientFrame::Request {
            request: u32::MAX,
            id: id("a_-.#?!9/B"),
            data: Data::null(codec),
            timeout_ms: 0,
        },
        "ack" => ClientFrame::Ack { received: 300 },
        "ping" => ClientFrame::Ping { ahead: None },
        "ping before a large item" => ClientFrame::Ping {
            ahead: Some(100_000),
        },
        "pong" => ClientFrame::Pong,
        "bye" => ClientFrame::Bye {
            code: CloseCode(1000),
            reason: "page closed".into(),
        },
        "error" => ClientFrame::Error(Refusal::new(ErrorCode::UNDECODABLE, "what was that?")),
        other => panic!("no client frame named {other:?}"),
    }
}

fn server_frame(name: &str, codec: Codec) -> ServerFrame {
    let hello = |resumed, gap, received, uid: Option<&str>, value: &Value| {
        ServerFrame::Hello(ServerHello {
            session: "n1.AAAAAAAAAAAAAAAAAAAAAA".try_into().expect("session id"),
            resumed,
            gap,
            received,
            uid: uid.map(|uid| uid.try_into().expect("uid")),
            data: data(codec, value),
            ping_ms: 15_000,
            max_bytes: 524_288,
            node: "n1".try_into().expect("node id"),
        })
    };
    let event = |name: &str, value: &Value| ServerFrame::Event {
        id: id(name),
        data: data(codec, value),
    };
    match name {
        "hello" => hello(false, false, 0, None, &Value::Null),
        "hello, resumed" => hello(true, false, 42, Some("Zoë 🦀"), &note()),
        "hello, fresh with a gap" => hello(false, true, 0, Some("alice@example.com"), &Value::Null),
        "event" => event("chat/said", &note()),
        "event, reserved: gap" => event(
            "chsk/gap",
            &Value::Map(vec![("reason".into(), "bus-down".into())]),
        ),
        "event, reserved: error" => event(
            "chsk/error",
            &Value::Map(vec![
                ("code".into(), Value::Int(3)),
                ("message".into(), "event id has no namespace".into()),
                ("position".into(), Value::Int(17)),
            ]),
        ),
        "reply" => ServerFrame::Reply {
            request: 7,
            outcome: Ok(data(codec, &note())),
        },
        "reply of null" => ServerFrame::Reply {
            request: 0,
            outcome: Ok(Data::null(codec)),
        },
        "reply that looks like an error" => ServerFrame::Reply {
            request: 1,
            outcome: Ok(data(
                codec,
                &Value::Array(vec![Value::Int(9), "no-handler".into()]),
            )),
        },
        "reply, refused" => ServerFrame::Reply {
            request: 7,
            outcome: Err(Refusal::new(
                ErrorCode::NO_HANDLER,
                "nobody answers chat/history",
            )),
        },
        "reply, the application's error" => ServerFrame::Reply {
            request: 7,
            outcome: Err(Refusal::new(ErrorCode(1000), "sold out")),
        },
        "ack" => ServerFrame::Ack {
            received: 300,
            sent: Some(4_000_000_000),
        },
        "ack, the answer to a POST" => ServerFrame::Ack {
            received: 300,
            sent: None,
        },
        "ping" => ServerFrame::Ping { ahead: None },
        "ping before a large item" => ServerFrame::Ping {
            ahead: Some(100_000),
        },
        "pong" => ServerFrame::Pong,
        "bye, move" => ServerFrame::Bye {
            code: CloseCode::MOVE,
            reason: "restarting for an update".into(),
            after_ms: 1000,
            window_ms: 30_000,
        },
        "bye, superseded" => ServerFrame::Bye {
            code: CloseCode::SUPERSEDED,
            reason: String::new(),
            after_ms: 0,
            window_ms: 0,
        },
        "error" => ServerFrame::Error(Refusal::new(
            ErrorCode::BAD_EVENT,
            "received must be a whole number",
        )),
        other => panic!("no server frame named {other:?}"),
    }
}

fn is_item(entry: &serde_json::Value) -> bool {
    entry["item"].as_bool().expect("item")
}

#[test]
fn f67_client_frames_are_the_golden_bytes_and_back() {
    let file = file("frames.json");
    for entry in list(&file, "client") {
        let name = text(entry, "name");
        for codec in Codec::ALL {
            let (frame, golden) = (client_frame(name, codec), bytes(entry, codec));
            assert_eq!(
                show(codec, &frame.encode(codec)),
                show(codec, &golden),
                "{name}"
            );
            let read = ClientFrame::decode(codec, golden, &Limits::default());
            assert_eq!(read.as_ref(), Ok(&frame), "{name}");
            assert_eq!(frame.is_item(), is_item(entry), "{name}");
        }
    }
    assert_eq!(list(&file, "client").len(), 14);
}

#[test]
fn f67_server_frames_are_the_golden_bytes_and_back() {
    let file = file("frames.json");
    for entry in list(&file, "server") {
        let name = text(entry, "name");
        for codec in Codec::ALL {
            let (frame, golden) = (server_frame(name, codec), bytes(entry, codec));
            assert_eq!(
                show(codec, &frame.encode(codec)),
                show(codec, &golden),
                "{name}"
            );
            let read = ServerFrame::decode(codec, golden, &Limits::from_server(524_288));
            assert_eq!(read.as_ref(), Ok(&frame), "{name}");
            assert_eq!(frame.is_item(), is_item(entry), "{name}");
        }
    }
    assert_eq!(list(&file, "server").len(), 19);
}

#[test]
fn frames_of_other_writers_and_later_versions_are_read() {
    let file = file("frames.json");
    for entry in list(&file, "read_too") {
        let (name, (codec, input)) = (text(entry, "name"), either(entry));
        let wanted = text(entry, "as");
        match text(entry, "from") {
            "client" => {
                let read = ClientFrame::decode(codec, input, &Limits::default());
                assert_eq!(read, Ok(client_frame(wanted, codec)), "{name}");
            }
            _ => {
                let read = ServerFrame::decode(codec, input, &Limits::default());
                assert_eq!(read, Ok(server_frame(wanted, codec)), "{name}");
            }
        }
    }
}

#[test]
fn f08_f74_golden_bad_frames_are_refused_and_counted_by_the_rule() {
    let file = file("frames.json");
    for entry in list(&file, "refused") {
        let (name, (codec, input)) = (text(entry, "name"), either(entry));
        let refused: Option<Undecodable> = match text(entry, "from") {
            "client" => ClientFrame::decode(codec, input, &Limits::default()).err(),
            _ => ServerFrame::decode(codec, input, &Limits::default()).err(),
        };
        let refused = refused.unwrap_or_else(|| panic!("{name} is not refused"));
        let told = (
            u64::from(refused.refusal.code.0),
            refused.item,
            refused.request.map(u64::from),
        );
        let expected = (
            entry["code"].as_u64().expect("code"),
            is_item(entry),
            entry["ref"].as_u64(),
        );
        assert_eq!(told, expected, "{name}: {refused}");
    }
    assert!(list(&file, "refused").len() >= 30);
}

#[test]
fn pushed_events_become_the_golden_frames() {
    let file = file("events.json");
    for entry in list(&file, "events") {
        let name = text(entry, "name");
        let (codec, body) = either(entry);
        let event = RawEvent::check(codec, body, &Limits::default()).expect(name);
        assert_eq!(event.id(), text(entry, "id"), "{name}");
        for to in Codec::ALL {
            let frame = event.to_frame(to).expect(name);
            let golden = bytes(&entry["frame"], to);
            assert_eq!(
                show(to, &frame.body()),
                show(to, &golden),
                "{name} to {to:?}"
            );
            assert_eq!(frame, OutFrame::new(to, &golden), "{name} to {to:?}");
            let sent = ServerFrame::Event {
                id: id(event.id()),
                data: event.data().transcode(to).expect(name),
            };
            let read = ServerFrame::decode(to, frame.body(), &Limits::default()).expect(name);
            if to == codec && entry["spaced"] != true {
                assert_eq!(read, sent, "{name}");
            }
        }
    }
}

#[test]
fn f63b_golden_bad_pushes_are_refused_each_in_its_own_way() {
    let file = file("events.json");
    let mut told: Vec<(u32, String)> = Vec::new();
    for entry in list(&file, "refused") {
        let (name, (codec, body)) = (text(entry, "name"), either(entry));
        let refusal = RawEvent::check(codec, body, &Limits::default()).expect_err(name);
        assert_eq!(
            u64::from(refusal.code.0),
            entry["code"].as_u64().expect("code"),
            "{name}: {refusal}"
        );
        told.push((refusal.code.0, refusal.message));
    }
    let of_shape: std::collections::HashSet<_> =
        told.iter().filter(|(code, _)| *code <= 4).collect();
    assert!(of_shape.len() >= 7, "{of_shape:?}");
}

#[test]
fn a_frame_over_the_limit_is_refused_without_being_read() {
    let limits = Limits {
        max_bytes: 32,
        ..Limits::default()
    };
    let large = |start: &str| Bytes::from(format!("{start}{}", " ".repeat(40)));
    let refused = |frame| ClientFrame::decode(Codec::Json, frame, &limits).expect_err("too large");
    let request = refused(large("[2,99,"));
    assert_eq!(
        (request.refusal.code, request.item, request.request),
        (ErrorCode::TOO_LARGE, true, Some(99))
    );
    let ack = refused(large("[4,1]"));
    assert_eq!(
        (ack.refusal.code, ack.item, ack.request),
        (ErrorCode::TOO_LARGE, true, None)
    );
    // Cut off in the middle of a number, which must not be taken for a shorter one.
    assert_eq!(Undecodable::too_large(Codec::Json, b"[2,99").request, None);
    assert_eq!(
        Undecodable::too_large(Codec::Cbor, &[0x84, 2, 0x18, 99]).request,
        Some(99)
    );
    assert_eq!(
        Undecodable::too_large(Codec::Cbor, &[0x84, 2, 0x18]).request,
        None
    );
}
