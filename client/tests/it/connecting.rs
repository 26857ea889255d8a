//! Handshakes, refusals, reconnects, and what the state says of them.

use std::time::Duration;

use tengen_client::{BuildError, Client, CloseReason, Codec, ConnectError, Options};
use tengen_protocol::ClientFrame;

use crate::server::{Server, soon, until};

const QUIET: Duration = Duration::from_millis(300);

#[tokio::test]
async fn the_handshake_offers_one_codec_and_carries_headers_cookies_and_params() {
    let server = Server::start().await;
    let client = server
        .client()
        .codec(Codec::Json)
        .client_id("tab-1")
        .params(&("de", 7))
        .header("x-forwarded-for", "192.0.2.1")
        .cookie("a", "1")
        .cookie("b", "2")
        .spawn()
        .unwrap();
    let mut peer = server.accept().await;
    assert_eq!(peer.codec, Codec::Json);
    assert_eq!(peer.headers["x-forwarded-for"], "192.0.2.1");
    assert_eq!(peer.headers["cookie"], "a=1; b=2");
    let hello = peer.greet(|_| {}).await;
    assert_eq!((hello.client.as_str(), hello.attempt), ("tab-1", 1));
    assert_eq!((hello.session, hello.received), (None, None));
    assert_eq!(
        hello.params.unwrap().to::<(String, u32)>().unwrap(),
        ("de".to_owned(), 7)
    );
    until(&client, |state| state.open).await;
}

#[tokio::test]
async fn f32_a_new_cookie_goes_with_the_reconnect() {
    let server = Server::start().await;
    let (client, peer) = server
        .open(server.client().cookie("session", "alice"))
        .await;
    client.set_header("cookie", "session=bob").unwrap();
    client.reconnect().await.unwrap();
    let goodbye = soon(peer.gone());
    let (goodbye, peer) = tokio::join!(goodbye, server.greeted());
    assert_eq!(goodbye, Some((4000, "requested-reconnect".to_owned())));
    assert_eq!(peer.headers["cookie"], "session=bob");
    let state = until(&client, |state| state.open).await;
    assert_eq!(
        state.last_close.as_ref().unwrap().reason,
        CloseReason::RequestedReconnect
    );
    assert!(client.set_header("cookie", "a\r\nb").is_err());
}

#[tokio::test]
async fn f30_a_refusal_of_ours_is_terminal_and_shown_as_the_cause() {
    for (status, line) in [(401, "401 Unauthorized"), (403, "403 Forbidden")] {
        let server = Server::start().await;
        let answer = format!("HTTP/1.1 {line}\r\nTengen-Error: 1001\r\nContent-Length: 0\r\n\r\n");
        let (connected, ()) = tokio::join!(soon(server.client().connect()), server.answer(&answer));
        let Err(ConnectError::Refused(state)) = connected else {
            panic!("{connected:?}")
        };
        let error = state.last_error.as_ref().unwrap();
        assert_eq!((error.http_status, error.kind), (Some(status), "refused"));
        assert!(error.text.contains("1001"), "{}", error.text);
        assert_eq!(state.next_reconnect_at, None);
        assert!(server.is_left_alone(QUIET).await);
    }
}

#[tokio::test]
async fn f30_the_same_status_from_a_proxy_is_not_terminal_and_the_first_retry_comes_at_once() {
    let server = Server::start().await;
    // Nobody who waits for a backoff of up to ten minutes is here within seconds.
    let patient = |options: &mut Options| {
        options.backoff_base_ms = 600_000;
        options.backoff_cap_ms = 600_000;
    };
    let client = server.client().options(patient).spawn().unwrap();
    server
        .answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        .await;
    let peer = server.greeted().await;
    let state = until(&client, |state| state.open).await;
    assert_eq!(state.last_error.as_ref().unwrap().http_status, Some(403));
    drop(peer);
}

#[tokio::test]
async fn f22_answers_that_are_no_upgrade_are_errors_and_are_tried_again() {
    let server = Server::start().await;
    let client = server
        .client()
        .options(|options| options.backoff_base_ms = 10)
        .spawn()
        .unwrap();
    let other_key = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\
         Sec-WebSocket-Protocol: tengen.v1.cbor\r\n\r\n";
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "SSH-2.0-x\r\n",
        other_key,
    ] {
        server.answer(answer).await;
        let state = until(&client, |state| state.last_error.is_some()).await;
        assert!(!state.open, "{answer:?}");
    }
    let _peer = server.greeted().await;
    until(&client, |state| state.open).await;
}

#[tokio::test]
async fn f35_the_client_is_not_open_before_the_hello() {
    let server = Server::start().await;
    let client = server.client().spawn().unwrap();
    let sent = client.send("a/b", &1).queue().await.unwrap();
    let mut peer = server.accept().await;
    peer.hello().await;
    assert!(peer.hears_nothing(QUIET).await);
    assert!(!client.state().borrow().open);
    drop((peer, sent));
}

#[tokio::test]
async fn f34_a_dropped_socket_is_replaced_at_once_and_the_session_goes_on() {
    let server = Server::start().await;
    let (client, mut peer) = server.open(server.client()).await;
    let mut events = client.events();
    let sent = client.send("a/b", &1).queue().await.unwrap();
    peer.item().await;
    peer.push("x/y", &1).await;
    while soon(events.recv()).await.unwrap().id.as_str() != "x/y" {}
    client.break_connection(true).await.unwrap();
    assert_eq!(peer.gone().await, None, "no goodbye");
    let mut peer = server.accept().await;
    let hello = peer.greet(|hello| hello.received = 0).await;
    assert_eq!((hello.attempt, hello.received), (2, Some(1)));
    assert!(hello.session.is_some());
    // The item the server has not counted comes again.
    let ClientFrame::Event { id, .. } = peer.item().await else {
        panic!("no event")
    };
    assert_eq!(id.as_str(), "a/b");
    peer.ack(1, 1).await;
    soon(sent).await.unwrap();
    let state = until(&client, |state| state.open).await;
    assert!(state.resumed);
    assert_eq!(
        state.last_close.as_ref().unwrap().reason,
        CloseReason::Unexpected
    );
}

