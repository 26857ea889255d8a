//! Tests of when a node is open.

mod servers;

use tengen_bus::LocalNet;
use tengen_protocol::{Millis, NodeId};

use super::*;

fn interest() -> Arc<Interest> {
    Interest::new(Arc::default())
}

#[test]
fn a_confirmation_begun_before_a_loss_does_not_count() {
    let interest = interest();
    let begun = interest.status().losses;
    interest.lost();
    assert!(!interest.confirm(begun));
    assert!(!interest.status().is_open());
    assert!(interest.confirm(interest.status().losses));
    assert!(interest.status().is_open());
    assert_eq!(interest.metrics.interest.confirmed.value(), 1);
}

#[test]
fn a_closed_node_says_why() {
    let interest = interest();
    assert!(
        interest
            .status()
            .why_closed()
            .is_some_and(|why| why.contains("bus"))
    );
    interest.confirm(0);
    assert_eq!(interest.status().why_closed(), None);
    interest.drain();
    assert_eq!(interest.status().why_closed(), Some("draining"));
}

#[tokio::test]
async fn a_fence_that_nobody_passes_is_lost_and_forgotten() {
    let net = LocalNet::new();
    let node = NodeId::parse("n1").expect("valid");
    let fences = Fences::new(net.bus(), &Subjects::default(), &node);
    assert_eq!(
        fences.round_trip(Duration::from_millis(50)).await,
        Err(FenceLost)
    );
    assert_eq!(fences.under_way(), 0);
}

#[tokio::test]
async fn a_fence_passes_by_its_own_nonce_alone() {
    let net = LocalNet::new();
    let node = NodeId::parse("n1").expect("valid");
    let bus = net.bus();
    let mut sub = bus
        .subscribe("tengen.send-to.>", Default::default())
        .await
        .expect("subscribed");
    let fences = Arc::new(Fences::new(bus, &Subjects::default(), &node));
    let waiting = tokio::spawn({
        let fences = Arc::clone(&fences);
        async move { fences.round_trip(Duration::from_secs(5)).await }
    });
    let Some(tengen_bus::Delivery::Message(fence)) = sub.recv().await else {
        panic!("a message")
    };
    assert_eq!(&*fence.subject, "tengen.send-to.fence.n1");
    fences.pass(b"short");
    fences.pass(&[0; 16]);
    assert_eq!(fences.under_way(), 1);
    fences.pass(&fence.body);
    assert_eq!(waiting.await.expect("no panic"), Ok(()));
    assert_eq!(fences.under_way(), 0);
}

#[tokio::test]
async fn what_a_fence_has_to_do_is_done_at_its_place_or_never() {
    let net = LocalNet::new();
    let node = NodeId::parse("n1").expect("valid");
    let bus = net.bus();
    let mut sub = bus
        .subscribe("tengen.send-to.>", Default::default())
        .await
        .expect("subscribed");
    let fences = Arc::new(Fences::new(bus, &Subjects::default(), &node));
    let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let go = |limit| {
        let (fences, done) = (Arc::clone(&fences), Arc::clone(&done));
        let then = move || {
            done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        };
        tokio::spawn(async move { fences.round_trip_then(limit, then).await })
    };
    let count = || done.load(std::sync::atomic::Ordering::Relaxed);
    let waiting = go(Duration::from_secs(5));
    let Some(tengen_bus::Delivery::Message(fence)) = sub.recv().await else {
        panic!("a message")
    };
    assert_eq!(count(), 0);
    fences.pass(&fence.body);
    assert_eq!(count(), 1, "before anything else is taken");
    assert_eq!(waiting.await.expect("no panic"), Ok(()));
    // One that is late does nothing when it comes.
    let waiting = go(Duration::from_millis(20));
    let Some(tengen_bus::Delivery::Message(fence)) = sub.recv().await else {
        panic!("a message")
    };
    assert_eq!(waiting.await.expect("no panic"), Err(FenceLost));
    fences.pass(&fence.body);
    assert_eq!(count(), 1);
}
