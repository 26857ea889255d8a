//! Homes that hang, answer oddly, or send the asker on: the client gets a status in time, and never somebody else's answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tengen_bus::Service;
use tengen_protocol::relay::{FromHome, ToHome};
use tengen_protocol::{Codec, NodeId};

use crate::cluster::{Cluster, Kind, metric};
use crate::poller::Poller;

const POLL_TIMEOUT: Duration = Duration::from_millis(500);

/// One node, and a poller whose session is at a node that a test plays.
async fn cluster() -> (Cluster, Poller) {
    let cluster = Cluster::with(Kind::Local, 1, |builder| {
        builder.settings(|config| config.poll_timeout = POLL_TIMEOUT)
    })
    .await;
    let mut tab = Poller::new(&cluster, Some("alice"));
    tab.session = "ghost.AAAAAAAAAAAAAAAAAAAAAA".to_owned();
    tab.attempt = 1;
    (cluster, tab)
}

/// Plays a node: answers what is passed on to it.
async fn home(
    cluster: &Cluster,
    name: &str,
    answer: impl Fn(ToHome) -> Bytes + Send + Sync + 'static,
) -> Service {
    let name = NodeId::parse(name).expect("an id");
    let pattern = cluster.subjects().node(&name, "*");
    let answer = Arc::new(answer);
    let handler = move |message: tengen_bus::Message| {
        let answer = Arc::clone(&answer);
        async move {
            Ok(answer(
                ToHome::decode(&message.body).expect("a relay message"),
            ))
        }
    };
    let bus = cluster.service().await;
    let started = Service::start(&bus, &pattern, "home", 16, handler).await;
    started.expect("it subscribes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_that_hangs_is_a_503_in_time_and_not_forgotten() {
    let (cluster, mut tab) = cluster().await;
    let ghost = cluster
        .subjects()
        .node(&NodeId::parse("ghost").expect("an id"), "*");
    let bus = cluster.service().await;
    // It takes every message and answers none.
    let hangs = bus
        .subscribe(&ghost, tengen_bus::Subscribe::default())
        .await;
    let begun = Instant::now();
    tab.get(0).await.is_refusal(503, "13");
    let took = begun.elapsed();
    assert!(took < POLL_TIMEOUT + Duration::from_secs(5), "{took:?}");
    assert_eq!(
        metric(&cluster, 0, "tengen_poll_relay_failed_total").await,
        1
    );
    assert_eq!(metric(&cluster, 0, "tengen_poll_parked").await, 0);
    // Once it is gone, that is known too.
    drop(hangs);
    tab.get(0).await.is_refusal(410, "12");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_none_is_a_503_and_counted() {
    let (cluster, mut tab) = cluster().await;
    let turn = AtomicUsize::new(0);
    let _ghost = home(&cluster, "ghost", move |_| {
        let good = FromHome::Body(Codec::Json, Bytes::from_static(b"[4,0]\n")).encode();
        match turn.fetch_add(1, Ordering::Relaxed) {
            0 => Bytes::new(),
            1 => good.slice(..good.len() - 1),
            2 => {
                let mut later = good.to_vec();
                later[1] = 2;
                later.into()
            }
            // A status that is none of ours must not become the client's.
            3 => FromHome::Refused(200, 0, "fine".to_owned()).encode(),
            4 => FromHome::Refused(404, 12, "lost".to_owned()).encode(),
            _ => good,
        }
    })
    .await;
    for _ in 0..5 {
        tab.get(0).await.is_refusal(503, "13");
    }
    assert_eq!(tab.get(0).await.frames(), [json!([4, 0])]);
    let counter = async |name: &str| metric(&cluster, 0, name).await;
    assert_eq!(counter("tengen_poll_relay_malformed_total").await, 2);
    assert_eq!(counter("tengen_poll_relay_unknown_version_total").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_moved_on_is_followed_and_then_found_at_once() {
    let (cluster, mut tab) = cluster().await;
    let to = |name: &str| FromHome::Mine(NodeId::parse(name).expect("an id")).encode();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let _first = home(&cluster, "ghost", move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        to("ghost-2")
    })
    .await;
    let _second = home(&cluster, "ghost-2", |message| {
        let ToHome::Poll(poll) = message else {
            return FromHome::NotMine.encode();
        };
        assert_eq!(poll.uid.as_ref().map(|uid| uid.as_str()), Some("alice"));
        let body = format!("{}\n", json!([4, poll.received, poll.n]));
        FromHome::Body(Codec::Json, body.into()).encode()
    })
    .await;
    for n in 1..=3_u64 {
        assert_eq!(tab.get(0).await.frames(), [json!([4, 0, n])]);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "its place is remembered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn homes_that_send_the_asker_in_a_circle_are_a_410() {
    let (cluster, mut tab) = cluster().await;
    let to = |name: &str| FromHome::Mine(NodeId::parse(name).expect("an id")).encode();
    let _first = home(&cluster, "ghost", move |_| to("ghost-2")).await;
    let _second = home(&cluster, "ghost-2", move |_| to("ghost")).await;
    tab.get(0).await.is_refusal(410, "12");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_not_where_its_id_says_is_found_by_asking_all() {
    let (cluster, mut tab) = cluster().await;
    let _old = home(&cluster, "ghost", |_| FromHome::NotMine.encode()).await;
    let _new = home(&cluster, "elsewhere", |_| {
        FromHome::Body(Codec::Json, Bytes::from_static(b"[6]\n")).encode()
    })
    .await;
    let all = cluster.subjects().session();
    let mine = |message: tengen_bus::Message| async move {
        let who = ToHome::decode(&message.body).expect("a relay message");
        assert!(matches!(who, ToHome::Who(_)), "{who:?}");
        let node = NodeId::parse("elsewhere").expect("an id");
        Ok(FromHome::Mine(node).encode())
    };
    let bus = cluster.service().await;
    let _all = Service::start(&bus, &all, "home", 16, mine)
        .await
        .expect("it subscribes");
    for _ in 0..3 {
        assert_eq!(tab.get(0).await.frames(), [json!([6])] as [Value; 1]);
    }
    assert_eq!(metric(&cluster, 0, "tengen_poll_asked_all_total").await, 1);
}
