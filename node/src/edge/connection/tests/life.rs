//! Hello, items, keep-alive: what a connection does when nothing is wrong.

use std::time::Duration;

use tokio::time::Instant;

use super::fixture::{FIN, Fixture, PING, Seen, TEXT, frame};

#[tokio::test(start_paused = true)]
async fn f35_only_probes_are_answered_before_hello_which_comes_first() {
    let node = Fixture::new();
    let mut client = node.connect(Some("alice"));
    client.send("[5]").await;
    assert_eq!(client.text().await, "[6]");
    client.send_bytes(&frame(FIN | PING, b"ws")).await;
    assert_eq!(client.next().await, Seen::Pong(b"ws".to_vec()));
    assert_eq!(
        node.push(r#"["a/b",1]"#),
        0,
        "nothing is delivered before hello"
    );

    client.send(r#"[0,{"client":"c","attempt":1}]"#).await;
    let hello: serde_json::Value = serde_json::from_str(&client.text().await).unwrap();
    assert_eq!(hello[0], 0);
    let told = &hello[1];
    assert_eq!(told["uid"], "alice");
    assert_eq!(told["node"], "n1");
    assert_eq!(told["resumed"], false);
    assert_eq!(told["gap"], false);
    assert_eq!(told["received"], 0);
    assert_eq!(told["ping_ms"], 15_000);
    assert_eq!(told["max_bytes"], 524_288);
    assert!(told["session"].as_str().unwrap().starts_with("n1."));
}

#[tokio::test(start_paused = true)]
async fn f02_an_event_goes_in_and_a_push_comes_out() {
    let node = Fixture::new();
    let mut client = node.connect(None);
    client.hello("c", 1).await;
    client.send(r#"[1,"a/b",{"n":1}]"#).await;
    assert_eq!(client.text().await, "[4,1,0]");
    assert_eq!(*node.events.lock(), [r#"a/b {"n":1}"#]);
    assert_eq!(node.push(r#"["x/y",[true]]"#), 1);
    assert_eq!(client.text().await, r#"[1,"x/y",[true]]"#);
}

#[tokio::test(start_paused = true)]
async fn f05_request_gets_an_equal_value_exactly_once() {
    let node = Fixture::new();
    let mut client = node.connect(None);
    client.hello("c", 1).await;
    client.send(r#"[2,7,"a/b",{"n":[1,null]},1000]"#).await;
    assert_eq!(
        client.text_that_begins("[3,").await,
        r#"[3,7,0,{"n":[1,null]}]"#
    );
    // The next thing it hears is the ping of an idle connection: no second reply.
    assert_eq!(client.text_that_begins("[5").await, "[5]");
}

#[tokio::test(start_paused = true)]
async fn f59_a_hundred_pushes_at_once_arrive_in_order() {
    let node = Fixture::new();
    let mut client = node.connect(None);
    client.hello("c", 1).await;
    for n in 0..100 {
        node.push(&format!(r#"["x/y",{n}]"#));
    }
    for n in 0..100 {
        assert_eq!(client.text().await, format!(r#"[1,"x/y",{n}]"#));
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_behind_the_handshake_is_read_first() {
    let node = Fixture::new();
    let unread = frame(FIN | TEXT, br#"[0,{"client":"c","attempt":1}]"#);
    let (mut client, _) = node.connect_with(None, 1_024, unread);
    client.text_that_begins("[0,").await;
}

#[tokio::test(start_paused = true)]
async fn frames_may_come_byte_by_byte() {
    let node = Fixture::new();
    let mut client = node.connect(None);
    for byte in frame(FIN | TEXT, br#"[0,{"client":"c","attempt":1}]"#) {
        client.send_bytes(&[byte]).await;
        tokio::task::yield_now().await;
    }
    client.text_that_begins("[0,").await;
}

#[tokio::test(start_paused = true)]
async fn f24_an_idle_connection_is_pinged_and_lives_as_long_as_it_answers() {
    let node = Fixture::new();
    let mut client = node.connect(None);
    client.hello("c", 1).await;
    let begun = Instant::now();
    for n in 1..=40 {
        assert_eq!(client.text().await, "[5]");
        let silence = begun.elapsed().as_secs();
        assert!(
            (15 * n..=17 * n).contains(&silence),
            "ping {n} after {silence} s"
        );
        client.send("[6]").await;
    }
}

#[tokio::test(start_paused = true)]
async fn f25_pushes_to_a_dead_peer_do_not_hide_its_death() {
    let node = Fixture::new();
    let mut client = node.connect(None);
    client.hello("c", 1).await;
    let begun = Instant::now();
    let ended = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if node.push(r#"["x/y",1]"#) == 0 {
                break;
            }
        }
    };
    let closed = async {
        client.refused(4002).await;
        begun.elapsed().as_secs()
    };
    tokio::select! {
        seconds = closed => assert!((35..=37).contains(&seconds), "{seconds} s"),
        () = ended => panic!("the session ended with its connection"),
    }
}

#[tokio::test(start_paused = true)]
async fn part_of_a_large_frame_is_a_sign_of_life() {
    let node = Fixture::new();
    let mut client = node.connect(None);
    client.hello("c", 1).await;
    let event = format!(r#"[1,"a/b","{}"]"#, "x".repeat(600));
    for piece in frame(FIN | TEXT, event.as_bytes()).chunks(100) {
        client.send_bytes(piece).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    client.text_that_begins("[4,1,").await;
    assert_eq!(node.events.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hello_waits_for_the_node_to_open() {
    let node = Fixture::new();
    node.interest.lost();
    let mut client = node.connect(None);
    client.send(r#"[0,{"client":"c","attempt":1}]"#).await;
    client.send(r#"[1,"a/b",1]"#).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(node.edge.hub.counts().sessions, 0);
    assert!(node.interest.confirm(1));
    client.text_that_begins("[0,").await;
    client.text_that_begins("[4,1,").await;
    assert_eq!(*node.events.lock(), ["a/b 1"]);
}
