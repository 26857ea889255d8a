//! Presence messages: golden bytes, every cut refused, later versions told apart, nothing grows beyond its bytes.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use tengen_protocol::presence::{
    BadMessage, Beat, Delta, Epoch, Kinds, Message, Snapshot, SyncAnswer, SyncReq, Users, digest_of,
};
use tengen_protocol::{Codec, Data, Millis, NodeId, Uid, Value};

use crate::golden;

fn node() -> NodeId {
    NodeId::parse("n1").expect("valid")
}

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("valid")
}

fn users(list: &[(&str, Kinds)]) -> Users {
    let mut users = Users::default();
    for (uid, kinds) in list {
        assert!(users.push(uid, *kinds), "{uid} is out of order");
    }
    users
}

fn delta(seq: u64, changes: &[(&str, Kinds)]) -> Delta {
    Delta {
        node: node(),
        epoch: Epoch(1_795_231_302_500),
        seq,
        changes: changes.iter().map(|(u, kinds)| (uid(u), *kinds)).collect(),
    }
}

fn beat() -> Beat {
    Beat {
        node: node(),
        epoch: Epoch(1_795_231_302_500),
        seq: 7,
        digest: digest_of("alice", Kinds::WS) ^ digest_of("bob", Kinds::BOTH),
        users: 2,
        anonymous: [1, 300],
        ready: true,
        server_id: "NDX4".into(),
        key_fingerprint: u64::MAX,
        at: Millis(60_000),
    }
}

fn told() -> Vec<(&'static str, Message)> {
    let changes = [
        ("alice", Kinds::WS),
        ("bob", Kinds::BOTH),
        ("eve", Kinds::NONE),
    ];
    vec![
        ("a delta", Message::Delta(delta(7, &changes))),
        ("a beat", Message::Beat(beat())),
        (
            "a bye",
            Message::Bye {
                node: node(),
                epoch: Epoch(1_795_231_302_500),
            },
        ),
    ]
}

fn asked() -> Vec<(&'static str, SyncReq)> {
    let first = SyncReq {
        by: NodeId::parse("n2").expect("valid"),
        epoch: Epoch(1_795_231_302_500),
        have_seq: None,
        part: 0,
        after: None,
    };
    let missing = SyncReq {
        have_seq: Some(5),
        ..first.clone()
    };
    let further = SyncReq {
        have_seq: Some(7),
        part: 3,
        after: Some(uid("bob")),
        ..first.clone()
    };
    vec![
        ("everything", first),
        ("the missing deltas", missing),
        ("a further part", further),
    ]
}

fn answered() -> Vec<(&'static str, SyncAnswer)> {
    let list = [
        ("alice", Kinds::WS),
        ("alicia", Kinds::BOTH),
        ("zoé", Kinds::POLL),
        ("zoë", Kinds::WS),
    ];
    let part = Snapshot {
        node: node(),
        epoch: Epoch(1_795_231_302_500),
        seq: 7,
        part: 0,
        of: 2,
        users: users(&list),
        bans: vec![(uid("mallory"), 1_795_231_362_500)],
    };
    let last = Snapshot {
        part: 1,
        users: Users::default(),
        bans: Vec::new(),
        ..part.clone()
    };
    let deltas = vec![
        delta(6, &[("alice", Kinds::WS)]),
        delta(7, &[("bob", Kinds::NONE), ("eve", Kinds::POLL)]),
    ];
    vec![
        ("no delta is missing", SyncAnswer::Deltas(Vec::new())),
        ("two deltas", SyncAnswer::Deltas(deltas)),
        ("the first part", SyncAnswer::Part(part)),
        ("the last part, empty", SyncAnswer::Part(last)),
        ("busy", SyncAnswer::Busy),
        ("another life", SyncAnswer::Other { epoch: Epoch(9) }),
    ]
}

/// Every kind of message, its bytes, and whether these can be read as it.
fn all() -> Vec<(&'static str, Bytes)> {
    let told = told().into_iter().map(|(name, m)| (name, m.encode()));
    let asked = asked().into_iter().map(|(name, m)| (name, m.encode()));
    let answered = answered().into_iter().map(|(name, m)| (name, m.encode()));
    told.chain(asked).chain(answered).collect()
}

/// What each reader says of these bytes.
fn read(bytes: &[u8]) -> [Result<(), BadMessage>; 3] {
    [
        Message::decode(bytes).map(drop),
        SyncReq::decode(bytes).map(drop),
        SyncAnswer::decode(bytes).map(drop),
    ]
}

