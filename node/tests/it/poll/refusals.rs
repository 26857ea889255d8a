//! What strangers may send by poll: each fault has its status and its number, and nobody else's session notices.

use std::time::Duration;

use serde_json::{Value, json};
use tengen_node::{Answer, Payload};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::{Cluster, Kind, eventually, metric, soon};
use crate::poller::{NDJSON, Poller, lines};

const HEADERS: [(&str, &str); 1] = [("content-type", NDJSON)];

async fn cluster() -> Cluster {
    let echo = async |Payload(value): Payload<Value>| Answer(value);
    Cluster::with(Kind::Local, 1, |builder| builder.on("a/b", echo)).await
}

/// Lets `offend` happen beside an open poller, which then still asks and hears, in its session.
async fn beside_a_poller(cluster: &Cluster, offend: impl AsyncFnOnce(Poller)) {
    let mut bystander = Poller::open(cluster, 0, Some("bystander")).await;
    offend(bystander.clone()).await;
    let asked = json!([2, 1, "a/b", {"n": 1}, 5000]);
    assert_eq!(bystander.post(0, &[asked]).await, 1);
    assert_eq!(bystander.take(0).await, [json!([3, 1, 0, {"n": 1}])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_is_none_is_a_400() {
    let cluster = cluster().await;
    beside_a_poller(&cluster, async |tab| {
        for body in [
            "",
            "nonsense",
            "[1,\"a/b\"]\n",
            "[5]\n",
            "[0]\n",
            r#"[0,{"client":"my secret","attempt":1}]"#,
            r#"[0,{"attempt":1}]"#,
            r#"[0,{"client":"","attempt":1}]"#,
            r#"[0,{"client":"c"}]"#,
            r#"[0,{"client":"c","attempt":-1}]"#,
            r#"[0,{"client":"c","attempt":1,"session":"nobody"}]"#,
            "[0,{\"client\":\"c\",\"attempt\":1}]\n[1,\"a/b\"]\n",
            "[0,{\"client\":\"c\",\"atte",
        ] {
            let answer = tab.send(0, "POST", "", &HEADERS, body.into()).await;
            answer.is_refusal(400, "4500");
            assert!(!answer.text().contains("secret"), "details stay out of it");
        }
    })
    .await;
    assert_eq!(
        metric(&cluster, 0, "tengen_hub_sessions_begun_total").await,
        1
    );
    assert_eq!(
        metric(&cluster, 0, "tengen_poll_refused_400_total").await,
        13
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_types_other_than_the_sessions_are_a_400() {
    let cluster = cluster().await;
    beside_a_poller(&cluster, async |tab| {
        let body = || lines(&[json!([1, "a/b"])]).into_bytes();
        for wrong in ["application/json", "text/plain", "application/cbor-seq"] {
            let headers = [("content-type", wrong)];
            let answer = tab.request(0, "POST", "?first=1", &headers, body()).await;
            answer.is_refusal(400, "4507");
        }
        let answer = tab.request(0, "POST", "?first=1", &[], body()).await;
        answer.is_refusal(400, "4507");
        let hello = tab.send(0, "POST", "", &[], b"[0,{}]".to_vec()).await;
        hello.is_refusal(400, "4507");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_codec_at_a_resume_begins_a_session_with_a_gap() {
    let cluster = cluster().await;
    let tab = Poller::open(&cluster, 0, None).await;
    // {"client": "tab", "attempt": 2, "session": …, "received": 0}
    let mut hello = b"\x82\x00\xa4\x66client\x63tab\x67attempt\x02\x67session\x78".to_vec();
    hello.push(u8::try_from(tab.session.len()).expect("short"));
    hello.extend(tab.session.as_bytes());
    hello.extend(b"\x68received\x00");
    let headers = [("content-type", "application/cbor-seq; v=1")];
    let answer = tab.send(0, "POST", "", &headers, hello).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/cbor-seq"));
    let has = |part: &[u8]| answer.body.windows(part.len()).any(|seen| seen == part);
    assert!(has(b"\x67resumed\xf4") && has(b"\x63gap\xf5"));
    // The session of the other codec has ended, and says so.
    let told = tab.clone().get(0).await.frames();
    assert_eq!((&told[0][0], &told[0][1]), (&json!(7), &json!(4505)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_and_queries_that_are_malformed_are_a_400() {
    let cluster = cluster().await;
    beside_a_poller(&cluster, async |mut tab| {
        for query in [
            "?received=0",
            "?n=1",
            "?received=0&n=x",
            "?received=-1&n=1",
            "?received=0&n=1&n=2",
            "?received=0&n=18446744073709551616",
            "",
        ] {
            let answer = tab.request(0, "GET", query, &[], Vec::new()).await;
            answer.is_refusal(400, "4500");
        }
        for query in ["", "?first=", "?first=0", "?first=x", "?first=1&first=1"] {
            let answer = tab.request(0, "POST", query, &HEADERS, Vec::new()).await;
            answer.is_refusal(400, "4500");
        }
        let id = tab.session.clone();
        for (session, attempt) in [
            (Some("nobody"), Some("1")),
            (Some("../../x"), Some("1")),
            (Some(id.as_str()), Some("one")),
            (Some(id.as_str()), None),
            (None, Some("1")),
        ] {
            let pairs = [("tengen-session", session), ("tengen-attempt", attempt)];
            let pairs = pairs.into_iter();
            let headers: Vec<_> = pairs
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
            let answer = tab
                .send(0, "GET", "?received=0&n=1", &headers, Vec::new())
                .await;
            answer.is_refusal(400, "4500");
        }
        tab.session.clear();
        let nameless = tab.send(0, "GET", "?received=0&n=1", &[], Vec::new()).await;
        nameless.is_refusal(400, "4500");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_forged_and_foreign_sessions_are_a_410_and_stay_as_they_are() {
    let cluster = cluster().await;
    beside_a_poller(&cluster, async |tab| {
        let mut forged = tab.clone();
        forged.session = "n0.AAAAAAAAAAAAAAAAAAAAAA".to_owned();
        let mut unknown_node = tab.clone();
        unknown_node.session = "nowhere.AAAAAAAAAAAAAAAAAAAAAA".to_owned();
        // The right id, by another user, and by nobody.
        let mut mallory = tab.clone();
        mallory.uid = Some("mallory".to_owned());
        let mut nobody = tab.clone();
        nobody.uid = None;
        // An attempt that no hello ever made.
        let mut ahead = tab.clone();
        ahead.attempt += 1;
        for mut stranger in [forged, unknown_node, mallory, nobody, ahead] {
            stranger.get(0).await.is_refusal(410, "12");
            let body = lines(&[json!([2, 1, "a/b", "mallory was here", 5000])]);
            let posted = stranger.post_at(0, 1, &body).await;
            posted.is_refusal(410, "12");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lower_attempt_is_a_409_for_hello_get_and_post() {
    let cluster = cluster().await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    tab.attempt = 4;
    assert_eq!(tab.hello(0).await["resumed"], true);
    let mut old = tab.clone();
    old.attempt = 3;
    old.say_hello(0, json!({})).await.is_refusal(409, "4505");
    old.get(0).await.is_refusal(409, "4505");
    old.post_at(0, 1, "[1,\"a/b\"]\n")
        .await
        .is_refusal(409, "4505");
    assert_eq!(tab.post(0, &[json!([2, 1, "a/b", 1, 5000])]).await, 1);
    assert_eq!(tab.take(0).await, [json!([3, 1, 0, 1])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn received_beyond_what_was_sent_ends_the_session_and_no_other() {
    let cluster = cluster().await;
    beside_a_poller(&cluster, async |_| {
        let mut liar = Poller::open(&cluster, 0, Some("liar")).await;
        liar.received = 1_000;
        liar.get(0).await.is_refusal(410, "12");
        liar.received = 0;
        let hello = liar.hello(0).await;
        assert_eq!(hello["resumed"], false);
        assert_eq!(hello["gap"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_behind_a_hole_takes_nothing_and_one_cut_half_way_takes_what_is_whole() {
    let cluster = cluster().await;
    let mut tab = Poller::open(&cluster, 0, None).await;
    let ask = |number: u64| json!([2, number, "a/b", number, 5000]);
    let hole = tab.post_at(0, 3, &lines(&[ask(3)])).await.frames();
    assert_eq!(hole[0][1], 0, "nothing was counted: {hole:?}");
    // Two whole items and half of a third, as it is when a sender dies.
    let whole = lines(&[ask(1), ask(2), ask(3)]);
    let cut = &whole[..whole.len() - 12];
    let posted = tab.post_at(0, 1, cut).await.frames();
    let counted = posted[0][1].as_u64().expect("a count");
    assert!((2..=3).contains(&counted), "{posted:?}");
    // The rest goes on from there.
    tab.posted = counted;
    assert_eq!(tab.post(0, &[ask(9)]).await, counted + 1);
    let answers = tab.take_many(counted as usize + 1).await;
    assert!(answers.contains(&json!([3, 1, 0, 1])), "{answers:?}");
    assert!(answers.contains(&json!([3, 2, 0, 2])), "{answers:?}");
    assert!(answers.contains(&json!([3, 9, 0, 9])), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f74_an_undecodable_item_is_counted_and_reported_and_the_rest_waits_for_the_next_post() {
    let cluster = cluster().await;
    let mut tab = Poller::open(&cluster, 0, None).await;
    let body = "[2,1,\"a/b\",1,5000]\nnonsense\n[2,3,\"a/b\",3,5000]\n";
    let posted = tab.post_at(0, 1, body).await.frames();
    assert_eq!(posted[0][1], 2, "{posted:?}");
    tab.posted = 2;
    assert_eq!(tab.post(0, &[json!([2, 3, "a/b", 3, 5000])]).await, 3);
    let answers = tab.take_many(3).await;
    let error = answers.iter().find(|item| item[1] == "chsk/error");
    let error = &error.expect("an error")[2];
    assert_eq!((&error["code"], &error["position"]), (&json!(5), &json!(2)));
    assert!(answers.contains(&json!([3, 1, 0, 1])));
    assert!(answers.contains(&json!([3, 3, 0, 3])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f88_an_item_of_max_bytes_goes_both_ways_and_larger_ones_have_their_errors() {
    let cluster = cluster().await;
    let mut tab = Poller::open(&cluster, 0, None).await;
    let limit = 512 << 10;
    let of_length = |length: usize| {
        let around = json!([2, 1, "a/b", "", 5000]).to_string().len();
        json!([2, 1, "a/b", "x".repeat(length - around), 5000])
    };
    let item = of_length(limit);
    assert_eq!(tab.post(0, std::slice::from_ref(&item)).await, 1);
    let answers = tab.take(0).await;
    assert_eq!(answers[0], json!([3, 1, 0, item[3]]));
    // One byte more: refused by number, and counted.
    assert_eq!(tab.post(0, &[of_length(limit + 1)]).await, 2);
    let refused = tab.take(0).await;
    assert_eq!(refused[0][0], 3, "{refused:?}");
    assert_eq!(refused[0][2], 6);
    // A body that nobody wants to hold: nothing is counted, and the connection goes on.
    let larger = lines(&[of_length(limit + 64 * 1_024)]);
    tab.post_at(0, 3, &larger).await.is_refusal(413, "6");
    // Several frames together have at most 256 KiB.
    let several = [of_length(200 << 10), of_length(200 << 10)];
    tab.post_at(0, 3, &lines(&several))
        .await
        .is_refusal(413, "6");
    assert_eq!(tab.post(0, &[json!([2, 3, "a/b", 3, 5000])]).await, 3);
    assert_eq!(tab.take(0).await, [json!([3, 3, 0, 3])]);
    assert_eq!(
        metric(&cluster, 0, "tengen_poll_refused_413_total").await,
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_an_end_holds_room_and_further_ones_are_a_429() {
    let cluster = Cluster::with(Kind::Local, 1, |builder| {
        builder.settings(|config| {
            config.max_bytes.0 = 512 << 10;
            config.post_bytes.0 = 1 << 20;
        })
    })
    .await;
    let tab = Poller::open(&cluster, 0, None).await;
    let head = format!(
        "POST /chsk?first=1 HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON}\r\n\
         Tengen-Session: {}\r\nTengen-Attempt: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,\"a\r\n",
        tab.session
    );
    // It may become as large as any, so there is no room for another of that size.
    let mut slow = TcpStream::connect(cluster.node(0).address).await.unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    let taken = async || metric(&cluster, 0, "tengen_poll_post_bytes").await;
    eventually("the room is taken", async || taken().await > 512 << 10).await;
    let large = "x".repeat(512 << 10);
    let refused = tab.post_at(0, 1, &large).await;
    refused.is_refusal(429, "8");
    assert_eq!(tab.post_at(0, 1, "").await.status, 200, "a small one fits");
    drop(slow);
    eventually("there is room again", async || taken().await == 0).await;
    assert_eq!(tab.post_at(0, 1, &large).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_whose_sender_dies_half_way_counts_nothing() {
    let cluster = cluster().await;
    let mut tab = Poller::open(&cluster, 0, None).await;
    let mut socket = TcpStream::connect(cluster.node(0).address).await.unwrap();
    let head = format!(
        "POST /chsk?first=1 HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON}\r\n\
         Tengen-Session: {}\r\nTengen-Attempt: 1\r\nContent-Length: 100\r\n\r\n[1,\"a/b\",1]\n",
        tab.session
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut rest = Vec::new();
    soon("the end", socket.read_to_end(&mut rest))
        .await
        .unwrap();
    // Behind it everything is as before.
    assert_eq!(tab.post(0, &[json!([2, 1, "a/b", 1, 5000])]).await, 1);
    assert_eq!(tab.take(0).await, [json!([3, 1, 0, 1])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_come_is_told_so_on_every_kind_of_request() {
    let refuse = async |_: axum::http::request::Parts| {
        Err::<Option<tengen_protocol::Uid>, _>(
            tengen_node::Refused::forbidden("not today").with_code(1403),
        )
    };
    let cluster = Cluster::with(Kind::Local, 1, |builder| builder.user_id(refuse)).await;
    let mut tab = Poller::new(&cluster, None);
    tab.attempt = 1;
    tab.say_hello(0, json!({})).await.is_refusal(403, "1403");
    tab.session = "n0.AAAAAAAAAAAAAAAAAAAAAA".to_owned();
    tab.get(0).await.is_refusal(403, "1403");
    tab.post_at(0, 1, "").await.is_refusal(403, "1403");
    let plain = tab.send(0, "GET", "", &[], Vec::new()).await;
    plain.is_refusal(403, "1403");
    let bad_uid = Cluster::start(Kind::Local, 1).await;
    let mut tab = Poller::new(&bad_uid, Some("%00"));
    tab.attempt = 1;
    tab.say_hello(0, json!({})).await.is_refusal(401, "4501");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_node_and_one_that_is_not_open_are_a_503() {
    let mut cluster = Cluster::with(Kind::Nats, 1, |builder| {
        builder.settings(|config| config.max_sessions.0 = 1)
    })
    .await;
    let mut tab = Poller::open(&cluster, 0, None).await;
    let mut second = Poller::new(&cluster, None);
    second.client = "second".to_owned();
    second.attempt = 1;
    second.say_hello(0, json!({})).await.is_refusal(503, "4003");
    cluster.stop_nats();
    eventually("the node is not open", async || {
        let ready = cluster.node(0).node.ready().await;
        ready.is_err_and(|why| why.contains("interest"))
    })
    .await;
    let begun = std::time::Instant::now();
    tab.attempt += 1;
    tab.say_hello(0, json!({})).await.is_refusal(503, "4003");
    assert!(begun.elapsed() >= Duration::from_millis(2_900), "held 3 s");
}
