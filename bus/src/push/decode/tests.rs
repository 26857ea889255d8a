//! Messages on the push subjects against the golden file; losses in their place.

use bytes::Bytes;
use tengen_protocol::{Codec, Millis, subject::Subjects};

use super::{Arrived, Origin, decode};
use crate::{
    Message,
    push::{
        Push, Sequences, Target, batch,
        tests::{golden, list, push},
    },
};

fn arrive(message: Message, sequences: &mut Sequences) -> Vec<Arrived> {
    let mut out = Vec::new();
    decode(&Subjects::default(), message, sequences, &mut out);
    out
}

fn batch_message(seq: u64, pushes: &[Push]) -> Message {
    Message {
        subject: "tengen.send-to.batch".into(),
        reply: None,
        headers: Default::default(),
        body: batch::encode(1, seq, pushes),
    }
}

fn to_all(number: u32) -> Push {
    Push::new(
        Target::All,
        Codec::Json,
        Bytes::from(format!("[\"a/b\",{number}]")),
    )
}

#[test]
fn f49_plain_messages_are_the_pushes_of_the_golden_file() {
    for case in list(&golden(), "plain") {
        let name = &case["name"];
        let pair = |pair: &serde_json::Value| {
            let text = |at: usize| pair[at].as_str().expect("text").to_owned();
            (text(0), text(1))
        };
        let body = case["body"].as_str().expect("a body");
        let message = Message {
            subject: case["subject"].as_str().expect("a subject").into(),
            reply: case["reply"].as_str().map(Into::into),
            headers: case["headers"]
                .as_array()
                .into_iter()
                .flatten()
                .map(pair)
                .collect(),
            body: body.to_owned().into(),
        };
        let mut arrived = arrive(message.clone(), &mut Sequences::new(Millis(0)));
        assert_eq!(arrived.len(), 1, "{name}");
        let expected = if let Some(code) = case["refused"].as_u64() {
            let Some(Arrived::Bad { refusal, .. }) = arrived.first() else {
                panic!("{name}")
            };
            assert_eq!(u64::from(refusal.code.0), code, "{name}");
            continue;
        } else if let Some(node) = case["fence"].as_str() {
            Arrived::Fence {
                node: node.parse().expect("a node"),
                nonce: message.body,
            }
        } else {
            let traceparent = case["traceparent"].as_str().map(str::to_owned);
            Arrived::Push(
                push(&case["push"]),
                Origin::Plain {
                    reply: message.reply,
                    traceparent,
                },
            )
        };
        assert_eq!(arrived.pop(), Some(expected), "{name}");
    }
}

#[test]
fn a_lost_batch_is_told_in_front_of_the_next_one() {
    let mut sequences = Sequences::new(Millis(0));
    assert_eq!(
        arrive(batch_message(1, &[to_all(1)]), &mut sequences).len(),
        1
    );
    let arrived = arrive(batch_message(4, &[to_all(4), to_all(5)]), &mut sequences);
    assert_eq!(
        arrived[0],
        Arrived::Lost {
            publisher: 1,
            from_seq: 2,
            count: 2
        }
    );
    let place = |index| Origin::Batch {
        publisher: 1,
        seq: 4,
        index,
    };
    assert_eq!(
        arrived[1..],
        [
            Arrived::Push(to_all(4), place(0)),
            Arrived::Push(to_all(5), place(1)),
        ]
    );
    let tail = arrive(batch_message(5, &[]), &mut sequences);
    assert_eq!(
        tail,
        [Arrived::Lost {
            publisher: 1,
            from_seq: 5,
            count: 1
        }]
    );
    assert_eq!(arrive(batch_message(5, &[]), &mut sequences), []);
    assert_eq!(
        arrive(batch_message(4, &[to_all(4)]), &mut sequences),
        [],
        "a repetition is dropped"
    );
}

#[test]
fn a_bad_push_keeps_its_neighbours_and_their_places() {
    let mut bytes = batch::encode(1, 1, &[to_all(1), to_all(2), to_all(3)]).to_vec();
    let second = batch::HEADER_BYTES + batch::item_bytes(&to_all(1));
    bytes[second] = 9;
    let message = Message {
        body: bytes.into(),
        ..batch_message(1, &[])
    };
    let arrived = arrive(message, &mut Sequences::new(Millis(0)));
    let place = |index| Origin::Batch {
        publisher: 1,
        seq: 1,
        index,
    };
    assert_eq!(arrived[0], Arrived::Push(to_all(1), place(0)));
    assert!(matches!(arrived[1], Arrived::Bad { .. }));
    assert_eq!(arrived[2], Arrived::Push(to_all(3), place(2)));
}
