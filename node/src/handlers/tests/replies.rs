//! Answers: equal, once, later, never, wrong, and not to be confused with each other.

use std::time::Duration;

use serde_json::{Value, json};
use tengen_protocol::{Codec, Data, ErrorCode};
use tokio::sync::mpsc;

use super::{desk, plain_request};
use crate::identity::Identified;
use crate::{Answer, AppError, Event, Payload, Reply, Unanswered};

#[tokio::test]
async fn f05_request_gets_an_equal_value_exactly_once() {
    let desk = desk(|on| {
        on.on("test/typed", |Payload(value): Payload<Value>| async {
            Answer(value)
        });
        on.on("test/raw", |value: Data| async { value });
        on.on("test/handle", |reply: Reply, value: Data| async move {
            reply.answer_data(&value).unwrap()
        });
    });
    for codec in Codec::ALL {
        let mut tab = desk.tab_with(None, codec, plain_request(), &Identified::default(), None);
        for value in [
            json!(null),
            json!(false),
            json!(0),
            json!(u64::MAX),
            json!(-1.5),
            json!("Zoë 🦀"),
            json!([[], {}, [null]]),
            json!({"a": {"b": [1, "2", 3.5]}, "": null}),
        ] {
            for id in ["test/typed", "test/raw", "test/handle"] {
                assert_eq!(tab.ask(id, &value).await.unwrap(), value, "{id} {codec:?}");
            }
        }
        assert!(tab.rest().is_empty(), "nothing but one answer each");
    }
}

#[tokio::test]
async fn f20_null_and_false_are_answers_like_all_others() {
    let desk = desk(|on| {
        on.on("test/null", || async { Answer(None::<u8>) });
        on.on("test/false", || async { Answer(false) });
    });
    assert_eq!(desk.ask("test/null", ()).await.unwrap(), Value::Null);
    assert_eq!(desk.ask("test/false", ()).await.unwrap(), json!(false));
}

#[tokio::test]
async fn f10b_a_reply_may_be_used_later_from_another_task_while_the_next_item_runs() {
    let (keep, mut kept) = mpsc::unbounded_channel();
    let desk = desk(|on| {
        on.on("test/later", move |reply: Reply| {
            keep.send(reply).unwrap();
            async {}
        });
        on.on("test/now", || async { Answer("now") });
    });
    let mut tab = desk.tab(Some("alice"));
    let asked = tab.request("test/later", (), 0);
    assert_eq!(tab.ask("test/now", ()).await.unwrap(), json!("now"));
    let reply = kept.recv().await.unwrap();
    tokio::spawn(async move { reply.answer(&json!({"later": true})) })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        tab.answer(asked).await.unwrap().to::<Value>().unwrap(),
        json!({"later": true})
    );
}

#[tokio::test]
async fn f10b_a_reply_dropped_unused_or_never_given_is_an_error_at_once() {
    let desk = desk(|on| {
        on.on("test/dropped", |_: Reply| async {});
        on.on("test/in-a-task", |reply: Reply| async {
            tokio::spawn(async move { drop(reply) });
        });
        on.on("test/silent", || async {});
    });
    for id in ["test/dropped", "test/in-a-task", "test/silent"] {
        let refusal = desk.ask(id, ()).await.unwrap_err();
        assert_eq!(refusal.code, ErrorCode::HANDLER_FAILED, "{id}");
    }
}

#[tokio::test]
async fn f10b_an_application_error_is_no_other_error_and_no_value() {
    let desk = desk(|on| {
        on.on(
            "test/returned",
            |Payload(refuse): Payload<bool>| async move {
                if refuse {
                    return Err(AppError::new(1404, "no such order"));
                }
                Ok(Answer(json!({"code": 1404, "message": "no such order"})))
            },
        );
        on.on("test/handle", |reply: Reply| async {
            reply.error(AppError::new(1000, "")).unwrap();
        });
        on.on("test/ours", |_: Event| async {
            Err::<Answer<()>, _>(AppError::new(11, "timeout"))
        });
    });
    let mut tab = desk.tab(Some("alice"));
    let refusal = tab.ask("test/returned", true).await.unwrap_err();
    assert_eq!(
        (refusal.code, refusal.message.as_str()),
        (ErrorCode(1404), "no such order")
    );
    assert!(refusal.code.is_application());
    let value = tab.ask("test/returned", false).await.unwrap();
    assert_eq!(value, json!({"code": 1404, "message": "no such order"}));
    assert_eq!(
        tab.ask("test/handle", ()).await.unwrap_err().code,
        ErrorCode(1000)
    );
    // A handler cannot pretend to be a timeout: that number is not the application's.
    let refusal = tab.ask("test/ours", ()).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::HANDLER_FAILED);
    // For an event there is nobody to answer; its sender is told all the same.
    tab.send("test/returned", true);
    assert_eq!(tab.error().await, (ErrorCode(1404), 5));
}

#[tokio::test(start_paused = true)]
async fn f17_a_reply_kept_past_the_deadline_tells_timeout_and_is_ignored_afterwards() {
    let (keep, mut kept) = mpsc::unbounded_channel();
    let desk = desk(|on| {
        on.on("test/later", move |reply: Reply| {
            keep.send(reply).unwrap();
            async {}
        });
    });
    let mut tab = desk.tab(Some("alice"));
    let asked = tab.request("test/later", (), 100);
    let reply = kept.recv().await.unwrap();
    let begun = tokio::time::Instant::now();
    let refusal = tab.answer(asked).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TIMEOUT);
    assert!(
        begun.elapsed() < Duration::from_millis(110),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(reply.answer("too late"), Err(Unanswered::TooLate));
    assert!(tab.rest().is_empty());
}

#[tokio::test]
async fn a_value_without_an_encoding_is_an_error_to_the_caller_and_to_the_handler() {
    struct Broken;
    impl serde::Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("on purpose"))
        }
    }
    let desk = desk(|on| {
        on.on("test/returned", || async { Answer(Broken) });
        on.on("test/handle", |reply: Reply| async {
            assert_eq!(reply.answer(&Broken), Err(Unanswered::NoEncoding));
        });
    });
    for id in ["test/returned", "test/handle"] {
        let refusal = desk.ask(id, ()).await.unwrap_err();
        assert_eq!(refusal.code, ErrorCode::HANDLER_FAILED, "{id}");
        assert!(refusal.message.contains("on purpose"), "{refusal}");
    }
}

#[tokio::test]
async fn f88_an_answer_of_max_bytes_passes_and_a_larger_one_is_a_clear_error() {
    let desk = desk(|on| {
        on.on("test/much", |Payload(bytes): Payload<usize>| async move {
            Answer("x".repeat(bytes))
        });
    });
    let mut tab = desk.tab(Some("alice"));
    let fits = 500 << 10;
    assert_eq!(
        tab.ask("test/much", fits)
            .await
            .unwrap()
            .as_str()
            .unwrap()
            .len(),
        fits
    );
    let refusal = tab.ask("test/much", 512 << 10).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TOO_LARGE);
    assert_eq!(
        tab.ask("test/much", 1).await.unwrap(),
        json!("x"),
        "the session goes on"
    );
}
