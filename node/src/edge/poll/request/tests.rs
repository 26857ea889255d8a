//! Headers and queries of polls: what is read, and what is a 400.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tengen_protocol::{Codec, NodeId, SessionId};

use super::*;

const ID: &str = "n1.AAAAAAAAAAAAAAAAAAAAAA";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        )
    });
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}

#[test]
fn session_and_attempt_are_read_together_or_not_at_all() {
    let session = SessionId::new(&NodeId::parse("n1").unwrap(), [0; 16]);
    let named = Named::read(&headers(&[
        (SESSION, ID),
        (ATTEMPT, "18446744073709551615"),
    ]));
    let attempt = u64::MAX;
    assert_eq!(named, Ok(Some(Named { session, attempt })));
    assert_eq!(Named::read(&headers(&[])), Ok(None));
}

#[test]
fn malformed_ids_and_attempts_are_a_400() {
    for pairs in [
        vec![(SESSION, ID)],
        vec![(ATTEMPT, "1")],
        vec![(SESSION, ID), (ATTEMPT, "")],
        vec![(SESSION, ID), (ATTEMPT, "+1")],
        vec![(SESSION, ID), (ATTEMPT, "-1")],
        vec![(SESSION, ID), (ATTEMPT, "1.0")],
        vec![(SESSION, ID), (ATTEMPT, "18446744073709551616")],
        vec![(SESSION, ID), (ATTEMPT, "1"), (ATTEMPT, "2")],
        vec![(SESSION, ID), (SESSION, ID), (ATTEMPT, "1")],
        vec![(SESSION, ""), (ATTEMPT, "1")],
        vec![(SESSION, "n1"), (ATTEMPT, "1")],
        vec![(SESSION, "n1.AAAA"), (ATTEMPT, "1")],
        vec![(SESSION, "N1.AAAAAAAAAAAAAAAAAAAAAA"), (ATTEMPT, "1")],
        vec![(SESSION, "tengen.*.AAAAAAAAAAAAAAAAAAAAAA"), (ATTEMPT, "1")],
    ] {
        let refusal = Named::read(&headers(&pairs)).unwrap_err();
        assert_eq!(refusal.into_parts().1, 4500, "{pairs:?}");
    }
}

#[test]
fn a_query_is_its_numbers_and_nothing_else_matters() {
    let asks = |query| Asks::read(Some(query));
    let good = Ok(Asks { received: 3, n: 9 });
    assert_eq!(asks("received=3&n=9"), good);
    assert_eq!(asks("n=9&later=x&received=3&_=4711"), good);
    for query in [
        "",
        "received=3",
        "n=9",
        "received=&n=9",
        "received=x&n=9",
        "received=+3&n=9",
        "received=-1&n=9",
        "received=3&n=9&n=9",
        "received=3&n=99999999999999999999",
    ] {
        assert_eq!(asks(query).unwrap_err().into_parts().1, 4500, "{query}");
    }
    assert!(Asks::read(None).is_err());
    assert_eq!(first(Some("first=1")), Ok(1));
    for query in ["", "first=0", "first=", "first=1&first=2", "first=one"] {
        assert_eq!(
            first(Some(query)).unwrap_err().into_parts().1,
            4500,
            "{query}"
        );
    }
}

#[test]
fn f67_the_content_type_decides_the_codec() {
    let of = |value: &str| codec(&headers(&[("content-type", value)]));
    assert_eq!(of("application/cbor-seq"), Ok(Codec::Cbor));
    assert_eq!(of("Application/X-NDJSON ; charset=utf-8"), Ok(Codec::Json));
    for wrong in ["application/json", "application/cbor", "text/plain", ""] {
        assert_eq!(of(wrong).unwrap_err().into_parts().1, 4507, "{wrong}");
    }
    assert!(codec(&headers(&[])).is_err());
    let twice = [
        ("content-type", "application/cbor-seq"),
        ("content-type", "application/x-ndjson"),
    ];
    assert!(codec(&headers(&twice)).is_err());
}

#[test]
fn a_query_of_the_address_itself_is_no_poll() {
    for own in [
        None,
        Some(""),
        Some("tenant=blue"),
        Some("nn=1&a=n&received_at=3"),
    ] {
        assert!(!Asks::any(own), "{own:?}");
    }
    for poll in ["n", "n=", "received=x", "tenant=blue&received=0&n=1"] {
        assert!(Asks::any(Some(poll)), "{poll}");
    }
}
