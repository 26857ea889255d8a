//! Order: each publisher's messages arrive as it published them, through one wildcard subscription.

use tengen_bus::Publish;

use crate::world::{World, message};

crate::promises! {
    one_publisher_s_order_holds_across_subjects
    two_publishers_each_keep_their_order
}

const COUNT: u32 = 20_000;

async fn one_publisher_s_order_holds_across_subjects(world: World) {
    let mut heard = world.subscribe("order.>").await;
    let publisher = world.a.clone();
    let publishing = tokio::spawn(async move {
        for number in 0..COUNT {
            let subject = format!("order.{}", number % 50);
            let message = Publish::new(subject, number.to_le_bytes().to_vec());
            publisher.publish(message).await.expect("published");
        }
    });
    for number in 0..COUNT {
        assert_eq!(
            message(&mut heard).await.body.as_ref(),
            number.to_le_bytes()
        );
    }
    publishing.await.expect("published");
}

async fn two_publishers_each_keep_their_order(world: World) {
    let mut heard = world.subscribe("order.>").await;
    for (name, bus) in [("a", world.a.clone()), ("b", world.b.clone())] {
        tokio::spawn(async move {
            for number in 0..COUNT / 2 {
                let message = Publish::new(format!("order.{name}"), number.to_le_bytes().to_vec());
                bus.publish(message).await.expect("published");
            }
        });
    }
    let mut next = [0_u32; 2];
    for _ in 0..COUNT {
        let message = message(&mut heard).await;
        let of = &mut next[usize::from(message.subject.ends_with('b'))];
        assert_eq!(message.body.as_ref(), of.to_le_bytes());
        *of += 1;
    }
    assert_eq!(next, [COUNT / 2; 2]);
}
