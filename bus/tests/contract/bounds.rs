//! Bounds: what is too large or malformed is refused, what is too much is shed and counted.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use tengen_bus::{Delivery, Publish, PublishError, RequestError, Subscribe, SubscribeError};

use crate::world::{World, message, text, until};

crate::promises! {
    overload_is_shed_within_the_bound_and_counted_by_subject
    an_overloaded_subscription_harms_no_other
    the_largest_payload_passes_and_one_byte_more_is_refused
    the_longest_subject_passes_and_one_byte_more_is_refused
    malformed_subjects_and_headers_are_refused_and_harm_nobody
}

async fn overload_is_shed_within_the_bound_and_counted_by_subject(world: World) {
    const MAX: usize = 64 << 10;
    let options = Subscribe::default().max_queue_bytes(MAX);
    let mut slow = world.subscribe_with("load.*", options).await;
    let received = world.b.stats().received;
    for number in 0..3000_u32 {
        let body = format!("{number:0128}");
        let message = Publish::new(format!("load.{}", number % 10), body);
        world.a.publish(message).await.expect("published");
    }
    until("all arrive", || world.b.stats().received - received == 3000).await;
    // The markers take a little too: at most 256 subjects each, here ten.
    let (_, bytes) = slow.queued();
    assert!(bytes <= MAX + 4096, "{bytes} bytes in line");
    let shed_in_total = slow.shed();
    assert_eq!(world.b.stats().shed, shed_in_total);

    world
        .a
        .publish(Publish::new("load.end", ""))
        .await
        .expect("published");
    let (mut got, mut shed, mut highest) = (HashMap::new(), 0, HashMap::new());
    loop {
        match crate::world::next(&mut slow).await {
            Delivery::Message(message) if message.subject.as_str() == "load.end" => break,
            Delivery::Message(message) => {
                let number: u32 = std::str::from_utf8(&message.body)
                    .expect("text")
                    .parse()
                    .expect("a number");
                let before = highest.insert(message.subject.clone(), number);
                assert!(before.is_none_or(|before| before < number), "in order");
                *got.entry(message.subject).or_insert(0) += 1;
            }
            Delivery::Shed(lost) => {
                assert_eq!(lost.others, 0);
                assert_eq!(lost.subjects.values().sum::<u64>(), lost.messages);
                shed += lost.messages;
                for (subject, count) in lost.subjects {
                    *got.entry(subject).or_insert(0) += count;
                }
                // Whoever is behind the hole may be the end itself; it is published again.
                world
                    .a
                    .publish(Publish::new("load.end", ""))
                    .await
                    .expect("published");
            }
            Delivery::Interrupted => panic!("nothing was interrupted"),
        }
    }
    got.remove(&"load.end".into());
    assert!(shed > 0);
    assert_eq!(got.len(), 10);
    assert!(
        got.values().all(|count| *count == 300),
        "each subject's messages came or were counted: {got:?}"
    );
}

async fn an_overloaded_subscription_harms_no_other(world: World) {
    let slow = world
        .subscribe_with("many.>", Subscribe::default().max_queue_bytes(1000))
        .await;
    let mut quick = world.subscribe("many.>").await;
    for number in 0..5000_u32 {
        world
            .a
            .publish(Publish::new("many.a", number.to_string()))
            .await
            .expect("published");
    }
    for number in 0..5000_u32 {
        assert_eq!(text(&mut quick).await, number.to_string());
    }
    until("the slow one sheds", || slow.shed() > 4900).await;
}

async fn the_largest_payload_passes_and_one_byte_more_is_refused(world: World) {
    let mut heard = world.subscribe("large").await;
    let max = world.a.max_payload();
    let body = Bytes::from(vec![7; max]);
    world
        .a
        .publish(Publish::new("large", body.clone()))
        .await
        .expect("published");
    assert_eq!(message(&mut heard).await.body.len(), max);

    let more = Bytes::from(vec![7; max + 1]);
    let too_large = PublishError::TooLarge {
        bytes: max + 1,
        max,
    };
    let refused = world.a.publish(Publish::new("large", more.clone())).await;
    assert_eq!(refused.expect_err("too large"), too_large);
    let refused = world
        .a
        .request(Publish::new("large", more), Duration::from_secs(9))
        .await;
    assert!(matches!(refused, Err(RequestError::TooLarge { .. })));
    // A header counts too: forgotten, the server would cut the connection.
    let refused = world
        .a
        .publish(Publish::new("large", body).header("A", "b"))
        .await;
    assert!(matches!(refused, Err(PublishError::TooLarge { .. })));
    let many = Publish::new("large", "").header("A", "b".repeat(40_000));
    assert!(matches!(
        world.a.publish(many).await,
        Err(PublishError::TooLarge { .. })
    ));

    world
        .a
        .publish(Publish::new("large", "still there"))
        .await
        .expect("published");
    assert_eq!(text(&mut heard).await, "still there");
    assert_eq!(world.a.stats().interruptions, 0);
}

