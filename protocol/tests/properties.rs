//! What holds for any value, any frame, any name and any bytes.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tengen_protocol::subject::{
    MAX_SUBJECT_BYTES, SendTo, Subjects, decode_header, decode_token, encode_header, encode_token,
};
use tengen_protocol::{
    ClientFrame, ClientHello, ClientId, CloseCode, Codec, Data, ErrorCode, EventId, Limits, NodeId,
    OutFrame, RawEvent, Refusal, ServerFrame, ServerHello, SessionId, Time, Uid, Value, sequence,
};
use uuid::Uuid;

fn value() -> impl Strategy<Value = Value> {
    let special = select(vec![
        0.0,
        -0.0,
        1.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
    ]);
    let text = prop_oneof![any::<String>(), "[$a-z\"\\\\\u{0}-\u{1f}🦀]{0,8}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|n| Value::Int(n.into())),
        any::<u64>().prop_map(|n| Value::Int(n.into())),
        (-300i128..300).prop_map(Value::Int),
        any::<u64>().prop_map(|n| Value::Int(-1 - i128::from(n))),
        special.prop_map(Value::Float),
        any::<f64>().prop_map(Value::Float),
        any::<f32>().prop_map(|n| Value::Float(n.into())),
        text.prop_map(Value::Text),
        vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())),
        any::<u128>().prop_map(|n| Value::Uuid(Uuid::from_u128(n))),
        select(vec![
            "2026-11-21T03:21:42Z",
            "1999-12-31t23:59:60.9z",
            "2024-02-29T00:00:00-23:59"
        ])
        .prop_map(|text| Value::Time(Time::parse(text).expect("instant"))),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let key = prop_oneof![3 => any::<String>().prop_map(Value::Text), 1 => inner.clone()];
        // A tag 0 or 37 around what it means is a time or a uuid, and read as one.
        let tag = any::<u64>().prop_filter("tags with a type of their own", |tag| {
            ![0, 37].contains(tag)
        });
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((key, inner.clone()), 0..6).prop_map(Value::Map),
            (
                select(vec![
                    "$bytes", "$uuid", "$time", "$map", "$int", "$f64", "$tag", "$"
                ]),
                inner.clone()
            )
                .prop_map(|(key, value)| Value::Map(vec![(key.into(), value)])),
            (tag, inner).prop_map(|(tag, value)| Value::Tag(tag, Box::new(value))),
        ]
    })
}

fn codec() -> impl Strategy<Value = Codec> {
    select(Codec::ALL.to_vec())
}

fn event_id() -> impl Strategy<Value = EventId> {
    "[A-Za-z0-9_.#?!-]{1,64}/[A-Za-z0-9_.#?!-]{1,64}"
        .prop_map(|text| EventId::parse(&text).expect("in the grammar"))
        .prop_filter("not reserved", |id| !id.is_reserved())
}

fn uid() -> impl Strategy<Value = Uid> {
    let texts = prop_oneof![
        "[^\\p{Cc}]{1,64}",
        "[.*>%/ a-z\\u{80}-\\u{ff}]{1,128}",
        Just("🦀".repeat(64))
    ];
    texts.prop_filter_map("within 256 bytes, no controls", |text| {
        Uid::parse(&text).ok()
    })
}

fn node_id() -> impl Strategy<Value = NodeId> {
    "[a-z0-9-]{1,40}".prop_map(|text| NodeId::parse(&text).expect("in the grammar"))
}

fn session_id() -> impl Strategy<Value = SessionId> {
    (node_id(), any::<[u8; 16]>()).prop_map(|(node, random)| SessionId::new(&node, random))
}

fn data(codec: Codec) -> impl Strategy<Value = Data> {
    value().prop_map(move |value| Data::from_value(codec, &value).expect("not deep"))
}

fn refusal() -> impl Strategy<Value = Refusal> {
    (1u32.., any::<String>()).prop_map(|(code, message)| Refusal::new(ErrorCode(code), message))
}

