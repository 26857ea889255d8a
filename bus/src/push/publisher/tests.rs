//! The flush discipline, burned numbers, and lost tails, in virtual time over the local bus.

mod reports;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tengen_protocol::{Codec, Millis, subject::Subjects};
use tokio::time::Instant;

use super::{Publisher, PublisherOptions, TryPushError};
use crate::{
    Bus, Delivery, Fate, Faults, HandleId, LocalNet, PublishError, Subscribe, Subscription,
    push::{Arrived, Push, Sequences, Target, batch, decode},
};

struct Scene {
    net: LocalNet,
    bus: Bus,
    heard: Subscription,
    publisher: Publisher,
}

async fn scene() -> Scene {
    scene_with(PublisherOptions::default()).await
}

async fn scene_with(options: PublisherOptions) -> Scene {
    let (net, subjects) = (LocalNet::new(), Subjects::default());
    let (bus, listener) = (net.bus(), net.bus());
    let pattern = subjects.send_to_wildcard();
    let heard = listener
        .subscribe(&pattern, Subscribe::default())
        .await
        .expect("subscribed");
    let publisher = Publisher::start_with(bus.clone(), &subjects, options);
    Scene {
        net,
        bus,
        heard,
        publisher,
    }
}

impl Scene {
    /// The batches in line: number and pushes of each.
    fn batches(&mut self) -> Vec<(u64, usize)> {
        let mut batches = Vec::new();
        while let Some(delivery) = self.heard.try_recv() {
            let Delivery::Message(message) = delivery else {
                panic!("{delivery:?}")
            };
            let (head, pushes) = batch::decode(message.body).expect("a batch");
            assert_eq!(head.publisher, self.publisher.id());
            assert!(pushes.clone().all(|push| push.is_ok()));
            batches.push((head.seq, pushes.count()));
        }
        batches
    }
}

fn push(bytes: usize) -> Push {
    Push::new(Target::All, Codec::Json, Bytes::from(vec![b'x'; bytes]))
}

