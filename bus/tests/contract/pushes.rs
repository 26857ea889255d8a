//! Pushes over each kind of bus: published in batches, decoded in order, losses noticed.

use std::time::Duration;

use bytes::Bytes;
use tengen_bus::{
    Delivery, Publish, PublishError,
    push::{Arrived, Filter, Origin, Publisher, Push, Sequences, Target, TryPushError, decode},
};
use tengen_protocol::{Codec, Millis, Uid, subject::Subjects};

use crate::world::{DEADLINE, World};

crate::promises! {
    pushes_arrive_in_order_once_with_their_place
    a_plain_push_and_a_batch_of_one_publisher_keep_their_order
    pushing_fails_at_once_during_an_outage_and_goes_on_afterwards
}

fn to(user: &str, number: u32) -> Push {
    let uid = Uid::parse(user).expect("a uid");
    let event = Bytes::from(format!("[\"a/b\",{number}]"));
    Push::new(Target::Uid(uid), Codec::Json, event)
}

/// Receives until `count` pushes have arrived.
async fn receive(
    heard: &mut tengen_bus::Subscription,
    sequences: &mut Sequences,
    count: usize,
) -> Vec<Arrived> {
    let subjects = Subjects::default();
    let mut arrived = Vec::new();
    let receiving = async {
        while arrived
            .iter()
            .filter(|one| matches!(one, Arrived::Push(..)))
            .count()
            < count
        {
            match heard.recv().await {
                Some(Delivery::Message(message)) => {
                    decode(&subjects, message, sequences, &mut arrived);
                }
                Some(Delivery::Interrupted) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(DEADLINE, receiving)
        .await
        .expect("all arrive");
    arrived
}

async fn pushes_arrive_in_order_once_with_their_place(world: World) {
    let subjects = Subjects::default();
    let mut heard = world.subscribe(&subjects.send_to_wildcard()).await;
    let publisher = Publisher::start(world.a.clone(), &subjects);
    let filtered = Push {
        filter: Filter::Only("tab-1".parse().expect("a client")),
        id: 7,
        report: true,
        flush: true,
        ..to("alice@example.com", 0)
    };
    publisher.push(&filtered).await.expect("pushed");
    for number in 1..5000 {
        publisher.try_push(&to("bob", number)).expect("room");
    }
    publisher.flush().await;
    let arrived = receive(&mut heard, &mut Sequences::new(Millis(0)), 5000).await;
    let mut last = None;
    for (number, one) in (0..).zip(&arrived) {
        let Arrived::Push(
            push,
            Origin::Batch {
                publisher: id,
                seq,
                index,
            },
        ) = one
        else {
            panic!("{one:?}")
        };
        assert_eq!(*id, publisher.id());
        assert!(last < Some((*seq, *index)));
        last = Some((*seq, *index));
        assert_eq!(
            *push,
            if number == 0 {
                filtered.clone()
            } else {
                to("bob", number)
            }
        );
    }
    assert_eq!(arrived.len(), 5000);
    let (batches, _) = last.expect("pushes");
    assert!(batches < 2500, "{batches} batches for 5,000 pushes");
    publisher.close().await;
}

async fn a_plain_push_and_a_batch_of_one_publisher_keep_their_order(world: World) {
    let subjects = Subjects::default();
    let mut heard = world.subscribe(&subjects.send_to_wildcard()).await;
    let publisher = Publisher::start(world.a.clone(), &subjects);
    for number in 0..200 {
        if number % 2 == 0 {
            publisher.push(&to("bob", number)).await.expect("pushed");
        } else {
            let body = format!("[\"a/b\",{number}]");
            let plain = Publish::new(
                subjects.send_to_uid(&Uid::parse("bob").expect("a uid")),
                body,
            );
            world.a.publish(plain).await.expect("published");
        }
    }
    let arrived = receive(&mut heard, &mut Sequences::new(Millis(0)), 200).await;
    for (number, one) in (0..).zip(&arrived) {
        assert!(
            matches!(one, Arrived::Push(push, _) if *push == to("bob", number)),
            "{one:?}"
        );
    }
}

async fn pushing_fails_at_once_during_an_outage_and_goes_on_afterwards(mut world: World) {
    let subjects = Subjects::default();
    let mut heard = world.subscribe(&subjects.send_to_wildcard()).await;
    let mut sequences = Sequences::new(Millis(0));
    let publisher = Publisher::start(world.a.clone(), &subjects);
    publisher.push(&to("bob", 1)).await.expect("pushed");
    receive(&mut heard, &mut sequences, 1).await;
    world.outage().await;
    let refused = tokio::time::timeout(Duration::from_secs(2), publisher.push(&to("bob", 2))).await;
    assert_eq!(refused.expect("at once"), Err(PublishError::BusDown));
    let refused = publisher.try_push(&to("bob", 3));
    assert_eq!(refused, Err(TryPushError::Refused(PublishError::BusDown)));
    world.heal().await;
    world.settle().await;
    publisher.push(&to("bob", 4)).await.expect("pushed");
    let arrived = receive(&mut heard, &mut sequences, 1).await;
    let pushes: Vec<_> = arrived
        .iter()
        .filter(|one| matches!(one, Arrived::Push(push, _) if *push == to("bob", 4)))
        .collect();
    assert_eq!(pushes.len(), 1, "{arrived:?}");
    publisher.close().await;
}
