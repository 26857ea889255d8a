//! One session's items one after another, sessions side by side, and what may overlap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;
use tengen_protocol::ErrorCode;
use tokio::sync::{Semaphore, mpsc};

use super::{PATIENCE, Setup, desk, eventually};
use crate::{Answer, Payload};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f26_a_hundred_events_reach_the_handler_once_each_in_order_one_after_another() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let running = Arc::new(AtomicUsize::new(0));
    let (done, mut all) = mpsc::channel(1);
    let handler = {
        let (log, running) = (log.clone(), running.clone());
        move |Payload(n): Payload<usize>| {
            let (log, running, done) = (log.clone(), running.clone(), done.clone());
            async move {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                tokio::task::yield_now().await;
                log.lock().push(n);
                running.fetch_sub(1, Ordering::SeqCst);
                if n == 99 {
                    done.send(()).await.unwrap();
                }
            }
        }
    };
    let desk = desk(|on| on.on("test/count", handler));
    let tab = desk.tab(Some("alice"));
    for n in 0..100 {
        tab.send("test/count", n);
    }
    tokio::time::timeout(PATIENCE, all.recv()).await.unwrap();
    assert_eq!(*log.lock(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_a_handler_that_blocks_a_second_for_one_client_delays_another_by_less_than_50_ms() {
    let (blocking, mut blocked) = mpsc::unbounded_channel();
    let (release, released) = std::sync::mpsc::channel();
    let released = Mutex::new(released);
    let desk = desk(|on| {
        on.on("test/block", move || {
            blocking.send(()).unwrap();
            // Not even a polite wait: the worker thread itself is held, for a second or until the other
            // has all its answers.
            thread::sleep(Duration::from_secs(1));
            let _ = released.lock().recv_timeout(PATIENCE);
            async { Answer("done") }
        });
        on.on("test/quick", || async { Answer("quick") });
    });
    let (mut slow, mut quick) = (desk.tab(Some("alice")), desk.tab(Some("bob")));
    let asked = slow.request("test/block", (), 0);
    blocked.recv().await.unwrap();
    let mut took = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(quick.ask("test/quick", ()).await.unwrap(), json!("quick"));
        took.push(begun.elapsed());
    }
    release.send(()).unwrap();
    // A handler in the way is in the way of each; a busy machine delays some.
    took.sort();
    assert!(took[10] < Duration::from_millis(50), "{took:?}");
    assert_eq!(
        slow.answer(asked).await.unwrap().to::<String>().unwrap(),
        "done"
    );
}

#[tokio::test]
async fn concurrent_handlers_of_one_session_overlap_and_others_do_not_wait_for_them() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let desk = desk(|on| {
        on.concurrent("slow/one", move |Payload(n): Payload<u32>| {
            let held = held.clone();
            async move {
                held.acquire().await.unwrap().forget();
                Answer(n)
            }
        });
        on.on("quick/one", || async { Answer("quick") });
    });
    let mut tab = desk.tab(Some("alice"));
    let asked: Vec<_> = (0..10).map(|n| tab.request("slow/one", n, 0)).collect();
    assert_eq!(tab.ask("quick/one", ()).await.unwrap(), json!("quick"));
    gate.add_permits(10);
    for (n, asked) in asked.into_iter().enumerate() {
        assert_eq!(tab.answer(asked).await.unwrap().to::<usize>().unwrap(), n);
    }
}

#[tokio::test]
async fn overlap_is_bounded_per_session_and_its_places_come_back() {
    let gate = Arc::new(Semaphore::new(0));
    let running = Arc::new(AtomicUsize::new(0));
    let (held, count) = (gate.clone(), running.clone());
    let desk = desk(|on| {
        on.concurrent("slow/one", move || {
            let (held, count) = (held.clone(), count.clone());
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                held.acquire().await.unwrap().forget();
                Answer(())
            }
        });
        on.on("quick/one", || async { Answer("quick") });
    });
    let (mut tab, mut other) = (desk.tab(Some("alice")), desk.tab(Some("bob")));
    let asked: Vec<_> = (0..100).map(|n| tab.request("slow/one", n, 0)).collect();
    let behind = tab.request("quick/one", (), 0);
    // Another session is served while this one has used up its places: 64, and one in line.
    assert_eq!(other.ask("quick/one", ()).await.unwrap(), json!("quick"));
    eventually(|| running.load(Ordering::SeqCst) == 65).await;
    assert_eq!(tab.rest().len(), 0, "the next waits its turn");
    gate.add_permits(100);
    for asked in asked {
        tab.answer(asked).await.unwrap();
    }
    tab.answer(behind).await.unwrap();
    let port = tab.attachment.port.clone();
    eventually(|| port.concurrent.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waited_past_its_deadline_in_the_inbox_is_not_started_but_answered_timeout()
{
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let desk = Setup::default().desk(|on| {
        on.on("slow/one", move || {
            let held = held.clone();
            async move { held.acquire().await.unwrap().forget() }
        });
        on.on("test/late", || async { Answer("nobody waits for it") });
    });
    let mut tab = desk.tab(Some("alice"));
    tab.send("slow/one", ());
    let asked = tab.request("test/late", (), 30);
    let begun = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_millis(40)).await;
    gate.add_permits(1);
    let refusal = tab.answer(asked).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TIMEOUT);
    assert!(
        begun.elapsed() < Duration::from_millis(50),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn an_inbox_that_was_full_is_read_again_once_its_handlers_return() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let desk = desk(|on| {
        on.on("slow/one", move || {
            let held = held.clone();
            async move { held.acquire().await.unwrap().forget() }
        });
        on.on("quick/one", || async { Answer("quick") });
    });
    let mut tab = desk.tab(Some("alice"));
    for n in 0..300 {
        tab.send("slow/one", n);
    }
    let port = tab.attachment.port.clone();
    assert!(!port.with(|inner| inner.session.may_read()), "256 wait");
    gate.add_permits(300);
    eventually(|| port.with(|inner| inner.session.may_read())).await;
    assert_eq!(tab.ask("quick/one", ()).await.unwrap(), json!("quick"));
}