#[tokio::test(start_paused = true)]
async fn an_awaited_push_waits_for_nothing() {
    let mut scene = scene().await;
    let begun = Instant::now();
    for _ in 0..3 {
        scene.publisher.push(&push(10)).await.expect("pushed");
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(scene.batches(), [(1, 1), (2, 1), (3, 1)]);
}

#[tokio::test(start_paused = true)]
async fn pushes_nobody_awaits_travel_together_after_a_millisecond() {
    let mut scene = scene().await;
    let begun = Instant::now();
    for _ in 0..100 {
        scene.publisher.try_push(&push(10)).expect("room");
    }
    tokio::time::sleep(Duration::from_micros(500)).await;
    assert_eq!(scene.batches(), []);
    while scene.heard.queued().0 == 0 {
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    // The timer's own grain is a millisecond.
    assert!(
        begun.elapsed() <= Duration::from_millis(3),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(scene.batches(), [(1, 100)]);
}

#[tokio::test(start_paused = true)]
async fn an_awaited_push_or_a_flush_takes_the_waiting_ones_along() {
    let mut scene = scene().await;
    let begun = Instant::now();
    scene.publisher.try_push(&push(10)).expect("room");
    scene.publisher.push(&push(10)).await.expect("pushed");
    assert_eq!(scene.batches(), [(1, 2)]);
    scene.publisher.try_push(&push(10)).expect("room");
    tokio::task::yield_now().await;
    scene.publisher.flush().await;
    assert_eq!(scene.batches(), [(2, 1)]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    scene.publisher.flush().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_at_128_pushes_or_256_kib() {
    let mut scene = scene().await;
    for _ in 0..300 {
        scene.publisher.try_push(&push(10)).expect("room");
    }
    scene.publisher.flush().await;
    assert_eq!(scene.batches(), [(1, 128), (2, 128), (3, 44)]);
    for _ in 0..7 {
        scene.publisher.try_push(&push(100 << 10)).expect("room");
    }
    scene.publisher.flush().await;
    assert_eq!(scene.batches(), [(4, 2), (5, 2), (6, 2), (7, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_push_over_200_kib_is_a_batch_of_its_own() {
    let mut scene = scene().await;
    for bytes in [10, 201 << 10, 10, 10, 700 << 10, 300 << 10, 10] {
        scene.publisher.try_push(&push(bytes)).expect("room");
    }
    scene.publisher.flush().await;
    assert_eq!(
        scene.batches(),
        [(1, 1), (2, 1), (3, 2), (4, 1), (5, 1), (6, 1)]
    );
    let refused = scene.publisher.push(&push(1 << 20)).await;
    assert!(matches!(refused, Err(PublishError::TooLarge { .. })));
    assert_eq!(scene.batches(), []);
}

#[tokio::test(start_paused = true)]
async fn order_is_that_of_handing_over() {
    let mut scene = scene().await;
    let subjects = Subjects::default();
    let mut sequences = Sequences::new(Millis(0));
    let event = |number: u32| Bytes::from(number.to_string());
    for number in 0..1000 {
        let push = Push::new(Target::All, Codec::Json, event(number));
        if number % 100 == 0 {
            scene.publisher.push(&push).await.expect("pushed");
        } else {
            scene.publisher.try_push(&push).expect("room");
        }
    }
    scene.publisher.flush().await;
    let mut out = Vec::new();
    while let Some(Delivery::Message(message)) = scene.heard.try_recv() {
        decode(&subjects, message, &mut sequences, &mut out);
    }
    assert_eq!(out.len(), 1000);
    for (number, one) in (0..).zip(out) {
        assert!(matches!(one, Arrived::Push(push, _) if push.event.1 == event(number)));
    }
}

#[tokio::test(start_paused = true)]
async fn empty_batches_follow_after_1_2_and_4_seconds() {
    let mut scene = scene().await;
    scene.publisher.push(&push(10)).await.expect("pushed");
    assert_eq!(scene.batches(), [(1, 1)]);
    let begun = Instant::now();
    let mut times = Vec::new();
    // Looks between the tenths of a second, where nothing happens in the same moment.
    tokio::time::sleep(Duration::from_millis(50)).await;
    while begun.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        for batch in scene.batches() {
            assert_eq!(batch, (1, 0));
            times.push(begun.elapsed().as_millis() / 100);
        }
    }
    assert_eq!(times, [10, 20, 40]);
    scene.publisher.push(&push(10)).await.expect("pushed");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    scene.publisher.push(&push(10)).await.expect("pushed");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        scene.batches(),
        [(2, 1), (2, 0), (3, 1), (3, 0), (3, 0), (3, 0)]
    );
}

/// Loses everything while it is told to.
#[derive(Default)]
struct Lossy(Mutex<bool>);

impl Faults for Lossy {
    fn fate(&self, _: HandleId, _: HandleId, _: &str) -> Fate {
        if *self.0.lock() {
            Fate::Lose
        } else {
            Fate::Deliver
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_tail_is_noticed_by_the_next_empty_batch() {
    let mut scene = scene().await;
    let (subjects, mut sequences) = (Subjects::default(), Sequences::new(Millis(0)));
    let lossy = Arc::new(Lossy::default());
    scene
        .net
        .set_faults(Some(Arc::clone(&lossy) as Arc<dyn Faults>));
    scene.publisher.push(&push(10)).await.expect("pushed");
    *lossy.0.lock() = true;
    scene
        .publisher
        .push(&push(10))
        .await
        .expect("taken by the bus, then lost");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    *lossy.0.lock() = false;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut out = Vec::new();
    while let Some(Delivery::Message(message)) = scene.heard.try_recv() {
        decode(&subjects, message, &mut sequences, &mut out);
    }
    let lost = Arrived::Lost {
        publisher: scene.publisher.id(),
        from_seq: 2,
        count: 1,
    };
    assert_eq!(out.len(), 2);
    assert_eq!(out[1], lost);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_the_bus_refuses_burns_its_number() {
    let mut scene = scene().await;
    scene.publisher.push(&push(10)).await.expect("pushed");
    // Handed over while the bus is up, published when it is down.
    scene.publisher.try_push(&push(10)).expect("room");
    scene.net.take_down(&scene.bus, "test");
    scene.publisher.flush().await;
    assert_eq!(
        scene.publisher.push(&push(10)).await,
        Err(PublishError::BusDown)
    );
    let refused = scene.publisher.try_push(&push(10));
    assert_eq!(refused, Err(TryPushError::Refused(PublishError::BusDown)));
    // The empty batches do not get through either, and are tried again until they do.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(scene.batches(), [(1, 1)]);
    scene.net.bring_up(&scene.bus);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(
        scene.batches(),
        [(2, 0), (2, 0), (2, 0)],
        "receivers see that 2 was used"
    );
    scene.publisher.push(&push(10)).await.expect("pushed");
    assert_eq!(
        scene.batches(),
        [(3, 1)],
        "what was refused at once burned nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_in_bytes() {
    let options = PublisherOptions {
        max_pending_bytes: 1000,
        ..PublisherOptions::default()
    };
    let mut scene = scene_with(options).await;
    let item = batch::item_bytes(&push(100));
    let fits = 1000 / item;
    for _ in 0..fits {
        scene.publisher.try_push(&push(100)).expect("room");
    }
    assert_eq!(
        scene.publisher.try_push(&push(100)),
        Err(TryPushError::Full)
    );
    // Who awaits gets room as soon as the driver has made some.
    scene.publisher.push(&push(100)).await.expect("pushed");
    scene
        .publisher
        .push(&push(5000))
        .await
        .expect("larger than all the room there is");
    assert_eq!(
        scene
            .batches()
            .iter()
            .map(|(_, count)| count)
            .sum::<usize>(),
        fits + 2
    );
    for _ in 0..fits {
        scene
            .publisher
            .try_push(&push(100))
            .expect("all room is back");
    }
}

#[tokio::test(start_paused = true)]
async fn closing_sends_what_is_in_line_and_a_last_empty_batch() {
    let mut scene = scene().await;
    let late = scene.publisher.clone();
    scene.publisher.try_push(&push(10)).expect("room");
    late.clone().close().await;
    assert_eq!(scene.batches(), [(1, 1), (1, 0)]);
    assert_eq!(late.push(&push(10)).await, Err(PublishError::BusDown));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_clone_sends_what_is_in_line() {
    let Scene {
        bus,
        mut heard,
        publisher,
        ..
    } = scene().await;
    let clone = publisher.clone();
    publisher.try_push(&push(10)).expect("room");
    drop((publisher, clone));
    let Some(Delivery::Message(first)) = heard.recv().await else {
        panic!("a batch is awaited")
    };
    let (head, _) = batch::decode(first.body).expect("a batch");
    assert_eq!((head.seq, head.count), (1, 1));
    drop(bus);
}
