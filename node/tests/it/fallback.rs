//! Which transport a client uses: WebSocket where that works, long-poll where it does not, and back, without losing or repeating anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tengen_bus::testing::{Admission, Proxy, Whom};
use tengen_client::{Client, Transport, TransportChoice};
use tengen_node::{Answer, NodeBuilder, Payload};

use crate::cluster::{Cluster, Kind, eventually, metric, soon};
use crate::each_way;
use crate::heard::Heard;
use crate::way::Way;

each_way! { @as auto_cbor_own: Local Auto Cbor Own:
    f03_f22_where_websockets_are_hindered_long_poll_works_within_five_seconds
    f22b_a_client_on_long_poll_goes_back_to_websocket_and_loses_and_repeats_nothing
}
each_way! { @as auto_json_axum: Local Auto Json Axum:
    f03_f22_where_websockets_are_hindered_long_poll_works_within_five_seconds
    f22b_a_client_on_long_poll_goes_back_to_websocket_and_loses_and_repeats_nothing
}

/// What keeps a WebSocket from working.
#[derive(Clone, Debug)]
enum Hindrance {
    /// The upgrade meets this.
    Met(Admission),
    /// The upgrade succeeds, and the connection is reset half a second later.
    Dying,
}

fn echoing(node: NodeBuilder) -> NodeBuilder {
    node.on("test/echo", async |Payload(n): Payload<u64>| Answer(n))
}

async fn f03_f22_where_websockets_are_hindered_long_poll_works_within_five_seconds(way: Way) {
    let cluster = Cluster::with(way, 1, echoing).await;
    let hindrances = [
        Hindrance::Met(Admission::status(200)),
        Hindrance::Met(Admission::status(403)),
        Hindrance::Met(Admission::status(500)),
        Hindrance::Met(Admission::Reset),
        Hindrance::Met(Admission::Swallow),
        Hindrance::Dying,
    ];
    // Side by side: each takes its time.
    let each = hindrances
        .iter()
        .enumerate()
        .map(async |(number, hindrance)| {
            let proxy = cluster.proxy(&[0]).await;
            let conversation = converse(&cluster, &proxy, number, hindrance);
            match hindrance {
                Hindrance::Met(admission) => {
                    proxy.admit(Whom::Upgrades, admission.clone());
                    conversation.await;
                }
                Hindrance::Dying => tokio::select! {
                    () = conversation => {}
                    () = kill_websockets(&proxy) => {}
                },
            }
        });
    join_all(each).await;
}

