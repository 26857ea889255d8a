//! Tests of the outgoing line of forwards on a local bus that goes away and comes back.

use tengen_bus::{Bus, Delivery, LocalNet, Subscribe, Subscription};
use tengen_protocol::subject::Subjects;

use super::*;

struct Fixture {
    net: LocalNet,
    bus: Bus,
    forwards: Arc<Forwards>,
    metrics: Arc<Metrics>,
    there: Subscription,
    stop: CancellationToken,
}

fn b() -> NodeId {
    NodeId::parse("b").expect("valid")
}

impl Fixture {
    async fn new(max_bytes: usize) -> Fixture {
        let net = LocalNet::new();
        let (bus, metrics) = (net.bus(), Arc::<Metrics>::default());
        let subjects = Subjects::default();
        let there = net
            .bus()
            .subscribe(&subjects.node(&b(), "*"), Subscribe::default())
            .await
            .expect("subscribed");
        let peers = Peers::new(
            bus.clone(),
            subjects,
            NodeId::parse("a").expect("valid"),
            Arc::clone(&metrics),
        );
        let gap = Bytes::from("gap");
        let forwards = Forwards::with_bound(peers, gap, Arc::clone(&metrics), max_bytes);
        Fixture {
            net,
            bus,
            forwards,
            metrics,
            there,
            stop: CancellationToken::new(),
        }
    }

    async fn heard(&mut self) -> String {
        let heard = tokio::time::timeout(Duration::from_secs(10), self.there.recv()).await;
        match heard.expect("in time") {
            Some(Delivery::Message(message)) => {
                String::from_utf8(message.body.to_vec()).expect("utf-8")
            }
            other => panic!("{other:?}"),
        }
    }

    fn start(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(Arc::clone(&self.forwards).run(self.stop.clone()))
    }
}

#[tokio::test]
async fn forwards_go_out_in_order() {
    let mut node = Fixture::new(MAX_BYTES).await;
    for number in 0..100 {
        node.forwards.put(&b(), number.to_string().into());
    }
    node.start();
    for number in 0..100 {
        assert_eq!(node.heard().await, number.to_string());
    }
    assert_eq!(node.metrics.takeover.forwards_lost.value(), 0);
}

#[tokio::test]
async fn what_does_not_fit_is_counted_and_told_where_it_is_missing() {
    let mut node = Fixture::new(3 * (PLACE + 1)).await;
    for number in 0..5 {
        node.forwards.put(&b(), number.to_string().into());
    }
    node.start();
    for expected in ["0", "1", "2", "gap"] {
        assert_eq!(node.heard().await, expected);
    }
    assert_eq!(node.metrics.takeover.forwards_lost.value(), 2);
    // The node knows of the hole from here on; what comes after it stands behind the gap.
    while !node.forwards.line.lock().owed.is_empty() {
        tokio::task::yield_now().await;
    }
    node.forwards.put(&b(), "5".into());
    assert_eq!(node.heard().await, "5");
}

#[tokio::test]
async fn what_the_bus_did_not_take_is_told_once_it_is_back() {
    let mut node = Fixture::new(MAX_BYTES).await;
    node.net.take_down(&node.bus, "test");
    node.forwards.put(&b(), "0".into());
    node.start();
    while node.metrics.takeover.forwards_lost.value() == 0 {
        tokio::task::yield_now().await;
    }
    node.net.bring_up(&node.bus);
    assert_eq!(node.heard().await, "gap");
}

#[tokio::test]
async fn what_is_in_line_still_goes_out_when_the_node_stops() {
    let mut node = Fixture::new(MAX_BYTES).await;
    node.forwards.put(&b(), "0".into());
    node.stop.cancel();
    node.start().await.expect("no panic");
    assert_eq!(node.heard().await, "0");
}