fn client_frame(codec: Codec) -> impl Strategy<Value = ClientFrame> {
    let client = any::<[u8; 16]>().prop_map(ClientId::new);
    let hello = (
        client,
        any::<u64>(),
        option::of(session_id()),
        option::of(any::<u64>()),
        option::of(data(codec)),
    )
        .prop_map(|(client, attempt, session, received, params)| {
            ClientFrame::Hello(ClientHello {
                client,
                attempt,
                session,
                received,
                params,
            })
        });
    prop_oneof![
        hello,
        (event_id(), data(codec)).prop_map(|(id, data)| ClientFrame::Event { id, data }),
        (any::<u32>(), event_id(), data(codec), any::<u64>()).prop_map(
            |(request, id, data, timeout_ms)| {
                ClientFrame::Request {
                    request,
                    id,
                    data,
                    timeout_ms,
                }
            }
        ),
        any::<u64>().prop_map(|received| ClientFrame::Ack { received }),
        option::of(any::<u64>()).prop_map(|ahead| ClientFrame::Ping { ahead }),
        Just(ClientFrame::Pong),
        (any::<u16>(), any::<String>()).prop_map(|(code, reason)| ClientFrame::Bye {
            code: CloseCode(code),
            reason
        }),
        refusal().prop_map(ClientFrame::Error),
    ]
}

fn server_frame(codec: Codec) -> impl Strategy<Value = ServerFrame> {
    let counts = (
        any::<bool>(),
        any::<bool>(),
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
    );
    let hello = (
        session_id(),
        counts,
        option::of(uid()),
        data(codec),
        node_id(),
    )
        .prop_map(
            |(session, (resumed, gap, received, ping_ms, max_bytes), uid, data, node)| {
                ServerFrame::Hello(ServerHello {
                    session,
                    resumed,
                    gap,
                    received,
                    uid,
                    data,
                    ping_ms,
                    max_bytes,
                    node,
                })
            },
        );
    prop_oneof![
        hello,
        (event_id(), data(codec)).prop_map(|(id, data)| ServerFrame::Event { id, data }),
        (any::<u32>(), data(codec)).prop_map(|(request, data)| ServerFrame::Reply {
            request,
            outcome: Ok(data)
        }),
        (any::<u32>(), refusal()).prop_map(|(request, refusal)| ServerFrame::Reply {
            request,
            outcome: Err(refusal)
        }),
        any::<(u64, Option<u64>)>()
            .prop_map(|(received, sent)| ServerFrame::Ack { received, sent }),
        option::of(any::<u64>()).prop_map(|ahead| ServerFrame::Ping { ahead }),
        Just(ServerFrame::Pong),
        (any::<u16>(), any::<String>(), any::<(u64, u64)>()).prop_map(
            |(code, reason, (after, window))| {
                ServerFrame::Bye {
                    code: CloseCode(code),
                    reason,
                    after_ms: after,
                    window_ms: window,
                }
            }
        ),
        refusal().prop_map(ServerFrame::Error),
    ]
}

/// Wide enough for anything that the strategies make.
fn wide() -> Limits {
    Limits {
        max_bytes: usize::MAX,
        max_depth: usize::MAX,
        max_elements: usize::MAX,
    }
}