/// Connects in time, polls, says why, and does what applications do.
async fn converse(cluster: &Cluster, proxy: &Proxy, number: usize, hindrance: &Hindrance) {
    let uid = format!("user{number}");
    let begun = Instant::now();
    let client = soon("it connects", cluster.through(proxy, Some(&uid)).connect()).await;
    let client = client.expect("it is not refused");
    on(&client, Transport::Poll).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{hindrance:?}: {took:?}");
    let downgrade = client.state().borrow().downgrade.clone();
    assert!(!downgrade.expect("it says why").reason.is_empty());

    let mut heard = Heard::by(&client);
    assert_eq!(client.request("test/echo", &7_u64).await, Ok(7));
    client.send("test/echo", &8_u64).await.expect("it is taken");
    let handle = cluster.node(0).handle();
    let pushed = handle.send_to_uid(&uid, "t/hello", &9_u64).await;
    pushed.expect("accepted");
    assert_eq!(heard.data::<u64>("t/hello").await, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_an_address_with_a_query_of_its_own_falls_back_too() {
    let cluster = Cluster::with(Kind::Local, 1, echoing).await;
    let proxy = cluster.proxy(&[0]).await;
    // Without a status to be seen the client has to ask what is wrong, at the same address.
    proxy.admit(Whom::Upgrades, Admission::Reset);
    let url = format!("ws://{}/chsk?tenant=blue&number=7", proxy.address());
    let client = soon("it connects", Client::builder(url).connect()).await;
    let client = client.expect("it is not refused");
    on(&client, Transport::Poll).await;
    assert_eq!(client.request("test/echo", &7_u64).await, Ok(7));
}

/// Resets every WebSocket through the proxy within a second of its beginning.
async fn kill_websockets(proxy: &Proxy) {
    loop {
        let open = proxy.links().into_iter();
        let upgraded: Vec<_> = open
            .filter(|link| {
                let head = String::from_utf8_lossy(&link.first_bytes()).to_lowercase();
                head.contains("upgrade: websocket")
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        for link in upgraded {
            link.reset();
        }
    }
}

async fn f22b_a_client_on_long_poll_goes_back_to_websocket_and_loses_and_repeats_nothing(way: Way) {
    let log = Arc::<Mutex<Vec<u64>>>::default();
    let cluster = Cluster::with(way, 1, |node| {
        let log = Arc::clone(&log);
        node.on("test/note", move |Payload(n): Payload<u64>| {
            log.lock().push(n);
            async {}
        })
    })
    .await;
    let proxy = cluster.proxy(&[0]).await;
    proxy.admit(Whom::Upgrades, Admission::status(403));
    let client = cluster.through(&proxy, Some("alice")).options(|options| {
        options.upgrade_base_ms = 50;
        options.upgrade_cap_ms = 100;
        options.young_ms = 0;
    });
    let client = client.connect().await.expect("it polls");
    let mut heard = Heard::by(&client);
    let session = client.state().borrow().session.clone();
    let handle = cluster.node(0).handle();
    let mut count = 0;
    for round in 0..3 {
        on(&client, Transport::Poll).await;
        proxy.admit(Whom::Upgrades, Admission::Pass);
        // Traffic both ways until it has moved, and a little longer.
        let mut after = 20;
        while after > 0 {
            let pushed = handle.send_to_uid("alice", "t/n", &count).await;
            pushed.expect("accepted");
            let sent = client.send("test/note", &count).queue().await;
            drop(sent.expect("in line"));
            count += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
            let state = client.state().borrow().clone();
            assert!(state.open, "it never closes on the way up: {state:?}");
            after -= u64::from(state.transport == Some(Transport::Ws));
            assert!(count < 5_000, "it moves up");
        }
        let state = client.state().borrow().clone();
        assert_eq!(state.session, session, "round {round}");
        assert_eq!(state.downgrade, None);
        proxy.admit(Whom::Upgrades, Admission::status(403));
        for link in proxy.links() {
            link.reset();
        }
    }
    for n in 0..count {
        assert_eq!(heard.data::<u64>("t/n").await, n);
    }
    let handled = async || log.lock().len() as u64 >= count;
    eventually("all are handled", handled).await;
    assert_eq!(*log.lock(), (0..count).collect::<Vec<_>>());
}

async fn on(client: &Client, transport: Transport) {
    let mut state = client.state();
    let there = state.wait_for(|state| state.open && state.transport == Some(transport));
    drop(soon(transport.name(), there).await.expect("it lives"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_a_client_told_to_use_websockets_never_polls_and_one_told_to_poll_never_upgrades() {
    let cluster = Cluster::with(Kind::Local, 1, echoing).await;
    let proxy = cluster.proxy(&[0]).await;
    let polling = cluster
        .through(&proxy, None)
        .transport(TransportChoice::Poll);
    let polling = polling.connect().await.expect("it polls");
    assert_eq!(polling.request("test/echo", &1_u64).await, Ok(1));
    polling.reconnect().await.expect("it lives");
    assert_eq!(polling.request("test/echo", &2_u64).await, Ok(2));
    let opened = "tengen_edge_connections_opened_total";
    assert_eq!(metric(&cluster, 0, opened).await, 0);
    polling.close().await;
    let hellos = metric(&cluster, 0, "tengen_poll_hellos_total").await;

    proxy.admit(Whom::Upgrades, Admission::status(403));
    let upgrading = cluster.through(&proxy, None).transport(TransportChoice::Ws);
    let upgrading = upgrading
        .options(|options| options.backoff_cap_ms = 20)
        .spawn()
        .expect("it is described");
    let mut tries = 0;
    let mut state = upgrading.state();
    while tries < 10 {
        soon("another try", state.changed())
            .await
            .expect("it lives");
        let state = state.borrow_and_update();
        assert!(!state.open);
        tries += u32::from(state.last_error.is_some() && state.next_reconnect_at.is_some());
    }
    assert_eq!(
        metric(&cluster, 0, "tengen_poll_hellos_total").await,
        hellos
    );
    proxy.admit(Whom::Upgrades, Admission::Pass);
    assert_eq!(upgrading.request("test/echo", &3_u64).await, Ok(3));
}