#[test]
fn c2_presence_messages_have_golden_bytes() {
    let file = golden::file("bus.json");
    let golden: Vec<_> = golden::list(&file, "presence")
        .iter()
        .map(|entry| (golden::text(entry, "name"), golden::text(entry, "hex")))
        .collect();
    let ours = all();
    let ours: Vec<_> = ours
        .iter()
        .map(|(name, bytes)| (*name, golden::show(Codec::Cbor, bytes)))
        .collect();
    let ours: Vec<_> = ours.iter().map(|(n, hex)| (*n, hex.as_str())).collect();
    assert_eq!(ours, golden);
}

#[test]
fn presence_messages_are_read_as_they_were_written() {
    for (name, message) in told() {
        assert_eq!(Message::decode(&message.encode()), Ok(message), "{name}");
    }
    for (name, message) in asked() {
        assert_eq!(SyncReq::decode(&message.encode()), Ok(message), "{name}");
    }
    for (name, message) in answered() {
        assert_eq!(SyncAnswer::decode(&message.encode()), Ok(message), "{name}");
    }
}

#[test]
fn a_presence_message_cut_anywhere_or_with_more_behind_it_is_refused() {
    for (name, whole) in all() {
        for end in 0..whole.len() {
            assert!(
                read(&whole[..end]).iter().all(Result::is_err),
                "{name} {end}"
            );
        }
        let more = [&whole[..], &[0]].concat();
        assert!(read(&more).iter().all(Result::is_err), "{name}");
    }
}

#[test]
fn a_presence_message_is_read_by_its_own_reader_alone() {
    let kinds = |results: [Result<(), BadMessage>; 3]| {
        results.map(|result| matches!(result, Err(BadMessage::Kind(_))))
    };
    for (_, message) in told() {
        assert_eq!(kinds(read(&message.encode())), [false, true, true]);
    }
    for (_, message) in asked() {
        assert_eq!(kinds(read(&message.encode())), [true, false, true]);
    }
    for (_, message) in answered() {
        assert_eq!(kinds(read(&message.encode())), [true, true, false]);
    }
}

fn encoded(fields: Vec<Value>) -> Bytes {
    let data = Data::from_value(Codec::Cbor, &Value::Array(fields)).expect("valid");
    data.bytes().clone()
}

#[test]
fn c2_a_later_version_is_told_apart_and_what_it_adds_behind_is_ignored() {
    let (number, text) = (Value::Int, |text: &str| Value::Text(text.to_owned()));
    let later = encoded(vec![number(2), number(3), text("whatever")]);
    assert_eq!(Message::decode(&later), Err(BadMessage::Version(2)));
    assert_eq!(SyncReq::decode(&later), Err(BadMessage::Version(2)));
    assert_eq!(SyncAnswer::decode(&later), Err(BadMessage::Version(2)));
    let more = Value::Map(vec![(text("later"), Value::Array(vec![Value::Null]))]);
    let bye = encoded(vec![number(1), number(3), text("n1"), number(9), more]);
    let node = node();
    let epoch = Epoch(9);
    assert_eq!(Message::decode(&bye), Ok(Message::Bye { node, epoch }));
}

#[test]
fn a_presence_message_of_more_than_a_mebibyte_is_refused_unread() {
    assert_eq!(
        Message::decode(&vec![0; (1 << 20) + 1]),
        Err(BadMessage::TooLarge)
    );
}

#[test]
fn names_and_numbers_that_cannot_be_are_refused() {
    let (number, text) = (Value::Int, |text: &str| Value::Text(text.to_owned()));
    let delta = |node: &str, changes: Vec<Value>| {
        let head = [number(1), number(1), text(node), number(1), number(1)];
        let body = [Value::Array(changes)];
        Message::decode(&encoded(head.into_iter().chain(body).collect()))
    };
    let malformed = |what| Err(BadMessage::Malformed(what));
    assert_eq!(delta("N1", vec![]), malformed("node id"));
    assert_eq!(delta("n1", vec![text(""), number(1)]), malformed("uid"));
    assert_eq!(delta("n1", vec![text("a\n"), number(1)]), malformed("uid"));
    assert_eq!(delta("n1", vec![text("a"), number(4)]), malformed("kinds"));
    assert_eq!(delta("n1", vec![text("a")]), malformed("half a pair"));
    assert_eq!(
        delta("n1", vec![text("a"), number(-1)]),
        malformed("a number is missing")
    );
    assert!(delta("n1", vec![text("a"), number(0)]).is_ok());
}

/// A part with these users as they stand on the wire.
fn part(users: Vec<Value>) -> Result<SyncAnswer, BadMessage> {
    let head = [1, 9].map(Value::Int);
    let numbers = [1, 7, 0, 1].map(Value::Int);
    let head = head.into_iter().chain([Value::Text("n1".to_owned())]);
    let lists = [Value::Array(users), Value::Array(Vec::new())];
    SyncAnswer::decode(&encoded(head.chain(numbers).chain(lists).collect()))
}