async fn the_longest_subject_passes_and_one_byte_more_is_refused(world: World) {
    let longest = format!("long.{}", "x".repeat(2043));
    assert_eq!(longest.len(), 2048);
    let mut heard = world.subscribe("long.*").await;
    let reply = format!("r.{}", "y".repeat(510));
    let message = Publish::new(longest.as_str(), "1").reply(reply.as_str());
    world.a.publish(message.clone()).await.expect("published");
    assert_eq!(
        crate::world::message(&mut heard).await.reply.as_deref(),
        Some(reply.as_str())
    );
    let mut exact = world.subscribe(&longest).await;
    world
        .a
        .publish(Publish::new(longest.as_str(), "2"))
        .await
        .expect("published");
    assert_eq!(text(&mut exact).await, "2");

    let longer = Publish::new(format!("{longest}x"), "");
    assert_eq!(
        world.a.publish(longer).await,
        Err(PublishError::BadSubject("too long"))
    );
    let longer = message.reply(format!("{reply}y"));
    assert_eq!(
        world.a.publish(longer).await,
        Err(PublishError::BadSubject("too long"))
    );
    let longer = world
        .b
        .subscribe(&format!("{longest}x"), Subscribe::default())
        .await;
    assert_eq!(
        longer.expect_err("too long"),
        SubscribeError::BadPattern("too long")
    );
    assert!(world.a.ping(Duration::from_secs(9)).await.is_ok());
    assert_eq!(
        world.a.stats().interruptions + world.b.stats().interruptions,
        0
    );
}

async fn malformed_subjects_and_headers_are_refused_and_harm_nobody(world: World) {
    let mut heard = world.subscribe("fine").await;
    for subject in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a\tb",
        "a\r\nPUB x 0",
        "a\u{0}",
        "*",
        "a.*",
        "a.>",
        "a\u{7f}",
        "a\u{85}b",
    ] {
        let refused = world.a.publish(Publish::new(subject, "")).await;
        assert!(
            matches!(refused, Err(PublishError::BadSubject(_))),
            "{subject:?} {refused:?}"
        );
        let refused = world
            .a
            .publish(Publish::new("fine", "").reply(subject))
            .await;
        assert!(
            matches!(refused, Err(PublishError::BadSubject(_))),
            "{subject:?} {refused:?}"
        );
        let refused = world
            .a
            .request(Publish::new(subject, ""), Duration::from_secs(9))
            .await;
        assert!(
            matches!(refused, Err(RequestError::BadSubject(_))),
            "{subject:?} {refused:?}"
        );
    }
    for pattern in ["", "a..b", "a b", "a.>.b", "a\r\nSUB > 9"] {
        let refused = world.b.subscribe(pattern, Subscribe::default()).await;
        assert!(
            matches!(refused, Err(SubscribeError::BadPattern(_))),
            "{pattern:?}"
        );
        let refused = world.b.subscribe("fine", Subscribe::queue(pattern)).await;
        assert!(pattern == "a.>.b" || matches!(refused, Err(SubscribeError::BadPattern(_))));
    }
    for (name, value) in [
        ("A", "x\r\nNats-Msg-Id: 1"),
        ("A", "x\r"),
        ("A", "\n"),
        ("A", "\u{0}"),
        ("A", "Zoë"),
        ("A", " x"),
        ("A", "x "),
        ("", "x"),
        ("A:", "x"),
        ("A B", "x"),
        ("A\r\nB", "x"),
        ("Ä", "x"),
    ] {
        let refused = world
            .a
            .publish(Publish::new("fine", "").header(name, value))
            .await;
        assert!(
            matches!(refused, Err(PublishError::BadHeader(_))),
            "{name:?}: {value:?}"
        );
    }
    world
        .a
        .publish(Publish::new("fine", "yes").header("A", "x y"))
        .await
        .expect("published");
    assert_eq!(text(&mut heard).await, "yes");
    assert_eq!(world.a.stats().interruptions, 0);
}
