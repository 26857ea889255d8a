//! Who gets what: wildcards, queue groups, and the end of interest.

use std::time::Duration;

use tengen_bus::{Delivery, Publish, RequestError, Subscribe};

use crate::world::{World, message, text, until};

crate::promises! {
    star_is_one_token_and_greater_is_the_rest
    a_message_comes_once_through_each_matching_subscription
    headers_and_reply_subject_arrive_as_sent
    a_queue_group_gets_each_message_once_and_shares_them
    dropping_a_subscription_takes_the_interest_back
    draining_hands_out_what_arrived_and_ends
}

async fn star_is_one_token_and_greater_is_the_rest(world: World) {
    let mut star = world.subscribe("w.*.c").await;
    let mut rest = world.subscribe("w.>").await;
    for subject in [
        "w.b.c",
        "w.b",
        "w",
        "w.b.c.d",
        "w.b.x",
        "x.b.c",
        "w.other.c",
    ] {
        world
            .a
            .publish(Publish::new(subject, subject))
            .await
            .expect("published");
    }
    world
        .a
        .publish(Publish::new("w.end.c", "end"))
        .await
        .expect("published");
    for expected in ["w.b.c", "w.other.c", "end"] {
        assert_eq!(text(&mut star).await, expected);
    }
    for expected in ["w.b.c", "w.b", "w.b.c.d", "w.b.x", "w.other.c", "end"] {
        assert_eq!(text(&mut rest).await, expected);
    }
}

async fn a_message_comes_once_through_each_matching_subscription(world: World) {
    let mut exact = world.subscribe("once.a").await;
    let mut twin = world.subscribe("once.a").await;
    let mut own = world
        .a
        .subscribe("once.*", Subscribe::default())
        .await
        .expect("subscribed");
    for body in ["1", "2"] {
        world
            .a
            .publish(Publish::new("once.a", body))
            .await
            .expect("published");
    }
    for body in ["1", "2"] {
        assert_eq!(text(&mut exact).await, body);
        assert_eq!(text(&mut twin).await, body);
        assert_eq!(
            text(&mut own).await,
            body,
            "what one publishes comes back to oneself"
        );
    }
    world
        .a
        .ping(Duration::from_secs(5))
        .await
        .expect("a round trip");
    assert_eq!(own.queued().0, 0, "nothing comes twice");
}

async fn headers_and_reply_subject_arrive_as_sent(world: World) {
    let mut heard = world.subscribe("with.headers").await;
    let sent = Publish::new("with.headers", &b"\x00\xffbody"[..])
        .reply("where.to")
        .header("Nats-Msg-Id", "7f0c")
        .header("Tengen-Only", "tab 1");
    world.a.publish(sent).await.expect("published");
    let arrived = message(&mut heard).await;
    assert_eq!(arrived.subject.as_str(), "with.headers");
    assert_eq!(arrived.reply.as_deref(), Some("where.to"));
    assert_eq!(arrived.headers.first("nats-msg-id"), Some("7f0c"));
    assert_eq!(arrived.headers.first("TENGEN-ONLY"), Some("tab 1"));
    assert_eq!(arrived.headers.first("Tengen-Except"), None);
    assert_eq!(arrived.body.as_ref(), b"\x00\xffbody");
}

async fn a_queue_group_gets_each_message_once_and_shares_them(world: World) {
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(
            world
                .subscribe_with("work.>", Subscribe::queue("workers"))
                .await,
        );
    }
    let other_group = world
        .subscribe_with("work.*", Subscribe::queue("others"))
        .await;
    let everything = world.subscribe("work.>").await;
    for number in 0..300 {
        let message = Publish::new(format!("work.{}", number % 7), "");
        world.a.publish(message).await.expect("published");
    }
    until("each group and each plain subscriber gets all", || {
        let shared: usize = members.iter().map(|member| member.queued().0).sum();
        [shared, other_group.queued().0, everything.queued().0] == [300; 3]
    })
    .await;
    assert!(
        members.iter().all(|member| member.queued().0 > 30),
        "all members work: {members:?}"
    );
}

async fn dropping_a_subscription_takes_the_interest_back(world: World) {
    let first = world.subscribe("gone").await;
    let second = world.subscribe("gone").await;
    drop(first);
    let ask = || {
        world
            .a
            .request(Publish::new("gone", ""), Duration::from_millis(200))
    };
    assert_eq!(
        ask().await.expect_err("nobody answers"),
        RequestError::Timeout
    );
    drop(second);
    let gone =
        async { while ask().await.expect_err("nobody answers") != RequestError::NoResponders {} };
    tokio::time::timeout(crate::world::DEADLINE, gone)
        .await
        .expect("the interest ends");
}

async fn draining_hands_out_what_arrived_and_ends(world: World) {
    let mut heard = world.subscribe("drained").await;
    let mut echo = world.subscribe("from.b").await;
    for _ in 0..100 {
        world
            .a
            .publish(Publish::new("drained", ""))
            .await
            .expect("published");
    }
    until("all arrive", || heard.queued().0 == 100).await;
    world
        .b
        .publish(Publish::new("from.b", "last words"))
        .await
        .expect("published");
    world.b.drain().await;
    let mut out = Vec::new();
    while heard.recv_many(&mut out, 64).await > 0 {}
    assert_eq!(out.len(), 100);
    assert!(
        out.iter()
            .all(|delivery| matches!(delivery, Delivery::Message(_)))
    );
    assert!(matches!(echo.recv().await, Some(Delivery::Message(_))));
    assert!(echo.recv().await.is_none());
    assert!(!world.b.health().borrow().is_up());
    assert!(world.b.publish(Publish::new("late", "")).await.is_err());
    assert!(
        world
            .b
            .subscribe("late", Subscribe::default())
            .await
            .is_err()
    );
}
