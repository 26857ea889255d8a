//! Connections that break, close and come back: what was under way arrives once and in order, or its caller is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use tengen_bus::testing::{Admission, Whom};
use tengen_client::{Client, CloseReason, ErrorCode, FailureKind, State};
use tengen_node::{Answer, NodeBuilder, Payload};

use crate::cluster::{Cluster, eventually, soon};
use crate::heard::Heard;
use crate::way::Way;
use crate::{each_way, side_by_side};

each_way!(
    f18_what_is_sent_while_not_open_waits_in_line_or_fails_at_once,
    f19_every_pending_request_resolves_once_when_its_session_is_lost,
    f31_f33_after_a_disconnect_nothing_is_attempted_and_connect_opens_again,
    f32_what_alice_left_unacknowledged_is_never_handled_as_bob,
    f34_a_broken_connection_is_replaced_at_once_and_the_session_goes_on,
    f62_pushes_made_during_a_drop_arrive_after_it_in_order_once,
    f99_over_a_bad_connection_everything_still_arrives_once_in_order,
);
side_by_side!(f99_about_the_share_of_sends_that_was_asked_for_breaks_and_all_arrive);

/// Waits until the client's state is as `condition` says, and returns it.
async fn state(
    what: &str,
    client: &Client,
    mut condition: impl FnMut(&State) -> bool,
) -> Arc<State> {
    let mut watcher = client.state();
    let found = soon(what, watcher.wait_for(|state| condition(state))).await;
    found.expect("the client lives").clone()
}

/// A handler that notes the numbers it gets, in their order, with who sent them.
fn noting(node: NodeBuilder, log: &Log) -> NodeBuilder {
    let log = Arc::clone(log);
    node.on(
        "test/note",
        move |Payload(n): Payload<u64>, uid: Option<tengen_protocol::Uid>| {
            let uid = uid.map(|uid| uid.to_string()).unwrap_or_default();
            log.lock().push((uid, n));
            async { Answer(true) }
        },
    )
}

/// Waits until that many were handled, which is after they are acknowledged, and checks that they
/// were handled once each and in order.
async fn all_handled(log: &Log, count: u64) {
    eventually("all are handled", async || log.lock().len() as u64 >= count).await;
    let handled: Vec<u64> = log.lock().iter().map(|(_, n)| *n).collect();
    assert_eq!(handled, (0..count).collect::<Vec<_>>());
}

/// A client of the first node that comes back quickly however often its connection is lost.
async fn quick(cluster: &Cluster) -> Client {
    let builder = cluster.builder(0, Some("alice")).options(|options| {
        options.backoff_base_ms = 5;
        options.backoff_cap_ms = 20;
    });
    builder.connect().await.expect("it connects")
}

