//! Delivery reports on the bus: golden bytes of the counts and of the reports, every cut refused, and who collects.

use bytes::Bytes;
use tengen_protocol::report::rendezvous;
use tengen_protocol::report::{
    About, BadCounts, Counts, MAX_COUNTS, Report, Word, id_in_batch, id_of_request,
};
use tengen_protocol::{Codec, Data, NodeId, Value};

use crate::golden;

fn node(name: &str) -> NodeId {
    NodeId::parse(name).expect("valid")
}

fn counts() -> Vec<(&'static str, Counts)> {
    let of = |counts: Vec<_>| Counts {
        node: node("n1"),
        counts,
    };
    vec![
        ("one", of(vec![(id_in_batch(0xabc, 300, 4), 2)])),
        (
            "two, of requests",
            of(vec![
                (id_of_request("_INBOX.a.1", 7, 0), 0),
                (id_of_request("_INBOX.a.2", 7, 9), 70_000),
            ]),
        ),
        ("none", of(vec![])),
    ]
}

fn about() -> Vec<(&'static str, About)> {
    let of = |word, reports| About {
        node: node("n1"),
        word,
        reports,
    };
    let (one, other) = (
        id_in_batch(0xabc, 300, 4),
        id_of_request("_INBOX.a.1", 7, 0),
    );
    vec![
        ("answered", of(Word::Answered, vec![one, other])),
        ("count again", of(Word::Recount, vec![one])),
    ]
}

#[test]
fn c2_what_the_first_and_the_second_in_line_say_has_golden_bytes() {
    let file = golden::file("bus.json");
    let golden = golden::list(&file["report"], "about");
    assert_eq!(golden.len(), about().len());
    for ((name, message), golden) in about().into_iter().zip(golden) {
        assert_eq!(name, golden::text(golden, "name"));
        let bytes = message.encode();
        assert_eq!(
            golden::show(Codec::Cbor, &bytes),
            golden::text(golden, "hex")
        );
        assert_eq!(About::decode(&bytes), Ok(message));
        for end in 0..bytes.len() {
            assert!(About::decode(&bytes.slice(..end)).is_err(), "{name} {end}");
        }
        assert!(matches!(
            Counts::decode(&bytes),
            Err(BadCounts::Kind(49 | 50))
        ));
    }
    let (_, counts) = counts().remove(0);
    assert_eq!(About::decode(&counts.encode()), Err(BadCounts::Kind(48)));
    let many = About {
        node: node("n1"),
        word: Word::Recount,
        reports: vec![1; MAX_COUNTS + 1],
    };
    assert!(matches!(
        About::decode(&many.encode()),
        Err(BadCounts::Malformed(_))
    ));
}

#[test]
fn c2_counts_and_reports_have_golden_bytes() {
    let file = golden::file("bus.json");
    let ours: Vec<_> = counts()
        .iter()
        .map(|(name, counts)| {
            assert_eq!(Counts::decode(&counts.encode()).as_ref(), Ok(counts));
            (
                (*name).to_owned(),
                golden::show(Codec::Cbor, &counts.encode()),
            )
        })
        .collect();
    let golden: Vec<_> = golden::list(&file["report"], "counts")
        .iter()
        .map(|entry| {
            let text = |key| golden::text(entry, key).to_owned();
            (text("name"), text("hex"))
        })
        .collect();
    assert_eq!(ours, golden);

    let report = Report {
        clients: 3,
        nodes: 2,
        missing: 1,
    };
    let json = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("text");
    assert_eq!(
        json(report.to_json()),
        golden::text(&file["report"], "answer")
    );
    assert_eq!(
        json(report.to_batch_json(300, 4)),
        golden::text(&file["report"], "to_publisher")
    );
}

#[test]
fn c2_every_node_finds_the_golden_first_node_of_a_user() {
    let file = golden::file("bus.json");
    for case in golden::list(&file["report"], "first") {
        let nodes: Vec<_> = golden::list(case, "nodes")
            .iter()
            .map(|name| node(name.as_str().expect("a node")))
            .collect();
        let first = rendezvous(golden::text(case, "key").as_bytes(), &nodes);
        assert_eq!(
            first.map(NodeId::as_str),
            Some(golden::text(case, "first")),
            "{case}"
        );
    }
}

#[test]
fn counts_cut_anywhere_are_refused_and_read_by_nobody() {
    for (name, counts) in counts() {
        let whole = counts.encode();
        for end in 0..whole.len() {
            assert!(Counts::decode(&whole.slice(..end)).is_err(), "{name} {end}");
        }
    }
}

#[test]
fn later_versions_other_kinds_and_too_many_counts_are_told_apart() {
    let number = Value::Int;
    let encoded = |fields: Vec<Value>| {
        let data = Data::from_value(Codec::Cbor, &Value::Array(fields)).expect("valid");
        data.bytes().clone()
    };
    let n1 = || Value::Text("n1".to_owned());
    let later = encoded(vec![number(2), number(48), Value::Null]);
    assert_eq!(Counts::decode(&later), Err(BadCounts::Version(2)));
    let other = encoded(vec![number(1), number(3), n1()]);
    assert_eq!(Counts::decode(&other), Err(BadCounts::Kind(3)));
    let more = encoded(vec![
        number(1),
        number(48),
        n1(),
        Value::Array(vec![]),
        Value::Null,
    ]);
    assert!(Counts::decode(&more).is_ok());
    let short = Value::Array(vec![Value::Bytes(Bytes::from_static(b"short")), number(1)]);
    let negative = Value::Array(vec![Value::Bytes(Bytes::from_static(&[0; 16])), number(-1)]);
    for bad in [short, negative, Value::Null] {
        let bad = encoded(vec![number(1), number(48), n1(), bad]);
        assert!(matches!(Counts::decode(&bad), Err(BadCounts::Malformed(_))));
    }
    let full = Counts {
        node: node("n1"),
        counts: vec![(u128::MAX, u64::MAX); MAX_COUNTS],
    };
    assert_eq!(Counts::decode(&full.encode()).as_ref(), Ok(&full));
    let over = Counts {
        counts: vec![(1, 1); MAX_COUNTS + 1],
        ..full
    };
    assert!(matches!(
        Counts::decode(&over.encode()),
        Err(BadCounts::Malformed(_))
    ));
}
