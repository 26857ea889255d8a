//! The feed of users that came and went, its base and what is named to its teller: golden bytes, and what is refused.

use bytes::Bytes;
use tengen_protocol::presence::{
    BadMessage, Differs, Epoch, Feed, Have, Said, Stream, Sum, ToldPage, ToldRequest,
};
use tengen_protocol::{Codec, NodeId, Uid};

use crate::golden;

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a uid")
}

fn stream() -> Stream {
    Stream {
        teller: NodeId::parse("n1").expect("a node id"),
        epoch: Epoch(1_790_000_000_000),
    }
}

fn feed() -> Vec<(&'static str, Feed)> {
    let message = |n, handled, said| Feed {
        stream: stream(),
        n,
        handled,
        said,
    };
    let change = Said::Change {
        opens: vec![uid("alice"), uid("a \"b\" \\ ł")],
        closes: vec![uid("bob")],
    };
    vec![
        ("some came, one went", message(7, 5, change)),
        ("a mark", message(7, 7, Said::Mark)),
        ("a new teller", message(1, 0, Said::Reload)),
    ]
}

fn requests() -> Vec<(&'static str, ToldRequest)> {
    let after = |after: Option<&str>| ToldRequest {
        after: after.map(uid),
        have: None,
    };
    let sum = |users: u64, digest: u128| Sum { users, digest };
    let mut two = Sum::default();
    two.change("alice", true);
    two.change("bob", true);
    let have = |all: Sum, upto: &[(&str, Sum)]| Have {
        all,
        upto: upto.iter().map(|(name, sum)| (uid(name), *sum)).collect(),
    };
    let ranges = [("bob", sum(4_096, 1)), ("zoë", sum(8_192, u128::MAX))];
    let shows = |after: Option<&str>, have| ToldRequest {
        after: after.map(uid),
        have: Some(have),
    };
    vec![
        ("the first page", after(None)),
        ("the page behind bob", after(Some("bob"))),
        (
            "the first page, if it is not alice and bob",
            shows(None, have(two, &[])),
        ),
        (
            "the page behind alice, if the asker has not the same up to bob, or up to zoë, or in all",
            shows(Some("alice"), have(sum(9_000, 0xfeed), &ranges)),
        ),
    ]
}

fn pages() -> Vec<(&'static str, ToldPage)> {
    let page = |uids: &[&str], next: Option<&str>| ToldPage {
        stream: stream(),
        n: 7,
        same: false,
        uids: uids.iter().map(|name| uid(name)).collect(),
        next: next.map(uid),
    };
    let same = |next| ToldPage {
        same: true,
        ..page(&[], next)
    };
    vec![
        (
            "a page with one behind it",
            page(&["alice", "bob"], Some("bob")),
        ),
        ("the last page", page(&["carol"], None)),
        ("nobody", page(&[], None)),
        ("the asker has the same up to bob", same(Some("bob"))),
        ("the asker has the same", same(None)),
    ]
}

fn differs() -> Vec<(&'static str, Differs)> {
    let named = |names: &[&str]| Differs {
        uids: names.iter().map(|name| uid(name)).collect(),
    };
    vec![("two users", named(&["alice", "zoë"]))]
}

#[test]
fn c2_the_feed_and_its_base_have_golden_bytes() {
    let mut ours = Vec::new();
    for (name, message) in feed() {
        assert_eq!(Feed::decode(&message.encode()).as_ref(), Ok(&message));
        ours.push((name, golden::show(Codec::Json, &message.encode())));
    }
    for (name, message) in requests() {
        assert_eq!(
            ToldRequest::decode(&message.encode()).as_ref(),
            Ok(&message)
        );
        ours.push((name, golden::show(Codec::Json, &message.encode())));
    }
    for (name, message) in pages() {
        assert_eq!(ToldPage::decode(&message.encode()).as_ref(), Ok(&message));
        ours.push((name, golden::show(Codec::Json, &message.encode())));
    }
    for (name, message) in differs() {
        assert_eq!(Differs::decode(&message.encode()).as_ref(), Ok(&message));
        ours.push((name, golden::show(Codec::Cbor, &message.encode())));
    }
    let file = golden::file("bus.json");
    let golden: Vec<_> = golden::list(&file, "feed")
        .iter()
        .map(|entry| {
            let bytes = if entry["json"].is_string() {
                "json"
            } else {
                "hex"
            };
            (golden::text(entry, "name"), golden::text(entry, bytes))
        })
        .collect();
    let ours: Vec<_> = ours
        .iter()
        .map(|(name, bytes)| (*name, bytes.as_str()))
        .collect();
    assert_eq!(ours, golden);
}