#[tokio::test]
async fn f34_f28_a_silent_socket_is_found_out_by_the_keep_alive() {
    let server = Server::start().await;
    let builder = server.client().options(|options| options.grace_ms = 100);
    let client = builder.spawn().unwrap();
    let mut peer = server.accept().await;
    peer.greet(|hello| hello.ping_ms = 100).await;
    until(&client, |state| state.open).await;
    client.break_connection(false).await.unwrap();
    let state = until(&client, |state| !state.open).await;
    assert_eq!(
        state.last_close.as_ref().unwrap().reason,
        CloseReason::PingTimeout
    );
    assert_eq!(peer.gone().await, None, "it was mute to the end");
    let _peer = server.greeted().await;
    until(&client, |state| state.open).await;
}

#[tokio::test]
async fn f31_f33_after_a_disconnect_there_is_no_attempt_until_connect() {
    let server = Server::start().await;
    let (client, peer) = server.open(server.client()).await;
    let asked = client.request::<()>("a/b", &()).queue().await.unwrap();
    client.disconnect().await.unwrap();
    let goodbye = peer.gone().await;
    assert_eq!(goodbye, Some((1000, "requested-disconnect".to_owned())));
    assert!(soon(asked).await.is_err());
    let state = until(&client, |state| !state.open).await;
    assert_eq!(
        state.last_close.as_ref().unwrap().reason,
        CloseReason::RequestedDisconnect
    );
    assert_eq!(state.next_reconnect_at, None);
    assert!(server.is_left_alone(QUIET).await);
    client.connect().await.unwrap();
    let _peer = server.greeted().await;
    until(&client, |state| state.open).await;
}

#[tokio::test]
async fn f40_closes_of_the_server_have_their_reasons_and_say_whether_to_come_back() {
    for (code, reason, comes_back) in [
        (1000, CloseReason::Clean, true),
        (4001, CloseReason::Error, true),
        (4003, CloseReason::Draining, true),
        (4504, CloseReason::Kicked, false),
        (4500, CloseReason::Error, false),
    ] {
        let server = Server::start().await;
        let builder = server.client().options(|options| options.spread_ms = 10);
        let (client, peer) = server.open(builder).await;
        peer.close(code, "because").await;
        let state = until(&client, |state| state.last_close.is_some()).await;
        assert_eq!(state.last_close.as_ref().unwrap().reason, reason, "{code}");
        let ws = state.last_ws_close.as_ref().unwrap();
        assert_eq!(
            (ws.clean, ws.code, ws.reason.as_str()),
            (true, Some(code), "because")
        );
        if comes_back {
            server.greeted().await;
        } else {
            assert!(server.is_left_alone(QUIET).await, "{code}");
        }
    }
}

#[tokio::test]
async fn a_frame_of_the_other_kind_ends_the_connection() {
    use futures_util::SinkExt as _;
    use tokio_tungstenite::tungstenite::Message;
    let server = Server::start().await;
    let (client, mut peer) = server.open(server.client()).await;
    peer.socket.send(Message::Text("[5]".into())).await.unwrap();
    let (code, _) = peer.gone().await.unwrap();
    assert_eq!(code, 1003);
    until(&client, |state| !state.open).await;
}

#[tokio::test]
async fn pings_of_the_websocket_are_answered() {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;
    let server = Server::start().await;
    let (_client, mut peer) = server.open(server.client()).await;
    peer.socket.send(Message::Ping("x".into())).await.unwrap();
    let answer = soon(peer.socket.next()).await.unwrap().unwrap();
    assert_eq!(answer, Message::Pong("x".into()));
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_told_before_anything_starts() {
    for url in [
        "",
        "127.0.0.1:80",
        "ftp://127.0.0.1/chsk",
        "ws://ann:secret@127.0.0.1/chsk",
        "ws://:80/chsk",
    ] {
        let error = Client::builder(url).spawn().unwrap_err();
        assert!(matches!(error, BuildError::Url(_)), "{url}: {error}");
        assert!(!error.to_string().contains("secret"));
    }
    let client = || Client::builder("ws://127.0.0.1:1/chsk");
    for builder in [
        client().client_id("no spaces please"),
        client().header("bad name", "x"),
        client().header("authorization", "Bearer secret\n"),
        client().cookie("a", "secret\r\nx: y"),
        Client::builder("wss://127.0.0.1:1/chsk").root_certificate(b"no certificate"),
    ] {
        let error = builder.spawn().unwrap_err();
        assert!(matches!(error, BuildError::Setting(_)), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_found_when_it_comes() {
    let address = Server::nowhere();
    let builder = Client::builder(format!("ws://{address}/chsk"));
    let client = builder
        .options(|options| options.backoff_cap_ms = 50)
        .spawn()
        .unwrap();
    let state = until(&client, |state| state.next_reconnect_at.is_some()).await;
    assert_eq!(state.last_error.as_ref().unwrap().kind, "connect");
    let server = Server::at(address).await;
    let _peer = server.greeted().await;
    until(&client, |state| state.open).await;
}
