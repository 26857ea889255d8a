//! Handlers that fail, panic or hang: contained, counted, told; and the end of all of them.

use std::time::Duration;

use serde_json::json;
use tengen_protocol::ErrorCode;
use tokio::sync::mpsc;

use super::{PATIENCE, Setup, desk};
use crate::{Answer, Payload, Reply};

/// Something whose `Drop` panics, as a guard with a broken invariant would.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

fn boom() {
    panic!("after an await");
}

#[tokio::test]
async fn f15_a_panic_anywhere_in_a_handler_is_an_error_to_its_caller_and_stops_nothing() {
    let desk = desk(|on| {
        on.on("panic/first", || -> std::future::Ready<Answer<()>> {
            panic!("before the first await")
        });
        on.on("panic/later", |_: Reply| async {
            tokio::task::yield_now().await;
            boom();
        });
        on.concurrent("panic/aside", || async {
            tokio::task::yield_now().await;
            boom();
        });
        on.on("test/fine", || async { Answer("fine") });
    });
    let mut tab = desk.tab(Some("alice"));
    for (n, id) in ["panic/first", "panic/later", "panic/aside"]
        .into_iter()
        .enumerate()
    {
        let refusal = tab.ask(id, ()).await.unwrap_err();
        assert_eq!(refusal.code, ErrorCode::HANDLER_FAILED, "{id}");
        tab.send(id, ());
        if id != "panic/later" {
            let position = 3 * n as u64 + 2;
            assert_eq!(
                tab.error().await,
                (ErrorCode::HANDLER_FAILED, position),
                "{id}"
            );
        } else {
            assert_eq!(
                tab.error().await.0,
                ErrorCode::BAD_EVENT,
                "it takes requests only"
            );
        }
        assert_eq!(tab.ask("test/fine", ()).await.unwrap(), json!("fine"));
    }
    assert_eq!(desk.hub.metrics().handlers.panicked.value(), 5);
    assert_eq!(
        tab.attachment
            .port
            .concurrent
            .load(std::sync::atomic::Ordering::SeqCst),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn f15_a_request_that_hangs_is_told_timeout_at_its_deadline_and_the_next_starts() {
    let desk = desk(|on| {
        on.on(
            "test/hang",
            |Payload(with_bomb): Payload<bool>| async move {
                let _bomb = with_bomb.then(|| Bomb);
                std::future::pending::<Answer<()>>().await
            },
        );
        on.on("test/fine", || async { Answer("fine") });
    });
    let mut tab = desk.tab(Some("alice"));
    for with_bomb in [false, true] {
        let begun = tokio::time::Instant::now();
        let asked = tab.request("test/hang", with_bomb, 100);
        let behind = tab.request("test/fine", (), 0);
        assert_eq!(
            tab.answer(asked).await.unwrap_err().code,
            ErrorCode::TIMEOUT
        );
        let took = begun.elapsed();
        assert!(
            (Duration::from_millis(99)..Duration::from_millis(110)).contains(&took),
            "{took:?}"
        );
        tab.answer(behind).await.unwrap();
    }
    assert_eq!(desk.hub.metrics().handlers.timed_out.value(), 2);
}

#[tokio::test]
async fn f15_an_event_that_hangs_ends_at_the_handler_timeout_and_its_sender_is_told() {
    let setup = Setup {
        handler_timeout: Duration::from_millis(80),
        ..Setup::default()
    };
    let desk = setup.desk(|on| {
        on.on("test/hang", std::future::pending::<()>);
        on.on("test/fine", || async { Answer("fine") });
    });
    let mut tab = desk.tab(Some("alice"));
    tab.send("test/hang", ());
    let behind = tab.request("test/fine", (), 0);
    assert_eq!(tab.error().await, (ErrorCode::TIMEOUT, 1));
    tab.answer(behind).await.unwrap();
    assert_eq!(desk.hub.metrics().handlers.timed_out.value(), 1);
}

#[tokio::test]
async fn f21_every_deadline_on_the_wire_is_defined() {
    let desk = desk(|on| on.on("test/hang", std::future::pending::<Answer<()>>));
    let mut tab = desk.tab(Some("alice"));
    // 0 = the node's default of 30 s; more than a day counts as a day: neither ends at once.
    for timeout_ms in [0, 1_000_000_000_000, u64::MAX] {
        let asked = tab.request("test/hang", (), timeout_ms);
        let early = tokio::time::timeout(Duration::from_millis(30), tab.answer(asked)).await;
        assert!(early.is_err(), "{timeout_ms}");
        let session = tab.attachment.port.clone();
        assert!(session.with(|inner| inner.session.is_outstanding(asked)));
        tab = desk.tab(Some("alice"));
    }
    let asked = tab.request("test/hang", (), 1);
    assert_eq!(
        tab.answer(asked).await.unwrap_err().code,
        ErrorCode::TIMEOUT
    );
}

#[tokio::test]
async fn f95_shutdown_ends_every_task_and_tells_its_callers_closed() {
    let (keep, mut kept) = mpsc::unbounded_channel();
    let desk = desk(|on| {
        on.on("test/hang", std::future::pending::<Answer<()>>);
        on.concurrent("test/aside", std::future::pending::<Answer<()>>);
        on.on("test/later", move |reply: Reply| {
            keep.send(reply).unwrap();
            async {}
        });
    });
    let (mut one, mut two) = (desk.tab(Some("alice")), desk.tab(Some("bob")));
    let aside = one.request("test/aside", (), 0);
    one.request("test/later", (), 0);
    let reply = kept.recv().await.unwrap();
    let hanging = one.request("test/hang", (), 0);
    let other = two.request("test/hang", (), 0);
    super::eventually(|| desk.hub.metrics().handlers.items.value() == 4).await;
    desk.shutdown.cancel();
    desk.tracker.close();
    tokio::time::timeout(PATIENCE, desk.tracker.wait())
        .await
        .unwrap();
    assert_eq!(one.answer(aside).await.unwrap_err().code, ErrorCode::CLOSED);
    assert_eq!(
        one.answer(hanging).await.unwrap_err().code,
        ErrorCode::CLOSED
    );
    assert_eq!(two.answer(other).await.unwrap_err().code, ErrorCode::CLOSED);
    // A Reply that the app still holds is the app's: it may be used until the session ends.
    reply.answer("still").unwrap();
    two.request("test/hang", (), 0);
    assert_eq!(desk.tracker.len(), 0, "nothing starts after the end");
}

#[tokio::test]
async fn a_session_that_ends_while_its_handler_runs_takes_no_answer_and_harms_nobody() {
    let (keep, mut kept) = mpsc::unbounded_channel();
    let desk = desk(|on| {
        on.on("test/later", move |reply: Reply| {
            keep.send(reply).unwrap();
            async {}
        });
    });
    let mut tab = desk.tab(Some("alice"));
    tab.request("test/later", (), 0);
    let reply = kept.recv().await.unwrap();
    let port = tab.attachment.port.clone();
    desk.hub
        .end_now(&port, tengen_protocol::CloseCode::KICKED, "bye");
    assert_eq!(
        reply.answer("nobody hears it"),
        Err(crate::Unanswered::TooLate)
    );
}
