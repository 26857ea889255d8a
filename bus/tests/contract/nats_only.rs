//! What only a real network can do to a bus: hang, refuse, mangle, move, overrun.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tengen_bus::{
    Bus, Delivery, Health, NatsOptions, Publish, PublishError, Subscribe,
    testing::{NatsCluster, NatsServer},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{Net, World, becomes, connect, next, text, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_without_a_server_starts_and_waits_for_it() {
    let mut server = NatsServer::start().await;
    server.stop();
    let bus = Bus::nats(NatsOptions::new(server.url()))
        .await
        .expect("a good url");
    let mut heard = bus
        .subscribe("later", Subscribe::default())
        .await
        .expect("subscribed");
    assert!(matches!(&*bus.health().borrow(), Health::Down { .. }));
    assert_eq!(
        bus.publish(Publish::new("later", "")).await,
        Err(PublishError::BusDown)
    );
    server.start_again().await;
    becomes(&bus, true).await;
    assert!(matches!(next(&mut heard).await, Delivery::Interrupted));
    bus.publish(Publish::new("later", "now"))
        .await
        .expect("published");
    assert_eq!(text(&mut heard).await, "now");
}

#[tokio::test]
async fn a_url_that_is_none_is_an_error() {
    for url in ["", "http://127.0.0.1", "nats://", "nats://a:b:c"] {
        assert!(Bus::nats(NatsOptions::new(url)).await.is_err(), "{url:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_to_a_hanging_server_never_blocks_longer_than_its_timeout() {
    let World {
        a,
        net: Net::Nats(server),
        ..
    } = World::nats().await
    else {
        unreachable!()
    };
    server.pause();
    let body = Bytes::from(vec![0; 512 << 10]);
    let mut refused = None;
    for _ in 0..5000 {
        let begun = Instant::now();
        let result = a.publish(Publish::new("hang", body.clone())).await;
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{:?}",
            begun.elapsed()
        );
        if result.is_err() {
            refused = result.err();
            break;
        }
    }
    server.resume();
    assert_eq!(refused, Some(PublishError::Timeout));
    becomes(&a, true).await;
    a.ping(Duration::from_secs(20)).await.expect("it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_tried_again_until_they_are_right() {
    let mut server = NatsServer::start_with(&["--user", "u", "--pass", "other"]).await;
    let port = server.port();
    let bus = Bus::nats(NatsOptions::new(format!(
        "nats://u:p%40ss@127.0.0.1:{port}"
    )))
    .await;
    let bus = bus.expect("a good url");
    let mut heard = bus
        .subscribe("in", Subscribe::default())
        .await
        .expect("subscribed");
    let mut health = bus.health();
    let refused = |health: &Health| matches!(health, Health::Down { why, .. } if why.contains("authorization"));
    tokio::time::timeout(crate::world::DEADLINE, health.wait_for(refused))
        .await
        .expect("the refusal is told")
        .expect("a live bus");
    server.stop();
    server.change_arguments(&["--user", "u", "--pass", "p@ss"]);
    server.start_again().await;
    becomes(&bus, true).await;
    assert!(matches!(next(&mut heard).await, Delivery::Interrupted));
    bus.publish(Publish::new("in", "hello"))
        .await
        .expect("published");
    assert_eq!(text(&mut heard).await, "hello");
}

/// A header value with a lone CR makes the client library panic. Anybody may publish one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisonous_header_costs_an_interruption_and_not_the_bus() {
    let World {
        a,
        b,
        net: Net::Nats(server),
    } = World::nats().await
    else {
        unreachable!()
    };
    let mut heard = b
        .subscribe("poison", Subscribe::default())
        .await
        .expect("subscribed");
    for head in [
        "NATS/1.0\r\nA: x\ry\r\n\r\n",
        "NATS/1.0\r\nA: \u{0}\r\n\r\n",
        "NATS/1.0\r\nno colon\r\n\r\n",
    ] {
        let mut raw = tokio::net::TcpStream::connect(("127.0.0.1", server.port()))
            .await
            .expect("connected");
        let hello = "CONNECT {\"verbose\":false,\"headers\":true}\r\n";
        let line = format!(
            "{hello}HPUB poison {0} {0}\r\n{head}\r\nPING\r\n",
            head.len()
        );
        raw.write_all(line.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        while !answer.ends_with(b"PONG\r\n") {
            assert!(raw.read_buf(&mut answer).await.expect("an answer") > 0);
        }
        becomes(&b, true).await;
        // Whatever became of that message, the bus works or tells that it was interrupted.
        let passed = async {
            loop {
                // Refused while it is down.
                let _ = a.publish(Publish::new("poison", "alive")).await;
                match tokio::time::timeout(Duration::from_millis(50), heard.recv()).await {
                    Ok(Some(Delivery::Message(message))) if message.body == "alive" => break,
                    Ok(None) => panic!("the subscription ended"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(crate::world::DEADLINE, passed)
            .await
            .expect("the bus lives");
    }
    assert!(
        b.stats().interruptions > 0,
        "if none of them is poison any more, this test may go"
    );
}

/// The library drops silently when its own queue is full; at least that it did is told in place.
#[tokio::test]
async fn what_the_client_library_drops_is_told_as_an_interruption() {
    let server = NatsServer::start().await;
    let options = NatsOptions {
        client_queue: 4,
        ..NatsOptions::new(server.url())
    };
    let bus = Bus::nats(options).await.expect("a good url");
    becomes(&bus, true).await;
    let mut heard = bus
        .subscribe("flood", Subscribe::default())
        .await
        .expect("subscribed");
    let raw = async_nats::connect(server.url()).await.expect("connected");
    for _ in 0..20_000 {
        raw.publish("flood", Bytes::from_static(b"x"))
            .await
            .expect("published");
    }
    raw.flush().await.expect("flushed");
    until("the library says so", || bus.stats().slow_client > 0).await;
    let told = async { while !matches!(heard.recv().await, Some(Delivery::Interrupted)) {} };
    tokio::time::timeout(crate::world::DEADLINE, told)
        .await
        .expect("it is told");
    assert!(bus.health().borrow().is_up());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_its_server_dies_the_bus_moves_to_another_one() {
    let mut cluster = NatsCluster::start(3).await;
    let urls = cluster.urls();
    let bus = connect(&urls[0]).await;
    let mut heard = bus
        .subscribe("moving", Subscribe::default())
        .await
        .expect("subscribed");
    cluster.servers[0].stop();
    assert!(matches!(next(&mut heard).await, Delivery::Interrupted));
    becomes(&bus, true).await;
    bus.publish(Publish::new("moving", "moved"))
        .await
        .expect("published");
    assert_eq!(text(&mut heard).await, "moved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_everything_closes_the_connection() {
    let server = NatsServer::start_with(&["-m", "-1"]).await;
    let bus = connect(&server.url()).await;
    let heard = bus
        .subscribe("x", Subscribe::default())
        .await
        .expect("subscribed");
    drop(bus);
    assert_eq!(server.connections().await, 1, "a subscription keeps it");
    drop(heard);
    let closed = async {
        while server.connections().await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::world::DEADLINE, closed)
        .await
        .expect("closed");
}

/// The example of the documentation, as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_the_example_publishes_a_push() {
    let server = NatsServer::start().await;
    let raw = async_nats::connect(server.url()).await.expect("connected");
    let mut heard = raw.subscribe("tengen.send-to.>").await.expect("subscribed");
    raw.flush().await.expect("flushed");
    // Cargo builds the examples beside the tests.
    let folder = std::env::current_exe().expect("a path");
    let folder = folder
        .ancestors()
        .nth(2)
        .expect("the build folder")
        .join("examples");
    let example = tokio::process::Command::new(folder.join("push"))
        .args([
            server.url().as_str(),
            "alice@example.com",
            "chat/msg",
            r#"{"text":"hi"}"#,
        ])
        .status();
    assert!(
        example
            .await
            .expect("cargo builds examples with the tests")
            .success()
    );
    let message = tokio::time::timeout(crate::world::DEADLINE, heard.next()).await;
    let message = message.expect("it arrives").expect("a message");
    assert_eq!(
        message.subject.as_str(),
        "tengen.send-to.uid.alice@example%2Ecom"
    );
    assert_eq!(message.payload, r#"["chat/msg",{"text":"hi"}]"#);
}
