//! The channel socket among an application's other routes: one call, any router, any server, several in one process.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde_bytes::ByteBuf;
use tengen_bus::Bus;
use tengen_client::Client;
use tengen_node::{Answer, Node, NodeBuilder, Payload};
use tengen_protocol::Codec;
use tokio::net::TcpListener;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::cluster::{Cluster, Kind, Net, eventually};
use crate::each_way;
use crate::heard::Heard;
use crate::way::{Served, Way};

each_way!(
    f46_client_ids_are_random_per_client_and_may_be_chosen,
    f94_two_channel_sockets_in_one_process_share_nothing,
);

fn echoing(builder: NodeBuilder) -> NodeBuilder {
    builder
        .on("test/echo", async |Payload(text): Payload<String>| {
            Answer(text)
        })
        .on("test/bytes", async |Payload(bytes): Payload<ByteBuf>| {
            Answer(bytes)
        })
}

/// A node on this bus, ready.
async fn node(bus: Bus) -> Node {
    let node = echoing(Node::builder().bus(bus))
        .build()
        .await
        .expect("the node builds");
    eventually("the node is ready", async || node.ready().await.is_ok()).await;
    node
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

async fn echoes(url: &str, codec: Codec) -> Client {
    let client = Client::builder(url)
        .codec(codec)
        .connect()
        .await
        .expect("the client connects");
    assert_eq!(
        client.request("test/echo", "hello").await,
        Ok("hello".to_owned())
    );
    let bytes = ByteBuf::from((0..=255).collect::<Vec<u8>>());
    assert_eq!(client.request("test/bytes", &bytes).await, Ok(bytes));
    client
}

async fn status(url: String) -> StatusCode {
    let status = reqwest::get(url).await.expect("an answer").status();
    StatusCode::from_u16(status.as_u16()).expect("a status")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_one_call_mounts_one_path_and_leaves_other_routes_alone() {
    let node = node(Bus::local()).await;
    let (listener, address) = listener().await;
    let app = Router::new()
        .route("/", get(async || "mine"))
        .merge(node.router());
    let serving = tokio::spawn(node.serve(listener, app));

    let mine = reqwest::get(format!("http://{address}/"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(mine, "mine");
    assert_eq!(
        status(format!("http://{address}/chsk")).await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        status(format!("http://{address}/chsk/more")).await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        status(format!("http://{address}/elsewhere")).await,
        StatusCode::NOT_FOUND
    );
    let client = echoes(&format!("ws://{address}/chsk"), Codec::Cbor).await;
    client.close().await;
    node.shutdown().await;
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f72_f96_the_same_holds_nested_under_axum_serve_behind_the_apps_layers() {
    let node = node(Bus::local()).await;
    let (listener, address) = listener().await;
    let app = Router::new()
        .route("/", get(async || "mine"))
        .nest("/app", node.router())
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_millis(500),
        ))
        .layer(CorsLayer::permissive())
        .layer(TraceLayer::new_for_http());
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });

    for codec in Codec::ALL {
        let client = echoes(&format!("ws://{address}/app/chsk"), codec).await;
        let mut heard = Heard::by(&client);
        // The app's timeout is for requests: a connection lives on.
        tokio::time::sleep(Duration::from_millis(700)).await;
        node.handle().send_to_all("test/late", &true).await.unwrap();
        assert!(heard.data::<bool>("test/late").await);
        client.close().await;
    }
    assert_eq!(
        status(format!("http://{address}/chsk")).await,
        StatusCode::NOT_FOUND
    );
    node.shutdown().await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f72_f96_the_same_holds_on_the_own_accept_loop() {
    let node = node(Bus::local()).await;
    let (listener, address) = listener().await;
    let serving = tokio::spawn(node.serve(listener, node.router()));
    for codec in Codec::ALL {
        echoes(&format!("ws://{address}/chsk"), codec)
            .await
            .close()
            .await;
    }
    node.shutdown().await;
    serving.await.unwrap();
}

async fn f94_two_channel_sockets_in_one_process_share_nothing(way: Way) {
    let nets = [Net::start(way.bus).await, Net::start(way.bus).await];
    let left = node(nets[0].bus().await).await;
    let right = node(nets[1].bus().await).await;
    let (listener, address) = listener().await;
    let app = Router::new()
        .nest("/left", left.router())
        .nest("/right", right.router());
    let serving = match way.served {
        Served::Own => tokio::spawn(left.serve(listener, app)),
        Served::Axum => {
            tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") })
        }
    };
    // Both of one process, one of each side under one name: nothing tells them apart but the path.
    let client = |side: &str| {
        let url = format!("ws://{address}/{side}/chsk");
        way.client(&url).client_id("the-same").connect()
    };
    let on_left = client("left").await.expect("it connects");
    let on_right = client("right").await.expect("it connects");
    for client in [&on_left, &on_right] {
        let echo = client.request::<String>("test/echo", "hello").await;
        assert_eq!(echo.as_deref(), Ok("hello"));
    }
    let (mut to_left, mut to_right) = (Heard::by(&on_left), Heard::by(&on_right));

    left.handle()
        .send_to_all("test/side", "left")
        .await
        .expect("it works");
    right
        .handle()
        .send_to_all("test/side", "right")
        .await
        .expect("it works");
    assert_eq!(to_left.data::<String>("test/side").await, "left");
    assert_eq!(to_right.data::<String>("test/side").await, "right");

    right.shutdown().await;
    eventually("the other side is gone", async || {
        !on_right.state().borrow().open
    })
    .await;
    assert!(on_left.state().borrow().open);
    left.handle()
        .send_to_all("test/side", "still")
        .await
        .expect("it works");
    assert_eq!(to_left.data::<String>("test/side").await, "still");
    left.shutdown().await;
    match way.served {
        Served::Own => serving.await.expect("it does not panic"),
        Served::Axum => serving.abort(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f95_a_stopped_node_has_closed_every_socket_and_ended_every_task() {
    let mut cluster = Cluster::with(Kind::Local, 1, echoing).await;
    let client = cluster.client(0, Some("alice")).await;
    let running = cluster.take(0);
    let address = running.address;
    // Waits for every task of the node; a leaked one would keep it here for ever.
    crate::cluster::soon("the node has stopped", running.stop()).await;
    eventually("the client saw it", async || !client.state().borrow().open).await;
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "the port is closed"
    );
}

async fn f46_client_ids_are_random_per_client_and_may_be_chosen(way: Way) {
    let cluster = Cluster::with(way, 1, |node| {
        node.on("test/who", async |client: tengen_protocol::ClientId| {
            Answer(client.to_string())
        })
    })
    .await;
    let (one, two) = (
        cluster.client(0, Some("alice")).await,
        cluster.client(0, Some("alice")).await,
    );
    let one_id: String = one.request("test/who", &()).await.expect("it works");
    let two_id: String = two.request("test/who", &()).await.expect("it works");
    assert_ne!(one_id, two_id);
    assert!(
        one_id.len() >= 16,
        "{one_id} could be guessed or drawn twice"
    );
    let chosen = cluster
        .builder(0, Some("alice"))
        .client_id("kitchen-tablet")
        .connect()
        .await
        .expect("it works");
    // And it stays what it is, however often the client connects.
    for _ in 0..2 {
        assert_eq!(
            chosen.request("test/who", &()).await,
            Ok("kitchen-tablet".to_owned())
        );
        assert_eq!(one.request("test/who", &()).await, Ok(one_id.clone()));
        for client in [&chosen, &one] {
            client.reconnect().await.expect("it takes the command");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_answers_the_close_does_not_hold_up_the_shutdown() {
    let mut cluster = Cluster::with(Kind::Local, 1, echoing).await;
    let client = cluster.client(0, Some("alice")).await;
    // The client's socket stays open, but it neither reads nor writes any more.
    client
        .break_connection(false)
        .await
        .expect("it takes the command");
    let running = cluster.take(0);
    crate::cluster::soon("the node has stopped", running.stop()).await;
}
