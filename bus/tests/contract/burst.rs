//! A burst of 200,000 unbatched messages of 128 bytes over 1,000 subjects arrives whole.

use std::time::Instant;

use bytes::Bytes;
use tengen_bus::{Delivery, Publish};

use crate::world::{DEADLINE, World};

crate::promises! {
    a_burst_of_200_000_messages_over_1_000_users_arrives_whole
}

const COUNT: u64 = 200_000;
const USERS: u64 = 1_000;

async fn a_burst_of_200_000_messages_over_1_000_users_arrives_whole(world: World) {
    let mut heard = world.subscribe("burst.send-to.>").await;
    let body = |number: u64| {
        let mut body = vec![b'.'; 128];
        body[..8].copy_from_slice(&number.to_le_bytes());
        Bytes::from(body)
    };
    let subject = |number: u64| format!("burst.send-to.uid.user-{}", number % USERS);
    let begun = Instant::now();
    let raw = world.raw().await;
    let bus = world.a.clone();
    let publishing = tokio::spawn(async move {
        for number in 0..COUNT {
            match &raw {
                Some(raw) => raw
                    .publish(subject(number), body(number))
                    .await
                    .expect("published"),
                None => {
                    let message = Publish::new(subject(number), body(number));
                    bus.publish(message).await.expect("published");
                }
            }
        }
        if let Some(raw) = raw {
            raw.flush().await.expect("flushed");
        }
    });
    let receiving = async {
        let (mut next, mut out) = (0, Vec::new());
        while next < COUNT {
            assert!(heard.recv_many(&mut out, 1024).await > 0);
            for delivery in out.drain(..) {
                let Delivery::Message(message) = delivery else {
                    panic!("{delivery:?}")
                };
                assert_eq!(message.body[..8], next.to_le_bytes(), "whole and in order");
                next += 1;
            }
        }
    };
    tokio::time::timeout(DEADLINE, receiving)
        .await
        .expect("all arrive");
    publishing.await.expect("all published");
    assert_eq!(heard.shed() + world.b.stats().slow_client, 0);
    println!(
        "burst: {:.0} messages/s",
        COUNT as f64 / begun.elapsed().as_secs_f64()
    );
}