proptest! {
    #[test]
    fn f09_any_value_survives_both_codecs_and_the_way_between_them(value in value()) {
        for codec in Codec::ALL {
            let written = Data::from_value(codec, &value).expect("not deep");
            let read = Data::checked(codec, written.bytes().clone(), &wide()).expect("own output");
            prop_assert_eq!(&read.value().expect("own output"), &value);
            let other = if codec == Codec::Cbor { Codec::Json } else { Codec::Cbor };
            let there = read.transcode(other).expect("not deep");
            let back = there.transcode(codec).expect("not deep");
            prop_assert_eq!(&there.value().expect("own output"), &value);
            prop_assert_eq!(back.bytes(), written.bytes());
        }
    }

    #[test]
    fn any_value_written_as_json_is_json_to_others_too(value in value()) {
        let written = Data::from_value(Codec::Json, &value).expect("not deep");
        prop_assert!(serde_json::from_slice::<serde_json::Value>(written.bytes()).is_ok());
        prop_assert!(!written.bytes().contains(&b'\n'));
    }

    #[test]
    fn any_value_written_as_cbor_is_cbor_to_others_too(value in value()) {
        let written = Data::from_value(Codec::Cbor, &value).expect("not deep");
        prop_assert!(ciborium::from_reader::<ciborium::Value, _>(&written.bytes()[..]).is_ok());
    }

    #[test]
    fn f67_any_client_frame_survives((codec, frame) in codec().prop_flat_map(|c| (Just(c), client_frame(c)))) {
        let written = frame.encode(codec);
        prop_assert_eq!(ClientFrame::decode(codec, written, &wide()), Ok(frame));
    }

    #[test]
    fn f67_any_server_frame_survives((codec, frame) in codec().prop_flat_map(|c| (Just(c), server_frame(c)))) {
        let out = OutFrame::from(&frame, codec);
        prop_assert_eq!(out.codec(), codec);
        prop_assert_eq!(ServerFrame::decode(codec, out.body(), &wide()), Ok(frame));
    }

    #[test]
    fn a_pushed_event_becomes_the_same_frame_by_copying_as_by_building(
        (codec, id, data) in codec().prop_flat_map(|c| (Just(c), event_id(), data(c)))
    ) {
        let made = RawEvent::new(codec, &id, &data).expect("not deep");
        let checked = RawEvent::check(codec, made.body().clone(), &wide()).expect("own output");
        prop_assert_eq!(&checked, &made);
        prop_assert_eq!(checked.id(), id.as_str());
        prop_assert_eq!(&checked.data(), &data);
        for to in Codec::ALL {
            let built = OutFrame::event(to, &id, &data).expect("not deep");
            prop_assert_eq!(&checked.to_frame(to).expect("not deep"), &built);
        }
    }

    #[test]
    fn f74_a_frame_cut_off_anywhere_is_refused_and_counts_by_its_kind(
        (codec, frame, cut) in codec().prop_flat_map(|c| (Just(c), client_frame(c), any::<prop::sample::Index>()))
    ) {
        let written = frame.encode(codec);
        let cut = cut.index(written.len());
        let refused = ClientFrame::decode(codec, written.slice(..cut), &wide()).expect_err("cut off");
        // Too short to show its kind, it counts; long enough, it counts only if the whole would.
        prop_assert!(refused.item || !frame.is_item());
        prop_assert!(cut < 4 || refused.item == frame.is_item());
    }

    #[test]
    fn f72_frames_of_a_body_are_split_as_they_were_put_together(
        (codec, frames) in codec().prop_flat_map(|c| (Just(c), vec(client_frame(c), 0..8))),
        cut in any::<prop::sample::Index>(),
    ) {
        let frames: Vec<Bytes> = frames.iter().map(|frame| frame.encode(codec)).collect();
        let mut body = Vec::new();
        for frame in &frames {
            body.extend_from_slice(frame);
            if codec == Codec::Json {
                body.push(b'\n');
            }
        }
        let split = |body: Vec<u8>| sequence::split(codec, &body.into(), &wide()).collect::<Vec<_>>();
        prop_assert_eq!(split(body.clone()), frames.clone());
        // Cut half-way: what is whole comes whole, and at most one broken frame behind it.
        body.truncate(cut.index(body.len() + 1));
        let found = split(body);
        let whole = found.iter().zip(&frames).take_while(|(one, other)| one == other).count();
        prop_assert!(found.len() <= whole + 1);
        let broken = found.get(whole).map(|rest| ClientFrame::decode(codec, rest.clone(), &wide()));
        prop_assert!(broken.is_none_or(|decoded| decoded.is_err()));
    }

    #[test]
    fn f49_uid_and_subject_are_one_to_one(one in uid(), other in uid()) {
        let subjects = Subjects::new("tengen").expect("prefix");
        let (a, b) = (subjects.send_to_uid(&one), subjects.send_to_uid(&other));
        prop_assert_eq!(a == b, one == other);
        prop_assert_eq!(subjects.parse_send_to(&a), Ok(SendTo::Uid(one)));
        prop_assert_eq!(a.split('.').count(), 4);
        prop_assert!(a.bytes().all(|byte| byte.is_ascii_graphic() && !b"*>".contains(&byte)));
        prop_assert!(a.len() <= MAX_SUBJECT_BYTES);
    }

    #[test]
    fn f08_event_id_and_subject_are_one_to_one(one in event_id(), other in event_id()) {
        let subjects = Subjects::new("my.app").expect("prefix");
        let (a, b) = (subjects.request(&one), subjects.request(&other));
        prop_assert_eq!(a == b, one == other);
        prop_assert_eq!(&subjects.parse_request(&a), &Ok(one.clone()));
        prop_assert_eq!(subjects.parse_event(&subjects.event(&one)), Ok(one));
        prop_assert_eq!(a.split('.').count(), 5);
        prop_assert!(a.bytes().all(|byte| byte.is_ascii_graphic() && !b"*>".contains(&byte)));
    }

    #[test]
    fn any_text_survives_as_token_and_as_header(text in any::<String>()) {
        prop_assert_eq!(decode_token(&encode_token(&text)), Ok(text.clone()));
        let header = encode_header(&text);
        prop_assert!(header.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(decode_header(&header), Ok(text));
    }
}

/// Bytes of which some are nearly right.
fn noise() -> impl Strategy<Value = Bytes> {
    let broken = (
        codec().prop_flat_map(client_frame_bytes),
        any::<prop::sample::Index>(),
        any::<u8>(),
    );
    let near = broken.prop_map(|(frame, at, byte)| {
        let mut bytes = frame.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        Bytes::from(bytes)
    });
    let jsonish = "[\\[\\]{}:,\"\\\\0-9eE+.a-fu$ -]{0,40}".prop_map(Bytes::from);
    prop_oneof![vec(any::<u8>(), 0..64).prop_map(Bytes::from), near, jsonish]
}

fn client_frame_bytes(codec: Codec) -> impl Strategy<Value = Bytes> {
    client_frame(codec).prop_map(move |frame| frame.encode(codec))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn f74_no_body_makes_splitting_panic_or_lose_a_byte(bytes in noise()) {
        let limits = Limits::default();
        let rest = sequence::split(Codec::Cbor, &bytes, &limits);
        prop_assert_eq!(rest.flatten().collect::<Vec<u8>>(), bytes.to_vec());
        for line in sequence::split(Codec::Json, &bytes, &limits) {
            prop_assert!(!line.contains(&b'\n') && !line.is_empty());
        }
    }

    #[test]
    fn f74_no_bytes_make_a_decoder_panic_or_disagree_with_itself(bytes in noise()) {
        tengen_protocol::fuzzing::everything(&bytes);
    }

    #[test]
    fn json_is_accepted_exactly_where_another_reader_accepts_it(bytes in noise()) {
        // Read as raw text: numbers too large for a float and deep nesting are no matter there.
        let other = serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).is_ok();
        let ours = Data::checked(Codec::Json, bytes.clone(), &wide()).is_ok();
        // It takes half of a surrogate pair in text that it does not build; we do not.
        let halves = bytes.windows(2).any(|pair| pair == b"\\u");
        prop_assert!(ours == other || (halves && !ours), "ours {ours}, other {other}: {bytes:?}");
    }
}
