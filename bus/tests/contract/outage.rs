//! Outages: failing at once, keeping nothing, and telling when interest is confirmed again.

use std::time::{Duration, Instant};

use tengen_bus::{Delivery, PingError, Publish, PublishError, RequestError, Subscribe};

use crate::world::{World, becomes, next, text};

crate::promises! {
    a_confirmed_subscription_misses_nothing_of_its_own_server
    publishing_fails_at_once_during_an_outage_and_nothing_is_kept
    an_interruption_is_told_once_interest_is_confirmed_again
    a_subscription_made_during_an_outage_hears_when_it_counts
    several_outages_are_survived
}

async fn a_confirmed_subscription_misses_nothing_of_its_own_server(world: World) {
    for round in 0..200 {
        let subject = format!("fresh.{round}");
        let mut heard = world
            .a
            .subscribe(&subject, Subscribe::default())
            .await
            .expect("subscribed");
        world
            .a
            .publish(Publish::new(subject, "at once"))
            .await
            .expect("published");
        assert_eq!(text(&mut heard).await, "at once");
    }
}

async fn publishing_fails_at_once_during_an_outage_and_nothing_is_kept(mut world: World) {
    let mut heard = world.subscribe("kept.>").await;
    world.outage().await;
    let begun = Instant::now();
    for _ in 0..10_000 {
        let refused = world.a.publish(Publish::new("kept.no", "")).await;
        assert_eq!(refused, Err(PublishError::BusDown));
    }
    let long = Duration::from_secs(20);
    let refused = world.a.request(Publish::new("kept.no", ""), long).await;
    assert_eq!(refused.expect_err("down"), RequestError::BusDown);
    assert_eq!(world.a.ping(long).await, Err(PingError::BusDown));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(world.a.stats().refused, 10_002);

    world.heal().await;
    world.settle().await;
    world
        .a
        .publish(Publish::new("kept.yes", "new"))
        .await
        .expect("published");
    assert!(matches!(next(&mut heard).await, Delivery::Interrupted));
    assert_eq!(text(&mut heard).await, "new");
}

async fn an_interruption_is_told_once_interest_is_confirmed_again(mut world: World) {
    let mut heard = world.subscribe("told.>").await;
    let mut also = world.subscribe_with("told.*", Subscribe::queue("q")).await;
    world
        .a
        .publish(Publish::new("told.a", "before"))
        .await
        .expect("published");
    assert_eq!(text(&mut heard).await, "before");
    assert_eq!(text(&mut also).await, "before");
    world.outage().await;
    assert_eq!(heard.queued().0, 0, "nothing is told while it lasts");
    world.heal().await;
    for subscription in [&mut heard, &mut also] {
        assert!(matches!(next(subscription).await, Delivery::Interrupted));
    }
    // Confirmed means: what is sent through the own server from now on arrives.
    world
        .b
        .publish(Publish::new("told.a", "after"))
        .await
        .expect("published");
    assert_eq!(text(&mut heard).await, "after");
    assert_eq!(text(&mut also).await, "after");
    assert_eq!(world.b.stats().interruptions, 1);
}

async fn a_subscription_made_during_an_outage_hears_when_it_counts(mut world: World) {
    world.outage().await;
    let begun = Instant::now();
    let mut heard = world
        .b
        .subscribe("early", Subscribe::default())
        .await
        .expect("subscribed");
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "subscribing does not wait for the bus"
    );
    world.heal().await;
    assert!(matches!(next(&mut heard).await, Delivery::Interrupted));
    world
        .b
        .publish(Publish::new("early", "heard"))
        .await
        .expect("published");
    assert_eq!(text(&mut heard).await, "heard");
}

async fn several_outages_are_survived(mut world: World) {
    let mut heard = world.subscribe("again").await;
    for round in 0..3 {
        world.outage().await;
        world.heal().await;
        assert!(matches!(next(&mut heard).await, Delivery::Interrupted));
        world.settle().await;
        world
            .a
            .publish(Publish::new("again", round.to_string()))
            .await
            .expect("published");
        assert_eq!(text(&mut heard).await, round.to_string());
        becomes(&world.a, true).await;
    }
}
