//! What only the local bus has: several handles, taking them down, and faults between them.

use std::{sync::Arc, time::Duration};

use super::{Fate, Faults, HandleId, LocalNet};
use crate::{Bus, Delivery, Publish, PublishError, RequestError, Subscribe, bus::Kind};

#[tokio::test]
async fn handles_of_one_net_hear_each_other_and_other_nets_do_not() {
    let (net, other) = (LocalNet::new(), LocalNet::new());
    let (a, b, c) = (net.bus(), net.bus(), other.bus());
    let mut at_b = b
        .subscribe("x", Subscribe::default())
        .await
        .expect("subscribed");
    let mut at_c = c
        .subscribe("x", Subscribe::default())
        .await
        .expect("subscribed");
    a.publish(Publish::new("x", "1")).await.expect("published");
    assert!(matches!(at_b.try_recv(), Some(Delivery::Message(_))));
    assert!(at_c.try_recv().is_none());
    assert_eq!(
        (net.id(&a), net.id(&b), net.id(&c)),
        (Some(HandleId(0)), Some(HandleId(1)), None)
    );
}

#[tokio::test]
async fn a_handle_that_is_down_loses_what_the_others_publish() {
    let net = LocalNet::new();
    let (a, b) = (net.bus(), net.bus());
    let mut at_b = b
        .subscribe("x", Subscribe::default())
        .await
        .expect("subscribed");
    net.take_down(&b, "cable pulled");
    a.publish(Publish::new("x", "lost")).await.expect("a is up");
    assert_eq!(
        b.publish(Publish::new("x", "")).await,
        Err(PublishError::BusDown)
    );
    let asked = a
        .request(Publish::new("x", ""), Duration::from_secs(9))
        .await;
    assert_eq!(
        asked.expect_err("nobody is there"),
        RequestError::NoResponders
    );
    net.bring_up(&b);
    net.bring_up(&b);
    a.publish(Publish::new("x", "heard"))
        .await
        .expect("published");
    assert!(matches!(at_b.try_recv(), Some(Delivery::Interrupted)));
    assert!(matches!(at_b.try_recv(), Some(Delivery::Message(message)) if message.body == "heard"));
}

struct OneWay;

impl Faults for OneWay {
    fn fate(&self, from: HandleId, to: HandleId, subject: &str) -> Fate {
        if from < to && subject.starts_with("x") {
            Fate::Lose
        } else {
            Fate::Deliver
        }
    }
}

#[tokio::test]
async fn faults_lose_between_two_handles_without_a_word() {
    let net = LocalNet::new();
    let (a, b) = (net.bus(), net.bus());
    let mut at_a = a
        .subscribe("x", Subscribe::default())
        .await
        .expect("subscribed");
    let mut at_b = b
        .subscribe(">", Subscribe::default())
        .await
        .expect("subscribed");
    net.set_faults(Some(Arc::new(OneWay)));
    for bus in [&a, &b] {
        bus.publish(Publish::new("x", "")).await.expect("published");
    }
    a.publish(Publish::new("y", "")).await.expect("published");
    assert_eq!((at_a.queued().0, at_b.queued().0), (2, 2));
    net.set_faults(None);
    a.publish(Publish::new("x", "")).await.expect("published");
    assert_eq!((at_a.queued().0, at_b.queued().0), (3, 3));
    assert!(at_a.try_recv().is_some() && at_b.try_recv().is_some());
}

#[tokio::test]
async fn queue_members_that_are_down_get_nothing() {
    let net = LocalNet::new();
    let (a, b, c) = (net.bus(), net.bus(), net.bus());
    let at_b = b
        .subscribe("x", Subscribe::queue("q"))
        .await
        .expect("subscribed");
    let at_c = c
        .subscribe("x", Subscribe::queue("q"))
        .await
        .expect("subscribed");
    net.take_down(&b, "test");
    for _ in 0..50 {
        a.publish(Publish::new("x", "")).await.expect("published");
    }
    assert_eq!((at_b.queued().0, at_c.queued().0), (0, 50));
}

#[tokio::test]
async fn a_request_that_ends_gives_its_place_back() {
    let bus = Bus::local();
    let _silent = bus
        .subscribe("x", Subscribe::default())
        .await
        .expect("subscribed");
    for _ in 0..10 {
        let asked = bus
            .request(Publish::new("x", ""), Duration::from_millis(1))
            .await;
        assert_eq!(asked.expect_err("silence"), RequestError::Timeout);
    }
    drop(
        bus.start_request(Publish::new("x", ""))
            .await
            .expect("asked"),
    );
    let Kind::Local(handle) = &bus.kind else {
        unreachable!()
    };
    assert_eq!(handle.inbox().waiting(), 0);
}

/// A subscriber on the same single thread is not starved by a publisher that never waits.
#[tokio::test]
async fn a_tight_loop_of_publishing_lets_others_run() {
    let bus = Bus::local();
    let options = Subscribe::default().max_queue_bytes(1 << 20);
    let mut heard = bus.subscribe("x", options).await.expect("subscribed");
    let counting = tokio::spawn(async move {
        let mut count = 0;
        while count < 50_000 {
            match heard.recv().await {
                Some(Delivery::Message(_)) => count += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    for _ in 0..50_000 {
        bus.publish(Publish::new("x", vec![0; 128]))
            .await
            .expect("published");
    }
    counting.await.expect("all arrived, none shed");
}
