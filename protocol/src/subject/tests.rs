//! Tests of the subjects.

use super::{MAX_SUBJECT_BYTES, SendTo, Subjects, decode_token, encode_header, encode_token};
use crate::ids::{EventId, NodeId, Uid};

fn subjects() -> Subjects {
    Subjects::new("tengen").expect("prefix")
}

#[test]
fn f49_uids_become_single_tokens() {
    for (uid, token) in [
        ("alice", "alice"),
        ("alice@example.com", "alice@example%2Ecom"),
        ("a.b.*.>", "a%2Eb%2E%2A%2E%3E"),
        ("Zoë 🦀", "Zo%C3%AB%20%F0%9F%A6%80"),
        ("100%/x", "100%25%2Fx"),
        ("A-z_#?!$'\"", "A-z_#?!$'\""),
    ] {
        assert_eq!(encode_token(uid), token);
        assert_eq!(decode_token(token).as_deref(), Ok(uid));
        let subject = subjects().send_to_uid(&Uid::parse(uid).expect(uid));
        assert_eq!(subject, format!("tengen.send-to.uid.{token}"));
    }
}

#[test]
fn every_subject_has_its_name() {
    let (node, id) = (
        NodeId::parse("n1").expect("node"),
        EventId::parse("my.ns/go!").expect("id"),
    );
    let s = subjects();
    let all = [
        (s.send_to_anonymous(), "tengen.send-to.anonymous"),
        (s.send_to_all(), "tengen.send-to.all"),
        (s.send_to_batch(), "tengen.send-to.batch"),
        (s.send_to_wildcard(), "tengen.send-to.>"),
        (s.fence(&node), "tengen.send-to.fence.n1"),
        (s.kick(), "tengen.kick"),
        (s.request(&id), "tengen.request.my%2Ens.go!"),
        (s.event(&id), "tengen.event.my%2Ens.go!"),
        (s.session(), "tengen.session"),
        (s.presence(), "tengen.presence"),
        (s.presence_changes(), "tengen.presence.changes"),
        (s.presence_told(), "tengen.presence.told"),
        (s.connected_uids(), "tengen.connected-uids"),
        (s.node(&node, "ping"), "tengen.node.n1.ping"),
        (s.auth(), "tengen.auth"),
        (
            s.report(0xab),
            "tengen.report.000000000000000000000000000000ab",
        ),
    ];
    for (subject, name) in all {
        assert_eq!(subject, name);
    }
    assert_eq!(
        Subjects::new("prod.eu-1").expect("prefix").kick(),
        "prod.eu-1.kick"
    );
    assert_eq!(Subjects::default(), subjects());
}

#[test]
fn a_push_says_whom_it_is_for() {
    let uid = |text: &str| Ok(SendTo::Uid(Uid::parse(text).expect(text)));
    let check = |subject: &str, expect: Result<SendTo, ()>| {
        assert_eq!(
            subjects().parse_send_to(subject).map_err(drop),
            expect,
            "{subject}"
        );
    };
    check("tengen.send-to.uid.alice", uid("alice"));
    check(
        "tengen.send-to.uid.alice@example.com",
        uid("alice@example.com"),
    );
    check(
        "tengen.send-to.uid.alice%40example%2ecom",
        uid("alice@example.com"),
    );
    check("tengen.send-to.uid.a.b.c%20d", uid("a.b.c d"));
    check("tengen.send-to.uid.Zoë", uid("Zoë"));
    check("tengen.send-to.anonymous", Ok(SendTo::Anonymous));
    check("tengen.send-to.all", Ok(SendTo::All));
    check("tengen.send-to.batch", Ok(SendTo::Batch));
    check(
        "tengen.send-to.fence.n1",
        Ok(SendTo::Fence(NodeId::parse("n1").expect("node"))),
    );
    let long = format!("tengen.send-to.uid.{}", "x".repeat(257));
    for bad in [
        "tengen.send-to",
        "tengen.send-to.",
        "tengen.send-to.uid",
        "tengen.send-to.uid.",
        "tengen.send-to.alle",
        "tengen.send-to.all.x",
        "tengen.send-to.uid.%",
        "tengen.send-to.uid.%4",
        "tengen.send-to.uid.%zz",
        "tengen.send-to.uid.%ff",
        "tengen.send-to.uid.%0a",
        "tengen.send-to.fence.N1",
        "other.send-to.all",
        "tengenx.send-to.all",
        "tengen.send-tox.all",
        &long,
    ] {
        check(bad, Err(()));
    }
}

#[test]
fn a_request_subject_says_which_event() {
    let id = EventId::parse("my.ns/go!").expect("id");
    assert_eq!(
        subjects().parse_request("tengen.request.my%2Ens.go!"),
        Ok(id.clone())
    );
    assert_eq!(subjects().parse_event("tengen.event.my%2Ens.go!"), Ok(id));
    for bad in [
        "tengen.request.a",
        "tengen.request.a.b.c",
        "tengen.event.a.b",
        "tengen.request.a%2Fb.c",
    ] {
        assert!(subjects().parse_request(bad).is_err(), "{bad}");
    }
}

#[test]
fn header_values_have_no_line_breaks_and_no_spaces() {
    assert_eq!(encode_header("a\r\nX: y"), "a%0D%0AX:%20y");
    assert_eq!(encode_header("Zoë/1.0*"), "Zo%C3%AB/1.0*");
}

#[test]
fn prefixes_are_plain_tokens() {
    for bad in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a.*",
        "a.>",
        "ä",
        &"x".repeat(65),
    ] {
        assert!(Subjects::new(bad).is_err(), "{bad}");
    }
    assert_eq!(
        Subjects::new("my_app.prod-1").expect("prefix").prefix(),
        "my_app.prod-1"
    );
}

#[test]
fn f49_the_longest_subject_stays_below_what_nats_takes() {
    let longest = Subjects::new(&"p".repeat(64)).expect("prefix");
    let uid = Uid::parse(&".".repeat(256)).expect("uid");
    assert!(longest.send_to_uid(&uid).len() < MAX_SUBJECT_BYTES);
    let id = EventId::parse(&format!("{0}/{0}", ".".repeat(64))).expect("id");
    assert!(longest.request(&id).len() < MAX_SUBJECT_BYTES);
}
