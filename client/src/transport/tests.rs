//! The WebSocket transport where the driver cannot see it: its line, its patience, its edges.

use std::{future::poll_fn, time::Duration};

use bytes::Bytes;
use tengen_protocol::{Codec, Millis};
use tokio::net::TcpListener;

use super::{Dial, GOODBYE, Tide, Transport as _, TransportEvent, WebSocket};
use crate::{cookies::Headers, route::Route, shared::Shared};

async fn event(transport: &mut WebSocket) -> TransportEvent {
    let tide = Tide {
        received: 0,
        now: Millis(0),
    };
    let waiting = poll_fn(|context| transport.poll_event(context, tide));
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .unwrap()
}

/// A listener, and a transport that dials it.
async fn dialling() -> (TcpListener, WebSocket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/chsk", listener.local_addr().unwrap());
    let route = Route::new(&url, None, Vec::new()).unwrap();
    let codec = Codec::Cbor;
    let shared = Shared::new(codec, route, Headers::default(), Default::default());
    (listener, WebSocket::dial(Dial { codec, shared }))
}

#[tokio::test]
async fn closing_while_dialling_ends_at_once() {
    let (_listener, mut transport) = dialling().await;
    transport.close(1000, "never mind");
    let TransportEvent::Closed(close) = event(&mut transport).await else {
        panic!("not closed")
    };
    assert_eq!(close, Default::default());
}

#[tokio::test]
async fn a_server_without_our_subprotocol_is_no_server_of_ours() {
    let (listener, mut transport) = dialling().await;
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // It upgrades without choosing.
        let _ = tokio_tungstenite::accept_async(stream).await;
    });
    let TransportEvent::Closed(close) = event(&mut transport).await else {
        panic!("not closed")
    };
    assert!(close.error.is_some() && !close.clean, "{close:?}");
    serving.abort();
}

#[tokio::test]
async fn a_peer_that_reads_nothing_shows_in_the_backlog_and_is_left_after_the_goodbye() {
    let (listener, mut transport) = dialling().await;
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_hdr_async(stream, choose)
            .await
            .unwrap()
    });
    assert!(matches!(
        event(&mut transport).await,
        TransportEvent::Opened
    ));
    let peer = serving.await.unwrap();
    let frame = Bytes::from(vec![0; 1 << 20]);
    for _ in 0..64 {
        transport.send(frame.clone(), None);
    }
    assert_eq!(transport.backlog(), 64 << 20);
    transport.close(1000, "enough");
    // What comes after the goodbye has nowhere to go.
    transport.send(frame, None);
    let begin = tokio::time::Instant::now();
    let TransportEvent::Closed(close) = event(&mut transport).await else {
        panic!("not closed")
    };
    assert!(
        !close.clean && begin.elapsed() >= GOODBYE - Duration::from_millis(50),
        "{close:?}"
    );
    assert_eq!(transport.backlog(), 0);
    drop(peer);
}

#[expect(
    clippy::result_large_err,
    reason = "the library's callback asks for this type"
)]
fn choose(
    request: &tokio_tungstenite::tungstenite::handshake::server::Request,
    mut response: tokio_tungstenite::tungstenite::handshake::server::Response,
) -> Result<
    tokio_tungstenite::tungstenite::handshake::server::Response,
    tokio_tungstenite::tungstenite::handshake::server::ErrorResponse,
> {
    let offered = request.headers()["sec-websocket-protocol"].clone();
    response
        .headers_mut()
        .insert("sec-websocket-protocol", offered);
    Ok(response)
}

#[test]
fn a_close_reason_is_cut_at_a_character() {
    assert_eq!(super::websocket::short("bye").as_str(), "bye");
    let long = "☕".repeat(50);
    let cut = super::websocket::short(&long);
    assert_eq!(cut.as_str(), "☕".repeat(41));
}
