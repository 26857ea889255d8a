//! Back-pressure in both directions, and what a connection costs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::fixture::{FIN, Fixture, TEXT, frame};
use crate::edge::connection::Connection;

#[test]
fn a_connection_is_small() {
    // Part of the 3 KiB per idle connection; its task adds about 100 bytes.
    let size = size_of::<Connection<TcpStream>>();
    assert!(size <= 320, "{size} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_client_ahead_of_its_handlers_is_not_read_until_they_catch_up() {
    let node = Fixture::new();
    node.handlers_hang.store(true, Ordering::Relaxed);
    let (mut client, _task) = node.connect_with(None, 1_024, Vec::new());
    let hello = client.hello("c", 1).await;
    let port = node.port(&hello);

    let items = 2_000;
    let wire: Vec<u8> = (0..items)
        .flat_map(|n| frame(FIN | TEXT, format!(r#"[1,"a/b",{n}]"#).as_bytes()))
        .collect();
    let (reader, mut writer) =
        tokio::io::split(std::mem::replace(client.socket(), tokio::io::duplex(1).0));
    let sent = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        writer.write_all(&wire).await.unwrap();
        writer
    });
    // Read along, so that acks never block the pipe.
    let drained = tokio::spawn(async move {
        let mut reader = reader;
        tokio::io::copy(&mut reader, &mut tokio::io::sink()).await
    });

    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!sent.is_finished(), "the node took all of it");
    let waiting = port.with(|inner| inner.session.inbox_items());
    assert!((256..=512).contains(&waiting), "{waiting} items wait");
    // Not being read is not being silent.
    assert!(port.with(|inner| inner.session.link()).is_some());

    node.let_handlers_run(&port);
    let writer = timeout(Duration::from_secs(60), sent)
        .await
        .expect("all of it is read")
        .unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while node.events.lock().len() < items {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{} handled",
            node.events.lock().len()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let expect: Vec<String> = (0..items).map(|n| format!("a/b {n}")).collect();
    assert_eq!(*node.events.lock(), expect);
    drop(writer);
    drained.abort();
}

#[tokio::test(start_paused = true)]
async fn pushes_gather_while_the_socket_is_blocked_and_leave_in_order() {
    let node = Fixture::new();
    let (mut client, _task) = node.connect_with(None, 256, Vec::new());
    client.hello("c", 1).await;
    for n in 0..2_000 {
        assert_eq!(node.push(&format!(r#"["x/y",{n}]"#)), 1);
        if n % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for n in 0..2_000 {
        assert_eq!(
            client.text_that_begins("[1,").await,
            format!(r#"[1,"x/y",{n}]"#)
        );
    }
}
