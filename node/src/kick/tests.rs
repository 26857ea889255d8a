//! Tests of the body of a kick.

use tengen_bus::Headers;

use super::*;

fn read(content_type: Option<&str>, body: &[u8]) -> Result<(Uid, Kick), BadKick> {
    let mut headers = Headers::default();
    if let Some(content_type) = content_type {
        headers.push("Content-Type", content_type);
    }
    let body = bytes::Bytes::copy_from_slice(body);
    Kick::read(&Message {
        subject: "tengen.kick".into(),
        reply: None,
        headers,
        body,
    })
}

#[test]
fn a_kick_is_read_in_both_codecs_and_needs_only_its_uid() {
    let (uid, kick) = read(
        None,
        br#"{"uid":"alice","reason":"spam","ban_ms":5000,"later":1}"#,
    )
    .expect("a kick");
    assert_eq!(
        (uid.as_str(), kick.reason.as_str(), kick.ban_ms),
        ("alice", "spam", 5000)
    );
    let (uid, kick) = read(None, br#"{"uid":"Zo\u00eb"}"#).expect("a kick");
    assert_eq!(
        (uid.as_str(), kick.reason.as_str(), kick.ban_ms),
        ("Zoë", "", 0)
    );

    let mut cbor = Vec::new();
    ciborium::into_writer(&kick, &mut cbor).expect("encoded");
    let (_, again) = read(Some("application/cbor"), &cbor).expect("a kick");
    assert_eq!(again, kick);
}

#[test]
fn what_is_no_kick_is_refused() {
    assert!(matches!(read(None, b""), Err(BadKick::Body)));
    assert!(matches!(
        read(None, br#"{"reason":"nobody"}"#),
        Err(BadKick::Body)
    ));
    assert!(matches!(read(None, br#"{"uid":7}"#), Err(BadKick::Body)));
    assert!(matches!(read(None, br#"{"uid":""}"#), Err(BadKick::Uid)));
    assert!(matches!(
        read(Some("application/cbor"), br#"{"uid":"alice"}"#),
        Err(BadKick::Body)
    ));
}
