//! Handlers beside each other over real sockets: in order, contained, and never in each other's way.

use std::future::IntoFuture as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use tengen_client::{Client, FailureKind};
use tengen_node::{Answer, NodeBuilder, Payload, Reply};
use tengen_protocol::ErrorCode;
use tokio::sync::{Semaphore, mpsc};

use crate::cluster::{Cluster, metric, soon};
use crate::each_way;
use crate::way::Way;

each_way!(
    f15_a_handler_that_fails_panics_or_hangs_stops_nobody,
    f16_a_handler_that_blocks_a_second_delays_another_client_by_less_than_50_ms,
    f26_a_hundred_events_in_a_tight_loop_arrive_once_each_in_order,
);

async fn f15_a_handler_that_fails_panics_or_hangs_stops_nobody(way: Way) {
    fn boom() {
        panic!("on purpose");
    }
    let cluster = Cluster::with(way, 1, |node| {
        node.settings(|config| config.handler_timeout = Duration::from_millis(200))
            .on("test/panic", async |_: Reply| boom())
            .on("test/hang", async || std::future::pending::<()>().await)
            .on("test/fine", async || Answer("fine"))
    })
    .await;
    let (alice, bob) = (
        cluster.client(0, Some("alice")).await,
        cluster.client(0, Some("bob")).await,
    );
    let failure = alice
        .request::<Value>("test/panic", &())
        .await
        .expect_err("it panics");
    assert_eq!(
        failure.refusal.map(|refusal| refusal.code),
        Some(ErrorCode::HANDLER_FAILED)
    );
    let hanging = alice
        .request::<Value>("test/hang", &())
        .timeout(Duration::from_secs(3))
        .queue()
        .await
        .expect("it is sent");
    let mut hanging = pin!(hanging);
    // Sessions never wait for each other.
    let fine = bob.request::<String>("test/fine", &()).into_future();
    tokio::select! {
        biased;
        hung = &mut hanging => panic!("bob waited for alice's {hung:?}"),
        fine = fine => assert_eq!(fine.as_deref(), Ok("fine")),
    }
    assert_eq!(
        hanging.await.expect_err("it hangs").kind,
        FailureKind::Timeout
    );
    assert_eq!(
        alice.request::<String>("test/fine", &()).await.as_deref(),
        Ok("fine")
    );

    // An event that hangs ends at the node's limit; its sender is told with its position.
    let (tell, mut told) = mpsc::unbounded_channel();
    let _registration = alice.on("chsk/error", move |event| {
        let _ = tell.send(event.to::<Value>());
    });
    match alice.send("test/hang", &()).await {
        // The error came before the acknowledgement, which is due within a second.
        Err(failure) => assert_eq!(failure.kind, FailureKind::Timeout),
        Ok(()) => {
            let error = soon("chsk/error", told.recv())
                .await
                .expect("alice lives")
                .expect("a value");
            assert_eq!(
                (error["code"].as_u64(), error["position"].as_u64()),
                (Some(11), Some(4)),
                "{error}"
            );
        }
    }
    assert_eq!(
        alice.request::<String>("test/fine", &()).await.as_deref(),
        Ok("fine")
    );
}

async fn f16_a_handler_that_blocks_a_second_delays_another_client_by_less_than_50_ms(way: Way) {
    let (tell, mut blocked) = mpsc::unbounded_channel();
    let cluster = Cluster::with(way, 1, |node| {
        let tell = tell.clone();
        node.on("test/block", move || {
            let _ = tell.send(());
            // The thread itself, as any careless handler does it.
            thread::sleep(Duration::from_secs(1));
            async { Answer("slow") }
        })
        .on("test/fine", async || Answer("fine"))
    })
    .await;
    let (alice, bob) = (
        cluster.client(0, Some("alice")).await,
        cluster.client(0, Some("bob")).await,
    );
    assert_eq!(
        bob.request::<String>("test/fine", &()).await.as_deref(),
        Ok("fine")
    );
    // What a busy machine does to bob without any help of alice's is not hers.
    let mut usual = slowest(&bob).await;
    for _ in 0..3 {
        let slow = alice
            .request::<String>("test/block", &())
            .queue()
            .await
            .expect("it is sent");
        soon("the handler", blocked.recv()).await.expect("it runs");
        let beside = slowest(&bob).await;
        assert_eq!(slow.await.as_deref(), Ok("slow"));
        if beside < usual + Duration::from_millis(50) {
            return;
        }
        usual = usual.max(slowest(&bob).await);
    }
    panic!("slower than the usual {usual:?} beside a handler that blocks");
}

/// The longest that one of many requests took.
async fn slowest(client: &Client) -> Duration {
    let begun = Instant::now();
    let mut worst = Duration::ZERO;
    while begun.elapsed() < Duration::from_millis(500) {
        let asked = Instant::now();
        let fine = client.request::<String>("test/fine", &()).await;
        assert_eq!(fine.as_deref(), Ok("fine"));
        worst = worst.max(asked.elapsed());
    }
    worst
}

/// Handlers that note what they see: one in order, one that may overlap.
fn noting(node: NodeBuilder, log: &Arc<Mutex<Vec<u32>>>, gate: &Arc<Semaphore>) -> NodeBuilder {
    let running = Arc::new(AtomicUsize::new(0));
    let (log, gate) = (log.clone(), gate.clone());
    node.on("test/note", move |Payload(n): Payload<u32>| {
        let (log, running) = (log.clone(), running.clone());
        async move {
            assert_eq!(
                running.fetch_add(1, Ordering::SeqCst),
                0,
                "one after another"
            );
            tokio::task::yield_now().await;
            log.lock().push(n);
            running.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .concurrent("test/wait", move || {
        let gate = gate.clone();
        async move {
            gate.acquire().await.expect("it stays open").forget();
            Answer("waited")
        }
    })
    .on("test/last", async || Answer(true))
}

async fn f26_a_hundred_events_in_a_tight_loop_arrive_once_each_in_order(way: Way) {
    let (log, gate) = (
        Arc::new(Mutex::new(Vec::new())),
        Arc::new(Semaphore::new(0)),
    );
    let cluster = Cluster::with(way, 1, |node| noting(node, &log, &gate)).await;
    let client = cluster.client(0, Some("alice")).await;
    let waiting = client
        .request::<String>("test/wait", &())
        .queue()
        .await
        .expect("it is sent");
    let mut sent = Vec::new();
    for n in 0..100_u32 {
        sent.push(
            client
                .send("test/note", &n)
                .queue()
                .await
                .expect("it is sent"),
        );
    }
    assert_eq!(client.request("test/last", &()).await, Ok(true));
    assert_eq!(*log.lock(), (0..100).collect::<Vec<_>>());
    for sent in sent {
        sent.await.expect("it is acknowledged");
    }
    // One acknowledgement covers many.
    let acks = metric(&cluster, 0, "tengen_hub_acks_sent_total").await;
    assert!((1..50).contains(&acks), "{acks} for 102 items");
    // The one that may overlap held nobody back.
    gate.add_permits(1);
    assert_eq!(waiting.await.as_deref(), Ok("waited"));
}
