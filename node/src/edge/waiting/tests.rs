//! Deadlines in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use tengen_protocol::Millis;

use super::Waiting;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_sweep_wakes_the_due_and_only_them() {
    let waiting = Arc::new(Waiting::default());
    let (early, late) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let first = waiting.track(Millis(1_000), &Waker::from(early.clone()));
    let second = waiting.track(Millis(5_000), &Waker::from(late.clone()));
    let woken = || {
        (
            early.0.load(Ordering::Relaxed),
            late.0.load(Ordering::Relaxed),
        )
    };

    waiting.sweep(Millis(999));
    assert_eq!(woken(), (0, 0));
    waiting.sweep(Millis(1_000));
    assert_eq!(woken(), (1, 0));
    assert!(first.is_due(Millis(1_000)) && !second.is_due(Millis(1_000)));
    waiting.wake_all();
    assert_eq!(woken(), (2, 1));

    drop(first);
    waiting.sweep(Millis(9_000));
    assert_eq!(woken(), (2, 2));
    second.refresh(&Waker::from(early.clone()));
    waiting.sweep(Millis(9_000));
    assert_eq!(woken(), (3, 2), "the newer waker");
    drop(second);
    assert_eq!(waiting.len(), 0);
}
