//! Tests of the grammars.

use super::{ClientId, EventId, NodeId, SessionId, Uid};
use crate::codes::ErrorCode;

#[test]
fn f08_event_ids_are_namespace_slash_name() {
    let check = |text: &str, expect: Result<(), ErrorCode>| {
        assert_eq!(
            EventId::parse(text).map(drop).map_err(|r| r.code),
            expect,
            "{text:?}"
        );
    };
    let side = "x".repeat(64);
    check("a/b", Ok(()));
    check("A-z_0.9#?!/.-", Ok(()));
    check(&format!("{side}/{side}"), Ok(()));
    check("chsk/gap", Ok(()));
    for none in ["", "say", "/", "/say", "no-slash.at#all"] {
        check(none, Err(ErrorCode::NO_NAMESPACE));
    }
    for bad in [
        "a/",
        "a/b/c",
        "a//b",
        "a b/c",
        "a/b ",
        "a/b\n",
        "a/b\r\nX: y",
        "a/*",
        "a/>",
        "ä/b",
        "a/\u{0}",
        "a/%20",
    ] {
        check(bad, Err(ErrorCode::BAD_ID));
    }
    check(&format!("{side}x/a"), Err(ErrorCode::BAD_ID));
    check(&format!("a/{side}x"), Err(ErrorCode::BAD_ID));
    check(&format!("a/{}", "x".repeat(5000)), Err(ErrorCode::BAD_ID));
}

#[test]
fn f08_only_the_namespace_chsk_is_reserved() {
    for (text, reserved) in [
        ("chsk/x", true),
        ("chsk2/x", false),
        ("x/chsk", false),
        ("Chsk/x", false),
    ] {
        let id = EventId::parse(text).expect(text);
        assert_eq!(id.is_reserved(), reserved, "{text}");
        assert_eq!(
            id.unreserved().map_err(|r| r.code).err(),
            reserved.then_some(ErrorCode::RESERVED)
        );
    }
    let id = EventId::parse("ns/name").expect("id");
    assert_eq!((id.namespace(), id.name()), ("ns", "name"));
}

#[test]
fn f49_a_uid_is_any_text_up_to_256_bytes_without_controls() {
    let crab = "🦀".repeat(64);
    for good in [
        "42",
        "alice@example.com",
        "a.b.*.>",
        "Zoë 🦀",
        " ",
        "%",
        "../..",
        crab.as_str(),
    ] {
        assert_eq!(Uid::parse(good).expect(good).as_str(), good);
    }
    let long = format!("{crab}x");
    for bad in ["", "a\nb", "a\u{0}", "\u{7f}", "\u{85}", long.as_str()] {
        assert_eq!(
            Uid::parse(bad).map_err(|r| r.code),
            Err(ErrorCode::BAD_ID),
            "{bad:?}"
        );
    }
}

#[test]
fn f75_client_and_node_ids_keep_their_grammar() {
    for good in ["a", "A-z_09", &"x".repeat(64)] {
        assert!(ClientId::parse(good).is_ok(), "{good}");
    }
    for bad in ["", "a b", "a.b", "ä", &"x".repeat(65)] {
        assert!(ClientId::parse(bad).is_err(), "{bad}");
    }
    for good in ["n1", "-", &"x".repeat(40)] {
        assert!(NodeId::parse(good).is_ok(), "{good}");
    }
    for bad in ["", "N1", "a_b", "a.b", &"x".repeat(41)] {
        assert!(NodeId::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(ClientId::new([0xff; 16]).as_str(), "_____________________w");
}

#[test]
fn a_session_id_names_the_node_it_began_on() {
    let node = NodeId::parse("n-1").expect("node id");
    let id = SessionId::new(&node, [0; 16]);
    assert_eq!(id.as_str(), "n-1.AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(SessionId::parse(id.as_str()), Ok(id.clone()));
    assert_eq!(id.node(), node);
    for bad in [
        "",
        "n1",
        "n1.",
        ".AAAAAAAAAAAAAAAAAAAAAA",
        "n1.AAAAAAAAAAAAAAAAAAAAA",
        "n1.AAAAAAAAAAAAAAAAAAAAAAA",
        "n1.AAAAAAAAAAAAAAAAAAAAA=",
        "N.AAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert!(SessionId::parse(bad).is_err(), "{bad}");
    }
}
