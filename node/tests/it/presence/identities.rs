//! Nodes that should not be beside each other: one id twice, two cookie keys.

use std::time::Duration;

use tengen_bus::LocalNet;
use tengen_node::{CookieKey, Node};

use crate::cluster::{Kind, PATIENCE, Running, eventually, soon};

async fn node(net: &LocalNet, id: &str, key: Option<&str>) -> Running {
    let key = key.map(|key| CookieKey::from_secret(key.as_bytes()).expect("it is long enough"));
    let builder = Node::builder().bus(net.bus()).settings(|config| {
        config.node_id = Some(id.to_owned());
        config.cookie_key = key;
    });
    Running::start(Kind::Local, builder).await
}

async fn readyz(node: &Running) -> (u16, String) {
    let answer = reqwest::get(format!("http://{}/readyz", node.admin)).await;
    let answer = answer.expect("the admin port answers");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_a_node_with_another_cookie_key_says_so_and_the_one_that_was_there_serves_on() {
    let net = LocalNet::new();
    let (one, other) = (
        "one key of at least 32 characters",
        "another of at least 32 characters",
    );
    let elder = node(&net, "elder", Some(one)).await;
    eventually("it is ready", async || readyz(&elder).await.0 == 200).await;
    // Epochs are milliseconds, of the moment in which a node first speaks.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let newcomer = node(&net, "newcomer", Some(other)).await;
    let same = node(&net, "same", Some(one)).await;
    let without = node(&net, "without", None).await;
    eventually("the newcomer is not ready", async || {
        let (status, why) = readyz(&newcomer).await;
        status == 503 && why.contains("elder") && why.contains("cookie_key")
    })
    .await;
    assert_eq!(readyz(&elder).await.0, 200);
    assert_eq!(readyz(&without).await.0, 200);
    newcomer.stop().await;
    eventually("it has said bye", async || readyz(&same).await.0 == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_with_one_id_one_says_that_it_must_end() {
    let net = LocalNet::new();
    let first = node(&net, "twin", None).await;
    let second = node(&net, "twin", None).await;
    let (why, failed, other) = tokio::select! {
        why = first.node.failed() => (why, &first, &second),
        why = second.node.failed() => (why, &second, &first),
        () = tokio::time::sleep(PATIENCE) => panic!("both go on"),
    };
    assert!(why.contains("id"), "{why}");
    let (status, said) = soon("an answer", readyz(failed)).await;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains(why), "{said}");
    let lives = tokio::time::timeout(Duration::from_secs(3), other.node.failed()).await;
    assert!(lives.is_err(), "one of them goes on");
}
