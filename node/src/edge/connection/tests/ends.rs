//! How connections end: one Close from each side, whoever begins, and nothing left behind.

use std::time::Duration;

use tengen_protocol::CloseCode;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::fixture::{CLOSE, FIN, Fixture, Seen, frame};

#[tokio::test(start_paused = true)]
async fn a_close_of_the_peer_is_answered_once_and_the_session_stays() {
    for payload in [vec![], 1001_u16.to_be_bytes().to_vec()] {
        let node = Fixture::new();
        let mut client = node.connect(None);
        let hello = client.hello("c", 1).await;
        client.send_bytes(&frame(FIN | CLOSE, &payload)).await;
        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        assert_eq!(client.next().await, Seen::Close(code, String::new()));
        assert_eq!(client.next().await, Seen::End);
        node.is_quiet().await;
        assert!(
            node.port(&hello)
                .with(|inner| inner.session.detached_since())
                .is_some()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn f64_a_kick_comes_after_what_was_queued() {
    let node = Fixture::new();
    let mut client = node.connect(Some("alice"));
    client.hello("c", 1).await;
    node.push(r#"["x/y","before"]"#);
    assert_eq!(node.edge.hub.kick(&"alice".try_into().unwrap(), "out"), 1);
    assert_eq!(client.text().await, r#"[1,"x/y","before"]"#);
    let reason = client.refused(4504).await;
    assert_eq!(reason, "out");
    node.is_quiet().await;
    assert_eq!(node.edge.hub.counts().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_newer_connection_supersedes_the_older_one() {
    let node = Fixture::new();
    let mut old = node.connect(None);
    let hello = old.hello("c", 1).await;
    let session = node.port(&hello).id.clone();
    let mut new = node.connect(None);
    new.send(&format!(
        r#"[0,{{"client":"c","attempt":2,"session":"{session}","received":0}}]"#
    ))
    .await;
    let hello = new.text().await;
    assert!(hello.contains(r#""resumed":true"#), "{hello}");
    old.refused(4505).await;
    assert_eq!(node.push(r#"["x/y",1]"#), 1);
    assert_eq!(new.text_that_begins("[1,").await, r#"[1,"x/y",1]"#);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_of_the_client_ends_its_session() {
    let node = Fixture::new();
    let mut client = node.connect(None);
    client.hello("c", 1).await;
    client.send(r#"[7,4500,"done"]"#).await;
    client.closed(1000).await;
    node.is_quiet().await;
    assert_eq!(node.edge.hub.counts().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_just_ends_leaves_the_session_waiting() {
    let node = Fixture::new();
    let mut client = node.connect(None);
    client.hello("c", 1).await;
    drop(client);
    node.is_quiet().await;
    assert_eq!(node.edge.hub.counts().sessions, 1);
    tokio::time::sleep(Duration::from_secs(62)).await;
    assert_eq!(node.edge.hub.counts().sessions, 0, "its time is over");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_our_close_is_left_after_two_seconds() {
    let node = Fixture::new();
    let (mut client, task) = node.connect_with(Some("alice"), 1 << 16, Vec::new());
    client.hello("c", 1).await;
    let begun = Instant::now();
    node.edge.hub.kick(&"alice".try_into().unwrap(), "out");
    task.await.unwrap();
    let waited = begun.elapsed();
    assert!((2_000..=3_500).contains(&waited.as_millis()), "{waited:?}");
    client.text_that_begins("[7,4504").await;
    assert_eq!(
        client.next().await,
        Seen::Close(Some(4504), "out".to_owned())
    );
    assert_eq!(client.next().await, Seen::End);
    node.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_left_even_while_it_talks() {
    let node = Fixture::new();
    let (mut client, task) = node.connect_with(Some("alice"), 4_096, Vec::new());
    client.hello("c", 1).await;
    // It never reads again, so its pipe fills up; then it is slow, and told so in vain.
    let body = format!(r#"["x/y","{}"]"#, "x".repeat(60_000));
    let begun = Instant::now();
    while !task.is_finished() {
        node.push(&body);
        client.send("[6]").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(begun.elapsed() < Duration::from_secs(30), "it lives on");
    }
    assert_eq!(node.edge.metrics.hub.slow.value(), 1);
    node.is_quiet().await;
    assert_eq!(node.edge.hub.counts().sessions, 0);
    assert_eq!(node.edge.hub.counts().queue_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_open_sends_clients_away_to_come_back() {
    let node = Fixture::new();
    node.interest.lost();
    let mut client = node.connect(None);
    client.send(r#"[0,{"client":"c","attempt":1}]"#).await;
    let begun = Instant::now();
    client.refused(CloseCode::RESTARTING.0).await;
    assert!((3..=5).contains(&begun.elapsed().as_secs()));
    node.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_dismisses_connections_without_hello() {
    let node = Fixture::new();
    let mut client = node.connect(None);
    client.send("[5]").await;
    assert_eq!(client.text().await, "[6]");
    node.edge.shutdown.cancel();
    node.edge.dismiss();
    client.refused(CloseCode::RESTARTING.0).await;
    node.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_socket_is_an_end() {
    let node = Fixture::new();
    let mut client = node.connect(None);
    client.hello("c", 1).await;
    client.socket().shutdown().await.unwrap();
    assert_eq!(client.next().await, Seen::End);
    node.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn f95_a_thousand_connections_leave_nothing_behind() {
    let node = Fixture::new();
    for n in 0..1_000 {
        let mut client = node.connect(None);
        client.hello(&format!("c{n}"), 1).await;
        client.send_close(1000).await;
        assert_eq!(client.next().await, Seen::Close(Some(1000), String::new()));
        assert_eq!(client.next().await, Seen::End);
    }
    node.is_quiet().await;
}
