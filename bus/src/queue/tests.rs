//! The bound, the markers and the wake-ups of a subscription's queue.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use proptest::prelude::*;

use super::{Delivery, MARKER_COST, MAX_SHED_SUBJECTS, Queue, Shed};
use crate::Message;

fn queue(max_bytes: usize) -> Queue {
    Queue::new(max_bytes, Arc::default())
}

fn message(subject: &str, body: usize) -> Message {
    Message {
        subject: subject.into(),
        reply: None,
        headers: Default::default(),
        body: vec![0; body].into(),
    }
}

fn take(queue: &Queue, max: usize) -> Vec<Delivery> {
    let mut out = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let _ = queue.poll_recv_many(&mut cx, &mut out, max);
    out
}

fn shed(delivery: &Delivery) -> &Shed {
    match delivery {
        Delivery::Shed(shed) => shed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_does_not_fit_is_counted_at_its_place_until_a_quarter_is_free() {
    let cost = message("a", 100).cost();
    let queue = queue(8 * cost);
    for _ in 0..12 {
        queue.push(message("a", 100));
    }
    queue.push(message("b", 100));
    assert_eq!(queue.shed(), 5);
    // One place free is not yet enough: the next one is shed as well.
    assert_eq!(take(&queue, 1).len(), 1);
    queue.push(message("a", 100));
    assert_eq!(queue.shed(), 6);
    assert_eq!(take(&queue, 3).len(), 3);
    queue.push(message("c", 100));
    let rest = take(&queue, 99);
    assert_eq!(rest.len(), 6);
    let marker = shed(&rest[4]);
    assert_eq!(
        (marker.messages, marker.bytes, marker.others),
        (6, 6 * cost as u64, 0)
    );
    assert_eq!(
        (marker.subjects[&"a".into()], marker.subjects[&"b".into()]),
        (5, 1)
    );
    assert!(matches!(&rest[5], Delivery::Message(message) if message.subject.as_str() == "c"));
    assert_eq!(queue.fill(), (0, 0));
}

#[test]
fn a_message_larger_than_the_bound_passes_an_empty_queue_alone() {
    let queue = queue(100);
    queue.push(message("a", 1000));
    queue.push(message("a", 1));
    let out = take(&queue, 9);
    assert!(matches!(out[0], Delivery::Message(_)));
    assert_eq!(shed(&out[1]).messages, 1);
    queue.push(message("a", 1000));
    assert_eq!(take(&queue, 9).len(), 1);
}

#[test]
fn a_marker_names_a_bounded_number_of_subjects() {
    let queue = queue(1);
    queue.push(message("first", 0));
    for number in 0..10_000 {
        queue.push(message(&format!("user.{number}"), 0));
    }
    let (_, bytes) = queue.fill();
    assert!(bytes < 80 << 10, "{bytes}");
    let out = take(&queue, 9);
    let marker = shed(&out[1]);
    assert_eq!(marker.subjects.len(), MAX_SHED_SUBJECTS);
    assert_eq!(marker.others, 10_000 - MAX_SHED_SUBJECTS as u64);
    assert_eq!(marker.messages, 10_000);
}

#[test]
fn interruptions_in_a_row_are_one() {
    let queue = queue(1000);
    queue.interrupted();
    queue.interrupted();
    queue.push(message("a", 0));
    queue.interrupted();
    assert_eq!(queue.fill().0, 3);
    assert_eq!(take(&queue, 9).len(), 3);
}

#[test]
fn a_closed_queue_hands_out_the_rest_and_ends() {
    let queue = queue(1000);
    queue.push(message("a", 0));
    queue.close();
    queue.push(message("b", 0));
    queue.interrupted();
    assert_eq!(take(&queue, 9).len(), 1);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(
        queue.poll_recv_many(&mut cx, &mut Vec::new(), 9),
        Poll::Ready(0)
    );
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_sleeping_consumer_is_woken_once_and_a_busy_one_never() {
    let (queue, count) = (queue(10_000), Arc::new(Count::default()));
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let mut out = Vec::new();
    assert_eq!(queue.poll_recv_many(&mut cx, &mut out, 9), Poll::Pending);
    queue.push_many((0..5).map(|_| message("a", 0)));
    queue.push(message("a", 0));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(queue.poll_recv_many(&mut cx, &mut out, 3), Poll::Ready(3));
    queue.push(message("a", 0));
    assert_eq!(count.0.load(Ordering::SeqCst), 1, "it has not slept since");
    assert_eq!(queue.poll_recv_many(&mut cx, &mut out, 9), Poll::Ready(4));
    assert_eq!(queue.poll_recv_many(&mut cx, &mut out, 9), Poll::Pending);
    queue.close();
    assert_eq!(count.0.load(Ordering::SeqCst), 2);
}

proptest! {
    /// Every message is handed out or counted, in order, and the bound holds at every moment.
    #[test]
    fn nothing_vanishes_and_the_bound_holds(
        steps in proptest::collection::vec((0_usize..4, 0_usize..400, 1_usize..6), 1..200),
    ) {
        let max = 3000;
        let queue = queue(max);
        let (mut sent, mut got, mut lost, mut last) = (0_u64, 0_u64, 0_u64, None);
        let mut drain = |queue: &Queue, max: usize| {
            for delivery in take(queue, max) {
                match delivery {
                    Delivery::Message(message) => {
                        let number = message.reply.as_ref().and_then(|reply| reply.parse::<u64>().ok());
                        assert!(last < number);
                        last = number;
                        got += 1;
                    }
                    Delivery::Shed(shed) => {
                        assert!(shed.messages > 0);
                        assert_eq!(shed.subjects.values().sum::<u64>() + shed.others, shed.messages);
                        lost += shed.messages;
                    }
                    Delivery::Interrupted => {}
                }
            }
            got + lost
        };
        for (kind, size, count) in steps {
            if kind == 0 {
                drain(&queue, count);
            } else {
                let mut message = message(&format!("s.{kind}"), size);
                message.reply = Some(sent.to_string().into());
                queue.push(message);
                sent += 1;
            }
            let markers = 4 * (MARKER_COST + 4 * 200);
            prop_assert!(queue.fill().1 <= max + markers);
        }
        prop_assert_eq!(drain(&queue, usize::MAX), sent);
        prop_assert_eq!(queue.fill(), (0, 0));
    }
}