fn json(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[test]
fn what_others_may_write_is_read() {
    let plain = r#"{ "teller":"n1","epoch":1,"n":3, "opens":["alice"], "later": [1] }"#;
    let read = Feed::decode(&json(plain)).expect("without a version, with more than is known");
    assert_eq!((read.n, read.handled), (3, 3), "nothing is owed");
    let (opens, closes) = (vec![uid("alice")], vec![]);
    assert_eq!(read.said, Said::Change { opens, closes });
    for first in ["{}", r#"{"after":null}"#, ""] {
        assert_eq!(
            ToldRequest::decode(&json(first)),
            Ok(ToldRequest::default())
        );
    }
}

#[test]
fn c2_an_unknown_version_of_the_feed_is_told_apart_from_what_is_broken() {
    let later = json(r#"{"version":2,"teller":"n1","epoch":1,"n":3}"#);
    let version = BadMessage::Version(2);
    assert_eq!(Feed::decode(&later), Err(version.clone()));
    assert_eq!(ToldPage::decode(&later), Err(version.clone()));
    assert_eq!(ToldRequest::decode(&later), Err(version.clone()));
    assert_eq!(
        Differs::decode(&Bytes::from_static(b"\x83\x02\x01\x80")),
        Err(version)
    );
    let kind = Differs::decode(&Bytes::from_static(b"\x83\x01\x09\x80"));
    assert_eq!(kind, Err(BadMessage::Kind(9)));
}

#[test]
fn a_message_of_the_feed_cut_anywhere_is_refused() {
    for (name, message) in feed() {
        let whole = message.encode();
        for end in 0..whole.len() {
            assert!(Feed::decode(&whole.slice(..end)).is_err(), "{name} {end}");
        }
    }
    for (name, message) in pages() {
        let whole = message.encode();
        for end in 0..whole.len() {
            assert!(
                ToldPage::decode(&whole.slice(..end)).is_err(),
                "{name} {end}"
            );
        }
    }
    for (name, message) in differs() {
        let whole = message.encode();
        for end in 0..whole.len() {
            assert!(
                Differs::decode(&whole.slice(..end)).is_err(),
                "{name} {end}"
            );
        }
    }
}

#[test]
fn what_cannot_be_of_the_feed_is_malformed() {
    let long = format!(
        r#"{{"teller":"n1","epoch":1,"n":3,"opens":["{}"]}}"#,
        "x".repeat(257)
    );
    let huge = format!(
        r#"{{"teller":"n1","epoch":1,"n":3,"later":"{}"}}"#,
        "x".repeat(1 << 20)
    );
    for bad in [
        "[1,2,3]",
        r#"{"teller":"N 1","epoch":1,"n":3}"#,
        r#"{"epoch":1,"n":3}"#,
        r#"{"teller":"n1","n":3}"#,
        r#"{"teller":"n1","epoch":1}"#,
        r#"{"teller":"n1","epoch":-1,"n":3}"#,
        r#"{"teller":"n1","epoch":1,"n":3.5}"#,
        r#"{"teller":"n1","epoch":1,"n":3,"opens":"alice"}"#,
        r#"{"teller":"n1","epoch":1,"n":3,"opens":[""]}"#,
        r#"{"teller":"n1","epoch":1,"n":3,"opens":[7]}"#,
        &long,
        &huge,
    ] {
        let read = Feed::decode(&json(bad));
        assert!(matches!(read, Err(BadMessage::Malformed(_))), "{bad:.80}");
    }
    for bad in [
        r#"{"teller":"n1","epoch":1,"n":3}"#,
        r#"{"teller":"n1","epoch":1,"n":3,"uids":["bob","alice"]}"#,
        r#"{"teller":"n1","epoch":1,"n":3,"uids":["bob","bob"]}"#,
        r#"{"teller":"n1","epoch":1,"n":3,"uids":["bob"],"next":"alice"}"#,
        r#"{"teller":"n1","epoch":1,"n":3,"same":true,"uids":["bob"]}"#,
    ] {
        let read = ToldPage::decode(&json(bad));
        assert!(matches!(read, Err(BadMessage::Malformed(_))), "{bad}");
    }
    let sixteen = "0".repeat(16);
    let have = |after: &str, upto: &str| {
        format!(
            r#"{{"after":"{after}","have":{{"users":9,"digest":"{sixteen}{sixteen}","upto":{upto}}}}}"#
        )
    };
    let range = |uid: &str, users: u64| format!(r#"["{uid}",{users},"{sixteen}{sixteen}"]"#);
    let good = have("a", &format!("[{},{}]", range("b", 1), range("c", 2)));
    assert!(ToldRequest::decode(&json(&good)).is_ok(), "{good}");
    let many: Vec<String> = (1..18).map(|n| range(&format!("b{n:02}"), n)).collect();
    for bad in [
        r#"{"after":""}"#,
        r#"{"after":7}"#,
        "7",
        "{",
        r#"{"have":7}"#,
        r#"{"have":{"users":9}}"#,
        r#"{"have":{"users":9,"digest":"12"}}"#,
        r#"{"have":{"users":9,"digest":"+0000000000000000000000000000000"}}"#,
        &have("a", "7"),
        &have("a", "[7]"),
        &have("a", r#"[["b",1]]"#),
        &have("b", &format!("[{}]", range("b", 1))),
        &have("a", &format!("[{},{}]", range("c", 1), range("b", 2))),
        &have("a", &format!("[{},{}]", range("b", 2), range("c", 2))),
        &have("a", &format!("[{}]", many.join(","))),
    ] {
        assert!(ToldRequest::decode(&json(bad)).is_err(), "{bad}");
    }
}
