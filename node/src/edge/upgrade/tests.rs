//! The handshake over real sockets, on our own loop, under `axum::serve`, nested and behind layers.

mod fixture;

use axum::http::request::Parts;
use tengen_protocol::Uid;

use self::fixture::*;
use crate::edge::raw::{FIN, Seen, TEXT, frame};
use crate::identity::refused::Refused;

#[tokio::test]
async fn f96_one_handshake_serves_on_our_loop_and_under_a_host() {
    let edge = edge();
    for (address, path) in [
        (own_loop(&edge).await, "/chsk"),
        (hosted(&edge).await, "/app/chsk"),
    ] {
        let answer = ask(address, &format!("GET {path}"), &HANDSHAKE, b"").await;
        // The nonce and the answer are those of RFC 6455 section 1.3.
        assert_eq!(
            answer.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        assert_eq!(
            answer.header("sec-websocket-protocol"),
            Some("tengen.v1.json")
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let mut client = answer.raw();
        client.send("[5]").await;
        assert_eq!(client.text().await, "[6]");
        client.hello("c", 1).await;
        client.send_close(1000).await;
        assert_eq!(client.next().await, Seen::Close(Some(1000), String::new()));
        assert_eq!(client.next().await, Seen::End);
    }
    edge.tracker.close();
    edge.shutdown.cancel();
    edge.tracker.wait().await;
}

#[tokio::test]
async fn frames_in_the_packet_of_the_handshake_are_not_lost() {
    let edge = edge();
    let hello = frame(FIN | TEXT, br#"[0,{"client":"c","attempt":1}]"#);
    for (address, path) in [
        (own_loop(&edge).await, "/chsk"),
        (hosted(&edge).await, "/app/chsk"),
    ] {
        let answer = ask(address, &format!("GET {path}"), &HANDSHAKE, &hello).await;
        answer.raw().text_that_begins("[0,").await;
    }
}

#[tokio::test]
async fn f67_the_codec_is_the_first_subprotocol_that_we_speak() {
    let edge = edge();
    let address = own_loop(&edge).await;
    for (offer, chosen) in [
        ("tengen.v1.cbor", "tengen.v1.cbor"),
        ("tengen.v1.json, tengen.v1.cbor", "tengen.v1.json"),
        (
            "bearer.c2VjcmV0,tengen.v9.cbor , tengen.v1.cbor,tengen.v1.json",
            "tengen.v1.cbor",
        ),
    ] {
        let headers = with("Sec-WebSocket-Protocol", offer);
        let answer = ask(address, "GET /chsk", &headers, b"").await;
        assert_eq!(answer.status, 101);
        assert_eq!(
            answer.header("sec-websocket-protocol"),
            Some(chosen),
            "{offer}"
        );
    }
    let mut twice = HANDSHAKE.to_vec();
    twice.insert(0, ("Sec-WebSocket-Protocol", "csrf.dG9rZW4"));
    let answer = ask(address, "GET /chsk", &twice, b"").await;
    assert_eq!(
        answer.header("sec-websocket-protocol"),
        Some("tengen.v1.json")
    );
}

#[tokio::test]
async fn a_wrong_or_missing_subprotocol_is_refused_by_number() {
    let edge = edge();
    let address = own_loop(&edge).await;
    let says = "tengen.v1.cbor and tengen.v1.json";
    let missing = without("Sec-WebSocket-Protocol");
    refused(address, "GET /chsk", &missing, 400, "4507", says).await;
    for offer in [
        "mqtt",
        "tengen.v2.cbor",
        "TENGEN.V1.CBOR",
        "",
        "tengen.v1.cborx",
    ] {
        let headers = with("Sec-WebSocket-Protocol", offer);
        refused(address, "GET /chsk", &headers, 400, "4507", says).await;
    }
    assert_eq!(edge.metrics.edge.refused.value(), 6);
    assert_eq!(edge.metrics.edge.opened.value(), 0);
}

#[tokio::test]
async fn malformed_handshakes_are_refused_by_number() {
    let edge = edge();
    let address = own_loop(&edge).await;
    for headers in [
        with("Sec-WebSocket-Version", "12"),
        without("Sec-WebSocket-Version"),
    ] {
        let answer = ask(address, "GET /chsk", &headers, b"").await;
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        refused(address, "GET /chsk", &headers, 426, "4507", "version 13").await;
    }
    for headers in [
        without("Sec-WebSocket-Key"),
        with("Sec-WebSocket-Key", "c2hvcnQ="),
        with("Sec-WebSocket-Key", "not base64 at all!"),
    ] {
        refused(
            address,
            "GET /chsk",
            &headers,
            400,
            "4500",
            "Sec-WebSocket-Key",
        )
        .await;
    }
}

#[tokio::test]
async fn extensions_are_never_negotiated() {
    let edge = edge();
    let address = own_loop(&edge).await;
    let headers = with(
        "Sec-WebSocket-Extensions",
        "permessage-deflate; client_max_window_bits",
    );
    let answer = ask(address, "GET /chsk", &headers, b"").await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-extensions"), None);
}

#[tokio::test]
async fn a_refused_identity_is_told_before_the_upgrade_and_to_a_plain_get() {
    let edge = edge_with(|identity| {
        identity.with_user_id(|parts: Parts| async move {
            match parts
                .headers
                .get("x-user")
                .and_then(|user| user.to_str().ok())
            {
                None => Err(Refused::unauthorized("log in first")),
                Some("mallory") => Err(Refused::forbidden("not you")),
                Some(user) => Ok(Uid::try_from(user).ok()),
            }
        })
    });
    let address = own_loop(&edge).await;
    refused(
        address,
        "GET /chsk",
        &HANDSHAKE,
        401,
        "4501",
        "log in first",
    )
    .await;
    refused(
        address,
        "GET /chsk",
        &[("Host", "x")],
        401,
        "4501",
        "log in first",
    )
    .await;
    let mallory = with("X-User", "mallory");
    refused(address, "GET /chsk", &mallory, 403, "4503", "not you").await;
    let mallory = [("Host", "x"), ("X-User", "mallory")];
    refused(address, "GET /chsk", &mallory, 403, "4503", "not you").await;

    let alice = with("X-User", "alice");
    let mut client = ask(address, "GET /chsk", &alice, b"").await.raw();
    assert!(client.hello("c", 1).await.contains(r#""uid":"alice""#));
    let answer = ask(
        address,
        "GET /chsk",
        &[("Host", "x"), ("X-User", "alice")],
        b"",
    )
    .await;
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (204, Some("no-store"))
    );
}

#[tokio::test]
async fn other_requests_are_refused_clearly() {
    let edge = edge();
    let address = own_loop(&edge).await;
    let host = [("Host", "x"), ("Content-Length", "0")];
    refused(
        address,
        "POST /chsk",
        &host,
        400,
        "4507",
        "application/x-ndjson",
    )
    .await;
    let poll = [
        ("Host", "x"),
        ("Tengen-Session", "n1.x"),
        ("Tengen-Attempt", "1"),
    ];
    refused(
        address,
        "GET /chsk?received=0&n=1",
        &poll,
        400,
        "4500",
        "no session id",
    )
    .await;
    let answer = ask(address, "DELETE /chsk", &[("Host", "x")], b"").await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("GET, POST"))
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    edge.shutdown.cancel();
}

#[tokio::test]
async fn a_node_that_shuts_down_sends_upgrades_away_to_come_back() {
    let edge = edge();
    let address = hosted(&edge).await;
    edge.shutdown.cancel();
    let answer = ask(address, "GET /app/chsk", &HANDSHAKE, b"").await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(answer.header("tengen-error"), Some("4003"));
}
