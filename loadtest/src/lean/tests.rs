//! The lean swarm against another implementation of WebSocket on the other side.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use tengen_protocol::{
    ClientFrame, Data, Limits, NodeId, OutFrame, RawEvent, ServerFrame, ServerHello, SessionId, Uid,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_tungstenite::tungstenite::{
    Message,
    handshake::server::{Request, Response},
};

use super::{
    link::{Cut, cut},
    *,
};
use crate::item;

#[test]
fn frames_are_cut_whole_wherever_the_stream_was_split() {
    for size in [0, 1, 125, 126, 65_535, 65_536] {
        let frame = OutFrame::new(Codec::Cbor, &vec![7; size]);
        let mut bytes = frame.ws().to_vec();
        let Cut::Frame {
            opcode,
            body,
            after,
        } = cut(&bytes)
        else {
            panic!("{size}")
        };
        assert_eq!((opcode, body.len(), after.len()), (2, size, 0));
        for end in (0..bytes.len()).take(20).chain([bytes.len() - 1]) {
            assert_eq!(cut(&bytes[..end]), Cut::Incomplete, "{size} at {end}");
        }
        bytes.push(0x88);
        assert!(matches!(cut(&bytes), Cut::Frame { after: [0x88], .. }));
    }
}

#[test]
fn fragments_masks_and_giants_are_refused() {
    for bytes in [
        &[0x02, 0][..],
        &[0xc2, 0],
        &[0x82, 0x80],
        &[0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0],
    ] {
        assert!(matches!(cut(bytes), Cut::Broken(_)), "{bytes:?}");
    }
}

/// A node of one connection after another: hello, then `numbers` as items, then it waits for the
/// acknowledgement of all of them. Returns what the clients acknowledged.
async fn scripted(
    connections: usize,
    numbers: &'static [u64],
) -> (SocketAddr, JoinHandle<Vec<u64>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        for _ in 0..connections {
            acknowledged.push(serve(&listener, numbers));
        }
        futures_util::future::join_all(acknowledged).await
    });
    (address, serving)
}

#[expect(
    clippy::result_large_err,
    reason = "the library's callback asks for this type"
)]
fn choose(
    _: &Request,
    mut response: Response,
) -> Result<Response, tokio_tungstenite::tungstenite::handshake::server::ErrorResponse> {
    let chosen = Codec::Cbor.subprotocol().parse().unwrap();
    response
        .headers_mut()
        .insert("sec-websocket-protocol", chosen);
    Ok(response)
}

async fn serve(listener: &TcpListener, numbers: &[u64]) -> u64 {
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, choose)
        .await
        .unwrap();
    let frame = |message: Message| {
        ClientFrame::decode(Codec::Cbor, message.into_data(), &Limits::default()).unwrap()
    };
    let hello = frame(socket.next().await.unwrap().unwrap());
    assert!(matches!(hello, ClientFrame::Hello(_)), "{hello:?}");
    let hello = ServerFrame::Hello(ServerHello {
        session: SessionId::new(&NodeId::parse("n").unwrap(), [1; 16]),
        resumed: false,
        gap: false,
        received: 0,
        uid: Some(Uid::parse("ann").unwrap()),
        data: Data::null(Codec::Cbor),
        ping_ms: 15_000,
        max_bytes: 1 << 19,
        node: NodeId::parse("n").unwrap(),
    });
    socket
        .feed(Message::Binary(hello.encode(Codec::Cbor)))
        .await
        .unwrap();
    socket
        .feed(Message::Binary(
            ServerFrame::Ping { ahead: None }.encode(Codec::Cbor),
        ))
        .await
        .unwrap();
    for number in numbers {
        let event = item::event(Codec::Cbor, *number, 128).unwrap();
        let raw = RawEvent::check(Codec::Cbor, event, &Limits::default()).unwrap();
        let body = raw.to_frame(Codec::Cbor).unwrap().body();
        socket.feed(Message::Binary(body)).await.unwrap();
    }
    socket.flush().await.unwrap();
    let mut pongs = 0;
    loop {
        match frame(socket.next().await.unwrap().unwrap()) {
            ClientFrame::Pong => pongs += 1,
            ClientFrame::Ack { received } if received == numbers.len() as u64 => {
                assert_eq!(
                    pongs, 1,
                    "a ping is answered once, before later acknowledgements"
                );
                return received;
            }
            ClientFrame::Ack { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn run(connections: usize, numbers: &'static [u64], expected: u64) -> Books {
    let (address, serving) = scripted(connections, numbers).await;
    let opening = Opening {
        address,
        path: "/chsk".to_owned(),
        codec: Codec::Cbor,
    };
    let login = Login {
        uid: Some("ann".to_owned()),
        cookie: Some("a=b".to_owned()),
    };
    let books = tokio::task::spawn_blocking(move || {
        let swarm = Swarm::connect(&opening, &vec![login; connections], 2).unwrap();
        swarm
            .progress()
            .expect((connections * numbers.len()) as u64);
        assert!(swarm.progress().wait(Duration::from_secs(10)).is_some());
        swarm
    });
    let swarm = books.await.unwrap();
    let acknowledged = tokio::time::timeout(Duration::from_secs(10), serving)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(acknowledged, vec![numbers.len() as u64; connections]);
    tokio::task::spawn_blocking(move || swarm.finish(expected).unwrap())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_in_order_are_counted_and_acknowledged() {
    let books = run(3, &[1, 2, 3, 4, 5], 5).await;
    assert_eq!(
        books.verdict,
        Verdict {
            in_order: 15,
            ..Verdict::default()
        }
    );
    assert!(
        books.told.is_empty() || books.told.keys().all(|text| text.contains("hung up")),
        "{books:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_a_repeated_and_a_reordered_item_are_in_the_books() {
    let books = run(2, &[1, 3, 2, 3, 5], 6).await;
    assert_eq!(
        books.verdict,
        Verdict {
            in_order: 6,
            lost: 4,
            repeated: 2,
            reordered: 2
        }
    );
    assert!(!books.verdict.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_than_logged_in_is_an_error() {
    let (address, serving) = scripted(1, &[]).await;
    let opening = Opening {
        address,
        path: "/chsk".to_owned(),
        codec: Codec::Cbor,
    };
    let login = Login {
        uid: Some("bob".to_owned()),
        cookie: None,
    };
    let connected =
        tokio::task::spawn_blocking(move || Swarm::connect(&opening, &[login], 1).map(|_| ()));
    let error = format!("{:#}", connected.await.unwrap().unwrap_err());
    assert!(error.contains("ann") && error.contains("bob"), "{error}");
    serving.abort();
}

#[test]
fn waiting_ends_when_nothing_comes() {
    let progress = Progress::new();
    progress.expect(2);
    progress.add(1);
    assert!(progress.wait(Duration::from_millis(60)).is_none());
    progress.add(1);
    assert!(progress.wait(Duration::from_millis(60)).is_some());
}
