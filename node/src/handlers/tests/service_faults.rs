//! Services that fail, answer nonsense or are not there, and a bus that goes down.

use std::time::{Duration, Instant};

use tengen_bus::LocalNet;
use tengen_protocol::ErrorCode;

use super::services::{Pair, over_both, text, with};
use super::{PATIENCE, Setup, eventually};

#[tokio::test]
async fn f10b_errors_of_services_are_told_apart_from_timeouts_and_from_each_other() {
    over_both(async |bus| {
        let desk = bus.setup().desk(|_| {});
        let _service = bus
            .serve("tengen.request.test.*", "q", |asked| {
                match asked.subject.rsplit('.').next().unwrap() {
                    "app" => with("Tengen-Error", "1234", "sold out"),
                    "ours" => with("tengen-error", "11", "timeout"),
                    "odd" => with("Tengen-Error", "many", "?"),
                    "garbage" => text("{not json"),
                    "two-values" => text("1 2"),
                    "large" => text(format!("\"{}\"", "x".repeat(600 << 10))),
                    _ => Vec::new(),
                }
            })
            .await;
        let mut tab = desk.tab(Some("alice"));
        for (id, code, message) in [
            ("test/app", ErrorCode(1234), "sold out"),
            (
                "test/ours",
                ErrorCode::HANDLER_FAILED,
                "the service failed: timeout",
            ),
            (
                "test/odd",
                ErrorCode::HANDLER_FAILED,
                "the service failed: ?",
            ),
            (
                "test/garbage",
                ErrorCode::HANDLER_FAILED,
                "the service's answer",
            ),
            (
                "test/two-values",
                ErrorCode::HANDLER_FAILED,
                "the service's answer",
            ),
            ("test/large", ErrorCode::TOO_LARGE, "the service's answer"),
        ] {
            let refusal = tab.ask(id, ()).await.unwrap_err();
            assert_eq!(refusal.code, code, "{id}");
            assert!(refusal.message.starts_with(message), "{refusal}");
        }
        let begun = Instant::now();
        let deadline = Duration::from_secs(2);
        let asked = tab.request("test/silent", (), 2_000);
        // The session goes on while a service is busy.
        let behind = tab.request("test/app", (), 0);
        assert_eq!(tab.answer(behind).await.unwrap_err().code, ErrorCode(1234));
        assert!(begun.elapsed() < deadline);
        assert_eq!(
            tab.answer(asked).await.unwrap_err().code,
            ErrorCode::TIMEOUT
        );
        // Without a deadline of its own it would be 30 s.
        let took = begun.elapsed();
        assert!((deadline..PATIENCE).contains(&took), "{took:?}");
    })
    .await;
}

#[tokio::test]
async fn while_the_bus_is_down_requests_and_events_are_told_so_at_once() {
    let net = LocalNet::new();
    let bus = net.bus();
    let desk = Setup {
        bus: bus.clone(),
        ..Setup::default()
    }
    .desk(|_| {});
    let mut tab = desk.tab(Some("alice"));
    net.take_down(&bus, "test");
    let refusal = tab.ask("test/any", ()).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::BUS_DOWN);
    assert!(refusal.code.retryable(), "nothing was sent");
    tab.send("test/any", ());
    assert_eq!(tab.error().await, (ErrorCode::BUS_DOWN, 2));
    net.bring_up(&bus);
    assert_eq!(
        tab.ask("test/any", ()).await.unwrap_err().code,
        ErrorCode::NO_HANDLER
    );
}

#[tokio::test]
async fn a_bus_that_goes_down_before_the_answer_means_closed_and_not_try_again() {
    let net = LocalNet::new();
    let pair = Pair::of(&net);
    let desk = pair.setup().desk(|_| {});
    let mut asked_for = pair
        .serve("tengen.request.test.slow", "q", |_| Vec::new())
        .await;
    let mut tab = desk.tab(Some("alice"));
    let asked = tab.request("test/slow", (), 0);
    asked_for.recv().await.unwrap();
    net.take_down(&pair.node, "test");
    let refusal = tab.answer(asked).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::CLOSED);
    assert!(!refusal.code.retryable(), "it may have been handled");
}

#[tokio::test]
async fn a_node_without_services_says_no_handler_and_logs_each_event_id_once() {
    let desk = Setup {
        services: false,
        ..Setup::default()
    }
    .desk(|_| {});
    let mut tab = desk.tab(None);
    assert_eq!(
        tab.ask("test/any", ()).await.unwrap_err().code,
        ErrorCode::NO_HANDLER
    );
    tab.send("test/any", ());
    tab.send("test/any", ());
    eventually(|| desk.hub.metrics().handlers.unhandled_events.value() == 2).await;
    assert!(
        tab.rest().is_empty(),
        "an event nobody takes is no error of its sender"
    );

    let unhandled = crate::handlers::unhandled::Unhandled::default();
    let id = |n: u32| tengen_protocol::EventId::parse(&format!("test/{n}")).unwrap();
    assert!(unhandled.note(&id(0)));
    assert!(!unhandled.note(&id(0)));
    let logged = (1..5000).filter(|n| unhandled.note(&id(*n))).count();
    assert_eq!(logged, 1023, "bounded: clients choose the ids");
}
