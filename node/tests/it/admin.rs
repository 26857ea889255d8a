//! The admin port: health, metrics, and pushes over HTTP with a numbered error for each mistake.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Kind, eventually};
use crate::heard::Heard;

async fn post(cluster: &Cluster, path: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
    let url = format!("http://{}{path}", cluster.node(0).admin);
    reqwest::Client::new()
        .post(url)
        .body(body)
        .send()
        .await
        .expect("the admin port answers")
}

async fn get(cluster: &Cluster, path: &str) -> (u16, String) {
    let url = format!("http://{}{path}", cluster.node(0).admin);
    let response = reqwest::get(url).await.expect("the admin port answers");
    (
        response.status().as_u16(),
        response.text().await.expect("a body"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_pushes_reach_users_everybody_and_the_anonymous() {
    let cluster = Cluster::start(Kind::Local, 2).await;
    let alice = cluster.client(1, Some("alice@example.com")).await;
    let nobody = cluster.client(1, None).await;
    let (mut to_alice, mut to_nobody) = (Heard::by(&alice), Heard::by(&nobody));

    for (path, body) in [
        ("/v1/send-to-uid/alice@example.com", r#"["a/uid", 1]"#),
        ("/v1/send-to-anonymous", r#"["a/anonymous", 2]"#),
        ("/v1/send-to-all", r#"["a/all", 3]"#),
    ] {
        let response = post(&cluster, path, body).await;
        assert_eq!(response.status(), 202, "{path}");
        let answer = response.json::<Value>().await.unwrap();
        assert_eq!(answer["accepted"], json!(true), "{path}");
    }
    assert_eq!(to_alice.data::<u64>("a/uid").await, 1);
    assert_eq!(to_alice.data::<u64>("a/all").await, 3);
    assert_eq!(to_nobody.data::<u64>("a/anonymous").await, 2);
    assert_eq!(to_nobody.data::<u64>("a/all").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b2_http_headers_address_one_client_or_all_but_one() {
    let cluster = Cluster::start(Kind::Local, 1).await;
    let phone = cluster
        .builder(0, Some("alice"))
        .client_id("phone")
        .connect()
        .await
        .unwrap();
    let laptop = cluster
        .builder(0, Some("alice"))
        .client_id("laptop")
        .connect()
        .await
        .unwrap();
    let (mut to_phone, mut to_laptop) = (Heard::by(&phone), Heard::by(&laptop));

    let url = format!("http://{}/v1/send-to-uid/alice", cluster.node(0).admin);
    for (header, body) in [
        ("Tengen-Only", r#"["a/only", 1]"#),
        ("Tengen-Except", r#"["a/except", 2]"#),
    ] {
        let request = reqwest::Client::new()
            .post(&url)
            .header(header, "phone")
            .body(body);
        assert_eq!(request.send().await.unwrap().status(), 202);
    }
    assert_eq!(
        post(&cluster, "/v1/send-to-uid/alice", r#"["a/both", 3]"#)
            .await
            .status(),
        202
    );
    assert_eq!(to_phone.data::<u64>("a/only").await, 1);
    assert_eq!(to_phone.data::<u64>("a/both").await, 3);
    assert_eq!(to_laptop.data::<u64>("a/except").await, 2);
    assert_eq!(to_laptop.data::<u64>("a/both").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_http_push_has_a_status_and_a_numbered_error() {
    let cluster = Cluster::start(Kind::Local, 1).await;
    let long_uid = format!("/v1/send-to-uid/{}", "u".repeat(257));
    let too_large = format!("[\"a/b\", \"{}\"]", "x".repeat(512 << 10));
    let too_deep = format!("[\"a/b\", {}{}]", "[".repeat(100), "]".repeat(100));
    for (path, body, status, code) in [
        ("/v1/send-to-all", "[", 400, 5),
        ("/v1/send-to-all", "{}", 400, 1),
        ("/v1/send-to-all", "[]", 400, 1),
        ("/v1/send-to-all", r#"["a/b", 1, 2]"#, 400, 1),
        ("/v1/send-to-all", "[1, 2]", 400, 2),
        ("/v1/send-to-all", r#"["ab", 1]"#, 400, 3),
        ("/v1/send-to-all", r#"["a b/c", 1]"#, 400, 2),
        ("/v1/send-to-all", r#"["chsk/gap", {}]"#, 400, 4),
        ("/v1/send-to-all", too_deep.as_str(), 400, 7),
        ("/v1/send-to-all", too_large.as_str(), 413, 6),
        (long_uid.as_str(), r#"["a/b"]"#, 400, 2),
        ("/v1/send-to-uid/a%0Ab", r#"["a/b"]"#, 400, 2),
        ("/v1/send-to-uid/%FF", r#"["a/b"]"#, 400, 2),
        ("/v1/kick", r#"{"uid": ""}"#, 400, 2),
        ("/v1/kick", r#"{"uid": "a", "ban_ms": 5}"#, 400, 1),
        ("/v1/kick", "nonsense", 400, 5),
    ] {
        let response = post(&cluster, path, body.to_owned()).await;
        let label = format!("{path} {}", body.chars().take(40).collect::<String>());
        assert_eq!(response.status(), status, "{label}");
        assert_eq!(
            response.headers()["tengen-error"],
            code.to_string().as_str(),
            "{label}"
        );
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"], code, "{label}");
        assert!(
            body["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{label}"
        );
    }
    assert_eq!(post(&cluster, "/v1/send-to-uid/", "").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f64_a_kick_over_http_closes_after_what_was_queued() {
    let cluster = Cluster::start(Kind::Local, 2).await;
    let mallory = cluster.client(1, Some("mallory")).await;
    let alice = cluster.client(1, Some("alice")).await;
    let mut heard = Heard::by(&mallory);
    assert_eq!(
        post(&cluster, "/v1/send-to-uid/mallory", r#"["a/last", 1]"#)
            .await
            .status(),
        202
    );
    assert_eq!(
        post(
            &cluster,
            "/v1/kick",
            r#"{"uid": "mallory", "reason": "spam"}"#
        )
        .await
        .status(),
        202
    );
    assert_eq!(heard.data::<u64>("a/last").await, 1);
    eventually("mallory is closed", async || !mallory.state().borrow().open).await;
    assert!(alice.state().borrow().open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_metrics_answer_on_the_admin_port_only() {
    let cluster = Cluster::start(Kind::Local, 1).await;
    assert_eq!(get(&cluster, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&cluster, "/readyz").await, (200, "ready\n".to_owned()));
    let _client = cluster.client(0, Some("alice")).await;
    let (status, page) = get(&cluster, "/metrics").await;
    assert_eq!(status, 200);
    assert!(
        page.contains("\ntengen_edge_accept_errors_total 0\n"),
        "{page}"
    );
    let public = format!("http://{}", cluster.node(0).address);
    for path in ["/healthz", "/metrics", "/v1/send-to-all"] {
        assert_eq!(
            reqwest::get(format!("{public}{path}"))
                .await
                .unwrap()
                .status(),
            404,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_nats_is_away_says_so_and_refuses_pushes_at_once() {
    let mut cluster = Cluster::start(Kind::Nats, 1).await;
    let crate::cluster::Net::Nats(server) = &mut cluster.net else {
        unreachable!("started on NATS")
    };
    server.stop();
    eventually("the node is not ready", async || {
        get(&cluster, "/readyz").await.0 == 503
    })
    .await;
    let (_, why) = get(&cluster, "/readyz").await;
    assert!(why.starts_with("not ready: "), "{why}");
    assert_eq!(get(&cluster, "/healthz").await.0, 200);

    let mut quickest = std::time::Duration::MAX;
    for _ in 0..5 {
        let asked = std::time::Instant::now();
        let response = post(&cluster, "/v1/send-to-all", r#"["a/b"]"#).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["tengen-error"], "13");
        assert!(response.headers().contains_key("retry-after"));
        quickest = quickest.min(asked.elapsed());
    }
    // A node that waits for something does so every time; a busy machine does not.
    let limit = std::time::Duration::from_secs(1);
    assert!(quickest < limit, "{quickest:?}");

    let crate::cluster::Net::Nats(server) = &mut cluster.net else {
        unreachable!("started on NATS")
    };
    server.start_again().await;
    cluster.ready(0).await;
    assert_eq!(
        post(&cluster, "/v1/send-to-all", r#"["a/b"]"#)
            .await
            .status(),
        202
    );
}
