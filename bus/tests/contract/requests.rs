//! Requests and their answers, or the lack of them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tengen_bus::{Publish, RequestError, Service, ServiceError, Subscribe};
use tengen_protocol::ErrorCode;

use crate::world::{World, message, until};

crate::promises! {
    a_request_gets_the_answer_of_a_service
    a_service_s_error_arrives_with_its_code
    no_responders_is_known_at_once
    silence_is_a_timeout
    a_second_answer_is_ignored_and_counted
    many_requests_at_once_get_their_own_answers
    a_request_in_flight_ends_when_the_bus_goes_down
    a_ping_is_a_round_trip
}

const LONG: Duration = Duration::from_secs(20);

async fn a_request_gets_the_answer_of_a_service(world: World) {
    let service = Service::start(&world.b, "echo.*", "echo", 4, |message| async move {
        assert!(message.reply.is_some());
        Ok(message.body)
    });
    let service = service.await.expect("a service");
    world.settle().await;
    let answer = world
        .a
        .request(Publish::new("echo.a", "[1]"), LONG)
        .await
        .expect("an answer");
    assert_eq!(answer.body.as_ref(), b"[1]");
    assert!(answer.headers.is_empty());
    service.stop().await;
}

async fn a_service_s_error_arrives_with_its_code(world: World) {
    let service = Service::start(&world.b, "fails", "echo", 1, |_| async {
        Err(ServiceError {
            code: ErrorCode(1007),
            message: "not today".to_owned(),
        })
    });
    let _service = service.await.expect("a service");
    world.settle().await;
    let answer = world
        .a
        .request(Publish::new("fails", ""), LONG)
        .await
        .expect("an answer");
    assert_eq!(answer.headers.first("Tengen-Error"), Some("1007"));
    assert_eq!(answer.body.as_ref(), b"not today");
}

async fn no_responders_is_known_at_once(world: World) {
    let begun = Instant::now();
    let error = world
        .a
        .request(Publish::new("nobody.there", ""), LONG)
        .await;
    assert_eq!(error.expect_err("nobody"), RequestError::NoResponders);
    assert!(begun.elapsed() < LONG / 10, "{:?}", begun.elapsed());
}

async fn silence_is_a_timeout(world: World) {
    let heard = world.subscribe("silent").await;
    let short = Duration::from_millis(50);
    let error = world.a.request(Publish::new("silent", ""), short).await;
    assert_eq!(error.expect_err("silence"), RequestError::Timeout);
    assert_eq!(heard.queued().0, 1);
}

async fn a_second_answer_is_ignored_and_counted(world: World) {
    let mut asked = world.subscribe_with("twice", Subscribe::queue("one")).await;
    let mut also = world.subscribe_with("twice", Subscribe::queue("two")).await;
    let pending = world
        .a
        .start_request(Publish::new("twice", ""))
        .await
        .expect("asked");
    for (subscription, body) in [(&mut asked, "first"), (&mut also, "second")] {
        let reply = message(subscription)
            .await
            .reply
            .expect("an answer is wanted");
        world
            .b
            .publish(Publish::new(reply, body))
            .await
            .expect("answered");
    }
    assert_eq!(
        pending.answer(LONG).await.expect("an answer").body.as_ref(),
        b"first"
    );
    until("the second one is counted", || {
        world.a.stats().ignored_replies == 1
    })
    .await;
}

async fn many_requests_at_once_get_their_own_answers(world: World) {
    let service = Service::start(&world.b, "own", "own", 64, |message| async {
        Ok(message.body)
    });
    let _service = service.await.expect("a service");
    world.settle().await;
    let asking = (0..500_u32).map(|number| {
        let bus = world.a.clone();
        tokio::spawn(async move {
            let body = Bytes::from(number.to_string());
            let answer = bus.request(Publish::new("own", body.clone()), LONG).await;
            assert_eq!(answer.expect("an answer").body, body);
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.expect("its own answer");
    }
}

async fn a_request_in_flight_ends_when_the_bus_goes_down(mut world: World) {
    let mut silent = world.subscribe("in.flight").await;
    let pending = world
        .a
        .start_request(Publish::new("in.flight", ""))
        .await
        .expect("asked");
    message(&mut silent).await;
    let (answer, ()) = tokio::join!(pending.answer(LONG), world.outage());
    assert_eq!(answer.expect_err("the bus is gone"), RequestError::BusDown);
}

async fn a_ping_is_a_round_trip(world: World) {
    let took = world.a.ping(LONG).await.expect("a round trip");
    assert!(took < LONG);
    assert_eq!(world.b.stats().received, 0, "it goes to oneself alone");
}
