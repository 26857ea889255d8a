//! The questions about one user between nodes: golden bytes, every cut refused, later versions told apart.

use bytes::Bytes;
use tengen_protocol::presence::BadMessage;
use tengen_protocol::presence::who::{Client, Here, Who};
use tengen_protocol::{ClientId, Codec, Transport, Uid};

use crate::golden;

fn who() -> Who {
    Who {
        uid: Uid::parse("alice").expect("valid"),
    }
}

fn client(id: &str, transport: Transport, attached: bool) -> Client {
    Client {
        client: ClientId::parse(id).expect("valid"),
        session: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        transport,
        attached,
        age_ms: 61_000,
        idle_ms: 250,
        queue_items: 3,
        queue_bytes: 70_000,
    }
}

fn here() -> Here {
    Here {
        clients: vec![
            client("phone", Transport::Ws, true),
            client("tab", Transport::Poll, false),
        ],
        whole: true,
    }
}

fn all() -> Vec<(&'static str, Bytes)> {
    vec![
        ("who is alice", who().encode()),
        ("by two clients", here().encode()),
        ("by none", Here::default().encode()),
    ]
}

#[test]
fn c2_questions_about_a_user_have_golden_bytes() {
    assert_eq!(Who::decode(&who().encode()), Ok(who()));
    for here in [here(), Here::default()] {
        assert_eq!(Here::decode(&here.encode()), Ok(here));
    }
    let ours: Vec<_> = all()
        .into_iter()
        .map(|(name, bytes)| (name, golden::show(Codec::Cbor, &bytes)))
        .collect();
    let ours: Vec<_> = ours
        .iter()
        .map(|(name, hex)| (*name, hex.as_str()))
        .collect();
    let file = golden::file("bus.json");
    let golden: Vec<_> = golden::list(&file, "who")
        .iter()
        .map(|entry| (golden::text(entry, "name"), golden::text(entry, "hex")))
        .collect();
    assert_eq!(ours, golden);
}

#[test]
fn a_question_or_answer_cut_anywhere_is_read_by_nobody() {
    for (name, whole) in all() {
        for end in 0..whole.len() {
            let cut = whole.slice(..end);
            assert!(Who::decode(&cut).is_err(), "{name} {end}");
            assert!(Here::decode(&cut).is_err(), "{name} {end}");
        }
    }
}

#[test]
fn a_later_version_another_kind_and_too_many_clients_are_told_apart() {
    let later = Bytes::from_static(&[0x83, 2, 1, 0x61, b'a']);
    assert_eq!(Who::decode(&later), Err(BadMessage::Version(2)));
    assert_eq!(Here::decode(&later), Err(BadMessage::Version(2)));
    assert_eq!(Here::decode(&who().encode()), Err(BadMessage::Kind(1)));
    assert_eq!(Who::decode(&here().encode()), Err(BadMessage::Kind(8)));
    let nobody = Bytes::from_static(&[0x83, 1, 1, 0x60]);
    assert_eq!(Who::decode(&nobody), Err(BadMessage::Malformed("uid")));
    let many = Here {
        clients: vec![client("phone", Transport::Ws, true); Here::MAX_CLIENTS + 1],
        whole: false,
    };
    let refused = BadMessage::Malformed("too many clients");
    assert_eq!(Here::decode(&many.encode()), Err(refused));
    assert_eq!(
        Who::decode(&vec![0; 1 << 20].into()),
        Err(BadMessage::TooLarge)
    );
}