#[test]
fn users_out_of_order_or_sharing_what_is_not_there_are_refused() {
    let (number, text) = (Value::Int, |text: &str| Value::Text(text.to_owned()));
    let pair = |shared: i128, rest: &str| [number(shared * 4 + 1), text(rest)];
    let check = |pairs: &[[Value; 2]], good: bool| {
        assert_eq!(part(pairs.concat()).is_ok(), good, "{pairs:?}");
    };
    check(&[pair(0, "a"), pair(0, "b")], true);
    check(&[pair(0, "b"), pair(0, "a")], false);
    check(&[pair(0, "a"), pair(0, "a")], false);
    check(&[pair(0, "ab"), pair(1, "c")], true);
    check(&[pair(0, "ac"), pair(1, "b")], false);
    check(&[pair(0, "a"), pair(1, "")], false);
    check(&[pair(0, "a"), pair(2, "b")], false);
    check(&[pair(1, "a")], false);
    check(&[pair(0, "")], false);
    // A character cut in two: é and ë share their first byte.
    check(&[pair(0, "é"), pair(1, "ë")], false);
    check(&[pair(0, &"x".repeat(256)), pair(256, "y")], false);
    check(&[pair(0, "a\u{7f}")], false);
    check(&[pair(0, "a\u{85}")], false);
    // Whoever is gone is not in a snapshot.
    assert!(part(vec![number(0), text("a")]).is_err());
}

#[test]
fn a_small_message_does_not_become_many_users() {
    let mut users = vec![Value::Int(1), Value::Text("x".repeat(252))];
    for n in 0..20_000 {
        users.push(Value::Int(252 * 4 + 1));
        users.push(Value::Text(format!("{n:04x}")));
    }
    assert_eq!(part(users), Err(BadMessage::TooLarge));
}

fn any_uid() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{1,6}", "[a-zé-ü🦀 ./]{1,40}", "user-[0-9]{6}"]
}

fn any_kinds() -> impl Strategy<Value = Kinds> {
    (1u64..4).prop_map(|code| Kinds::from_code(code).expect("below 4"))
}

proptest! {
    #[test]
    fn any_users_are_read_as_they_were_written(
        list in btree_map(any_uid(), any_kinds(), 0..60),
        seq in any::<u64>(), part in 0u32..9, bans in vec((any_uid(), any::<u64>()), 0..3),
    ) {
        let list: Vec<_> = list.iter().map(|(uid, kinds)| (uid.as_str(), *kinds)).collect();
        let snapshot = Snapshot {
            node: node(), epoch: Epoch(seq), seq, part, of: part + 1, users: users(&list),
            bans: bans.iter().map(|(u, until)| (uid(u), *until)).collect(),
        };
        prop_assert!(snapshot.users.iter().eq(list.iter().copied()));
        let answer = SyncAnswer::Part(snapshot);
        prop_assert_eq!(SyncAnswer::decode(&answer.encode()), Ok(answer));
    }

    #[test]
    fn any_delta_and_question_are_read_as_they_were_written(
        seq in any::<u64>(), have_seq in option::of(any::<u64>()), part in any::<u32>(),
        list in vec((any_uid(), 0u64..4), 0..60), after in option::of(any_uid()),
    ) {
        let list = list.iter().map(|(u, code)| (uid(u), Kinds::from_code(*code).expect("below 4")));
        let delta = Delta { node: node(), epoch: Epoch(seq), seq, changes: list.collect() };
        let message = Message::Delta(delta);
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        let after = after.map(|after| uid(&after));
        let ask = SyncReq { by: node(), epoch: Epoch(seq), have_seq, part, after };
        prop_assert_eq!(SyncReq::decode(&ask.encode()), Ok(ask));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_changed_byte_is_read_as_something_else_or_refused(
        which in 0usize..12, at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let (_, whole) = &all()[which];
        let mut changed = whole.to_vec();
        *at.get_mut(&mut changed[..]) = byte;
        if let Ok(message) = Message::decode(&changed) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
        if let Ok(answer) = SyncAnswer::decode(&changed) {
            prop_assert_eq!(SyncAnswer::decode(&answer.encode()), Ok(answer));
        }
    }
}

#[test]
fn the_digest_of_users_is_that_of_each_by_xor_and_none_of_who_is_gone() {
    // xxh3_64 of "alice", 0, 1: other languages can check themselves against it.
    assert_eq!(digest_of("alice", Kinds::WS), 5_370_202_436_460_110_373);
    assert_eq!(digest_of("alice", Kinds::NONE), 0);
    assert_ne!(
        digest_of("alice", Kinds::WS),
        digest_of("alice", Kinds::BOTH)
    );
    let longest = "x".repeat(Uid::MAX_BYTES);
    assert_ne!(
        digest_of(&longest, Kinds::WS),
        digest_of(&longest, Kinds::POLL)
    );
}
