//! The feed of users that came and went, its base and what is named to its teller: golden bytes, and what is refused.

use bytes::Bytes;
use tengen_protocol::presence::{
    BadMessage, Differs, Epoch, Feed, Said, Stream, ToldPage, ToldRequest,
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
    };
    vec![
        ("the first page", after(None)),
        ("the page behind bob", after(Some("bob"))),
    ]
}

fn pages() -> Vec<(&'static str, ToldPage)> {
    let page = |uids: &[&str], next: Option<&str>| ToldPage {
        stream: stream(),
        n: 7,
        uids: uids.iter().map(|name| uid(name)).collect(),
        next: next.map(uid),
    };
    vec![
        (
            "a page with one behind it",
            page(&["alice", "bob"], Some("bob")),
        ),
        ("the last page", page(&["carol"], None)),
        ("nobody", page(&[], None)),
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
    ] {
        let read = ToldPage::decode(&json(bad));
        assert!(matches!(read, Err(BadMessage::Malformed(_))), "{bad}");
    }
    for bad in [r#"{"after":""}"#, r#"{"after":7}"#, "7", "{"] {
        assert!(ToldRequest::decode(&json(bad)).is_err(), "{bad}");
    }
}