/// Counts from now on how often the client's connection is lost.
fn breaks_of(client: &Client) -> Arc<AtomicU64> {
    let breaks = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&breaks);
    client
        .on("chsk/state", move |event| {
            let [old, new]: [Value; 2] = event.to().expect("two states");
            if old["open"] == true && new["open"] == false {
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
        .keep();
    breaks
}

type Log = Arc<Mutex<Vec<(String, u64)>>>;

async fn f18_what_is_sent_while_not_open_waits_in_line_or_fails_at_once(way: Way) {
    let log = Log::default();
    let cluster = Cluster::with(way, 1, |node| noting(node, &log)).await;
    let proxy = cluster.proxy(&[0]).await;
    proxy.admit(Whom::Everybody, Admission::Reset);
    let client = cluster
        .through(&proxy, Some("alice"))
        .options(|options| {
            options.queue_items = 10;
            options.backoff_cap_ms = 50;
        })
        .spawn()
        .expect("it is described");

    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let failure = client.send("test/note", &100).buffered(false).await;
        let failure = failure.expect_err("there is no connection");
        assert_eq!((failure.kind, failure.sent), (FailureKind::Closed, false));
        quickest = quickest.min(begun.elapsed());
    }
    // Who waits for something does so every time; a busy machine does not.
    assert!(quickest < Duration::from_millis(500), "{quickest:?}");

    let mut waiting = Vec::new();
    let late = Duration::from_millis(50);
    let late = client.send("test/note", &101).deadline(late).queue().await;
    for n in 0..9_u64 {
        waiting.push(client.send("test/note", &n).queue().await.expect("in line"));
    }
    let failure = client
        .send("test/note", &102)
        .await
        .expect_err("one too many");
    assert_eq!(
        failure.refusal.map(|refusal| refusal.code),
        Some(ErrorCode::RATE)
    );
    let failure = late.expect("in line").await.expect_err("never written");
    assert_eq!((failure.kind, failure.sent), (FailureKind::Closed, false));

    proxy.admit(Whom::Everybody, Admission::Pass);
    for waiting in waiting {
        soon("an acknowledgement", waiting)
            .await
            .expect("it is taken");
    }
    all_handled(&log, 9).await;
}

async fn f19_every_pending_request_resolves_once_when_its_session_is_lost(way: Way) {
    let hanging = |node: NodeBuilder| {
        // A poll that is passed on to a node in the moment of its end is given up after that.
        node.settings(|config| config.poll_timeout = Duration::from_secs(1))
            .concurrent("test/hang", async || {
                std::future::pending::<Answer<()>>().await
            })
            .on("test/quick", async || Answer("quick"))
    };
    let mut cluster = Cluster::with(way, 2, hanging).await;
    let proxy = cluster.proxy(&[0]).await;
    let client = cluster.through(&proxy, Some("alice"));
    let client = client
        .options(|options| options.spread_ms = 10)
        .connect()
        .await
        .expect("it connects");
    let mut pending = Vec::new();
    for _ in 0..20 {
        let asked = client.request::<Value>("test/hang", &()).queue().await;
        pending.push(asked.expect("it is sent"));
    }
    // They are at the handler before the node goes.
    let quick = client.request::<String>("test/quick", &()).await;
    assert_eq!(quick.as_deref(), Ok("quick"));

    proxy.aim(&cluster.addresses(&[1]));
    let stopped = cluster.take(0);
    let (_, ()) = tokio::join!(stopped.stop(), async {
        for asked in pending {
            let failure = soon("the end of a request", asked).await;
            let failure = failure.expect_err("nobody answers any more");
            assert_eq!((failure.kind, failure.sent), (FailureKind::Closed, true));
        }
    });
    let quick = soon(
        "the other node",
        client.request::<String>("test/quick", &()),
    );
    assert_eq!(quick.await.as_deref(), Ok("quick"));
    let gap = state("a new session", &client, |state| state.open).await;
    assert!(gap.gap && !gap.resumed, "{gap:?}");
}

async fn f31_f33_after_a_disconnect_nothing_is_attempted_and_connect_opens_again(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let proxy = cluster.proxy(&[0]).await;
    let client = cluster.through(&proxy, Some("alice"));
    let client = client.connect().await.expect("it connects");
    let before = client.state().borrow().session.clone();
    client.disconnect().await.expect("the client lives");
    let closed = state("closed", &client, |state| !state.open).await;
    let close = closed.last_close.as_ref().expect("it was open");
    assert_eq!(close.reason, CloseReason::RequestedDisconnect);
    assert_eq!(closed.next_reconnect_at, None);
    eventually("every socket is closed", async || proxy.is_idle()).await;

    client.connect().await.expect("the client lives");
    let opened = state("open again", &client, |state| state.open).await;
    assert!(!opened.resumed && !opened.gap, "the session was given up");
    assert_ne!(opened.session, before);
}

async fn f32_what_alice_left_unacknowledged_is_never_handled_as_bob(way: Way) {
    let log = Log::default();
    let cluster = Cluster::with(way, 2, |node| {
        noting(node, &log).on("test/hang", async || std::future::pending::<()>().await)
    })
    .await;
    let proxy = cluster.proxy(&[0]).await;
    for to in [0, 1] {
        let client = cluster.through(&proxy, Some("alice"));
        let client = client.connect().await.expect("it connects");
        let mut heard = Heard::by(&client);
        // The first stops the line of handlers, so that what follows is acknowledged by nobody
        // before alice is gone; or it is handled, as hers.
        let mut pending = vec![
            client
                .send("test/hang", &())
                .queue()
                .await
                .expect("in line"),
        ];
        for n in 0..10_u64 {
            pending.push(client.send("test/note", &n).queue().await.expect("in line"));
        }
        proxy.aim(&cluster.addresses(&[to]));
        client.set_header("x-uid", "bob").expect("a header");
        client.reconnect().await.expect("the client lives");
        let bob = state("bob's", &client, |state| {
            state.open && state.uid.as_ref().is_some_and(|uid| uid.as_str() == "bob")
        });
        let bob = bob.await;
        assert!(!bob.resumed, "{bob:?}");
        for pending in pending {
            // Acknowledged while alice was there, or closed.
            if let Err(failure) = soon("an outcome", pending).await {
                assert_eq!(failure.kind, FailureKind::Closed, "{failure}");
            }
        }
        let handle = cluster.node(0).handle();
        handle
            .send_to_uid("alice", "t/hers", &1)
            .await
            .expect("accepted");
        handle
            .send_to_uid("bob", "t/his", &2)
            .await
            .expect("accepted");
        loop {
            match heard.next().await {
                (id, _) if id == "t/his" => break,
                (id, _) => assert_eq!(id, "chsk/gap", "bob's tab shows only what is his"),
            }
        }
        assert_eq!(client.request("test/note", &99_u64).await, Ok(true));
        let log = std::mem::take(&mut *log.lock());
        let of_bob: Vec<u64> = log
            .iter()
            .filter(|(uid, _)| uid == "bob")
            .map(|(_, n)| *n)
            .collect();
        assert_eq!(of_bob, [99], "nothing typed as alice");
        client.close().await;
        proxy.aim(&cluster.addresses(&[0]));
    }
}

async fn f34_a_broken_connection_is_replaced_at_once_and_the_session_goes_on(way: Way) {
    let log = Log::default();
    let cluster = Cluster::with(way, 1, |node| noting(node, &log)).await;
    let client = cluster.client(0, Some("alice")).await;
    let session = client.state().borrow().session.clone();
    let mut pending = Vec::new();
    for n in 0..50_u64 {
        pending.push(client.send("test/note", &n).queue().await.expect("in line"));
        if n % 10 == 5 {
            client
                .break_connection(true)
                .await
                .expect("the client lives");
        }
    }
    for pending in pending {
        soon("an acknowledgement", pending)
            .await
            .expect("it is taken");
    }
    let now = state("open", &client, |state| state.open).await;
    assert_eq!(now.session, session);
    assert!(now.resumed && !now.gap, "{now:?}");
    let close = now.last_close.as_ref().expect("it broke");
    assert_eq!(close.reason, CloseReason::Unexpected);
    all_handled(&log, 50).await;
}

async fn f62_pushes_made_during_a_drop_arrive_after_it_in_order_once(way: Way) {
    let cluster = Cluster::start(way, 1).await;
    let proxy = cluster.proxy(&[0]).await;
    let client = cluster
        .through(&proxy, Some("alice"))
        .options(|options| options.backoff_cap_ms = 50)
        .connect()
        .await
        .expect("it connects");
    let mut heard = Heard::by(&client);
    let handle = cluster.node(0).handle();
    let mut next = 0..;
    for _ in 0..3 {
        let push = async |count: usize, next: &mut std::ops::RangeFrom<u64>| {
            for n in next.take(count) {
                handle
                    .send_to_uid("alice", "t/n", &n)
                    .await
                    .expect("accepted");
            }
        };
        push(10, &mut next).await;
        proxy.admit(Whom::Everybody, Admission::Reset);
        for link in proxy.links() {
            link.reset();
        }
        push(20, &mut next).await;
        eventually("not open", async || {
            // One that was let in just before was no link yet.
            for link in proxy.links() {
                link.reset();
            }
            !client.state().borrow().open
        })
        .await;
        push(20, &mut next).await;
        proxy.admit(Whom::Everybody, Admission::Pass);
    }
    for n in 0..next.start {
        assert_eq!(heard.data::<u64>("t/n").await, n);
    }
    let now = state("open", &client, |state| state.open).await;
    assert!(now.resumed && !now.gap, "{now:?}");
}

async fn f99_over_a_bad_connection_everything_still_arrives_once_in_order(way: Way) {
    let log = Log::default();
    let cluster = Cluster::with(way, 1, |node| noting(node, &log)).await;
    let client = quick(&cluster).await;
    let breaks = breaks_of(&client);
    client
        .set_bad_connection_rate(0.5)
        .await
        .expect("the client lives");
    let mut pending = Vec::new();
    for n in 0..60_u64 {
        pending.push(client.send("test/note", &n).queue().await.expect("in line"));
    }
    for pending in pending {
        soon("an acknowledgement", pending)
            .await
            .expect("it is taken");
    }
    all_handled(&log, 60).await;
    assert!(
        breaks.load(Ordering::Relaxed) > 0,
        "half of the writes broke"
    );
}

async fn f99_about_the_share_of_sends_that_was_asked_for_breaks_and_all_arrive(way: Way) {
    // So many that chance alone leaves these bounds less than once in a million runs.
    for (rate, sends, least, most) in [(0.25, 400, 0.12, 0.38), (0.5, 300, 0.35, 0.65)] {
        let log = Log::default();
        let cluster = Cluster::with(way, 1, |node| noting(node, &log)).await;
        let client = quick(&cluster).await;
        let breaks = breaks_of(&client);
        let set = client.set_bad_connection_rate(rate).await;
        set.expect("the client lives");
        for n in 0..sends {
            // Each by itself: what is written together breaks together. And asked, not told: an
            // answer comes at once, an acknowledgement when there is more to say.
            let answer = soon("an answer", client.request("test/note", &n)).await;
            assert_eq!(answer, Ok(true));
        }
        all_handled(&log, sends).await;
        // Every send was written once at last, and before that broke as often as there are breaks.
        let broken = breaks.load(Ordering::Relaxed) as f64;
        let share = broken / (broken + sends as f64);
        assert!((least..most).contains(&share), "{way:?}: {share} at {rate}");
    }
}
