//! Whose a session is: another user, another client, a guess or a race takes nothing of it.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Nomad;
use crate::cluster::{Cluster, Kind, eventually, metric};
use crate::raw::Raw;
use crate::way::Way;

each_move!(f32_another_user_on_another_node_gets_nothing_and_the_old_session_ends,);

async fn f32_another_user_on_another_node_gets_nothing_and_the_old_session_ends(way: Way) {
    let cluster = Cluster::start(way, 2).await;
    let mut tab = Nomad::start(&cluster, way, Some("alice")).await;
    let session = tab.client.state().borrow().session.clone();
    tab.is_shut_out().await;
    let handle = cluster.node(0).handle();
    handle
        .send_to_uid("alice", "t/secret", &1)
        .await
        .expect("accepted");
    // Logged in as somebody else meanwhile.
    tab.client.set_header("x-uid", "bob").expect("a header");
    tab.cut_and_aim(cluster.node(1).address).await;
    tab.until_open_on(1).await;
    let state = tab.client.state().borrow().clone();
    assert_ne!(state.session, session);
    assert_eq!(state.uid.as_ref().map(|uid| uid.as_str()), Some("bob"));
    handle
        .send_to_uid("alice", "t/secret", &2)
        .await
        .expect("accepted");
    handle
        .send_to_uid("bob", "t/x", &3)
        .await
        .expect("accepted");
    loop {
        match tab.heard.next().await {
            (id, data) if id == "t/x" => break assert_eq!(data.to::<u64>(), Ok(3)),
            (id, _) => assert_eq!(id, "chsk/gap", "nothing of alice's is shown to bob"),
        }
    }
    let sessions = async || metric(&cluster, 0, "tengen_hub_sessions ").await;
    eventually("alice's session is gone", async || sessions().await == 0).await;
}

async fn raw(cluster: &Cluster, node: usize, uid: &str) -> Raw<TcpStream> {
    let address = cluster.node(node).address;
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    let request = format!(
        "GET /chsk HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: tengen.v1.json\r\nx-uid: {uid}\r\n\r\n"
    );
    socket
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("an answer"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    Raw::new(socket, Vec::new())
}

/// Says hello; gives the server's.
async fn hello(raw: &mut Raw<TcpStream>, client: &str, attempt: u64, session: &str) -> Value {
    raw.send(&format!(
        r#"[0,{{"client":"{client}","attempt":{attempt},"session":"{session}","received":0}}]"#
    ))
    .await;
    let text = raw.text_that_begins("[0,").await;
    let frame: Value = serde_json::from_str(&text).expect("json");
    frame[1].clone()
}

async fn begin(raw: &mut Raw<TcpStream>, client: &str) -> String {
    let text = raw.hello(client, 1).await;
    let frame: Value = serde_json::from_str(&text).expect("json");
    frame[1]["session"].as_str().expect("a session").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_foreign_session_ids_take_nothing_of_anybody() {
    let cluster = Cluster::start(Kind::Local, 2).await;
    let mut alice = raw(&cluster, 0, "alice").await;
    let session = begin(&mut alice, "tab").await;
    let forged = format!("n0.{}", "A".repeat(22));
    let nowhere = format!("no-such-node.{}", "A".repeat(22));
    for (uid, client, named) in [
        // A guess, on the node it names and on another one; a node that never was.
        ("mallory", "tab", forged.as_str()),
        ("mallory", "tab", nowhere.as_str()),
        // The id was overheard, but not by this client.
        ("mallory", "other", session.as_str()),
        ("alice", "other", session.as_str()),
    ] {
        for node in [0, 1] {
            let mut mallory = raw(&cluster, node, uid).await;
            let hello = hello(&mut mallory, client, 9, named).await;
            assert_eq!(hello["resumed"], false, "{uid} {client} {named}");
            assert_ne!(hello["session"], session.as_str());
        }
    }
    let mut broken = raw(&cluster, 1, "mallory").await;
    broken
        .send(r#"[0,{"client":"tab","attempt":2,"session":"no id at all","received":0}]"#)
        .await;
    broken.text_that_begins("[8,2,").await;
    broken.refused(4500).await;
    let handle = cluster.node(1).handle();
    handle
        .send_to_uid("alice", "t/x", &7)
        .await
        .expect("accepted");
    assert_eq!(alice.text_that_begins("[1,").await, r#"[1,"t/x",7]"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_connections_racing_for_a_session_the_higher_attempt_has_it() {
    let cluster = Cluster::start(Kind::Local, 3).await;
    for round in 0..20 {
        let client = format!("tab{round}");
        let mut old = raw(&cluster, 0, &client).await;
        let session = begin(&mut old, &client).await;
        let (mut one, mut two) = (
            raw(&cluster, 1, &client).await,
            raw(&cluster, 2, &client).await,
        );
        let said = |attempt| {
            format!(
                r#"[0,{{"client":"{client}","attempt":{attempt},"session":"{session}","received":0}}]"#
            )
        };
        let (low, high) = (said(2), said(3));
        // Now the one, now the other is first.
        if round % 2 == 0 {
            tokio::join!(one.send(&low), two.send(&high));
        } else {
            tokio::join!(two.send(&high), one.send(&low));
        }
        let text = two.text_that_begins("[0,").await;
        let frame: Value = serde_json::from_str(&text).expect("json");
        assert_eq!(frame[1]["resumed"], true, "round {round}: {text}");
        assert_eq!(frame[1]["session"], session.as_str());
        let handle = cluster.node(0).handle();
        handle
            .send_to_uid(&client, "t/x", &round)
            .await
            .expect("accepted");
        let pushed = two.text_that_begins("[1,").await;
        assert_eq!(pushed, format!(r#"[1,"t/x",{round}]"#));
        // The lower one was refused, or had it for a moment and lost it.
        one.ends_with_4505(round).await;
        old.ends_with_4505(round).await;
    }
}

impl Raw<TcpStream> {
    async fn ends_with_4505(&mut self, round: u64) {
        let bye = self.text_that_begins("[7,").await;
        assert!(bye.starts_with("[7,4505,"), "round {round}: {bye}");
    }
}
