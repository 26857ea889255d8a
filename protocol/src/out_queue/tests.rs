//! Promises of the out-queue.

use super::{OutOfRange, OutQueue, Weight};

#[derive(Debug, PartialEq)]
struct Item(u64);

impl Weight for Item {
    fn weight(&self) -> usize {
        10
    }
}

fn filled(items: u64, written: u64) -> OutQueue<Item> {
    let mut queue = OutQueue::new();
    for n in 1..=items {
        assert_eq!(queue.push(Item(n)), n);
    }
    for n in 1..=written {
        assert_eq!(queue.next(), Some(&mut Item(n)));
        assert_eq!(queue.advance(), n);
    }
    queue
}

#[test]
fn positions_count_from_one_and_survive_acks() {
    let mut queue = filled(5, 3);
    let mut done = Vec::new();
    queue
        .ack(2, |position, item| done.push((position, item.0)))
        .unwrap();
    assert_eq!(done, [(1, 1), (2, 2)]);
    assert_eq!(
        (queue.acked(), queue.sent(), queue.end(), queue.bytes()),
        (2, 3, 5, 30)
    );
    assert_eq!(queue.at(2), None);
    assert_eq!(queue.at(4), Some(&mut Item(4)));
    assert_eq!(queue.at(6), None);
}

#[test]
fn ack_of_what_was_not_sent_is_out_of_range_and_an_old_one_is_nothing() {
    let mut queue = filled(5, 3);
    assert_eq!(queue.ack(4, |_, _| ()), Err(OutOfRange));
    queue.ack(3, |_, _| ()).unwrap();
    queue.ack(1, |_, _| panic!("twice")).unwrap();
}

#[test]
fn rewind_goes_back_no_further_than_the_acked_and_forward_no_further_than_the_written() {
    let mut queue = filled(5, 4);
    queue.ack(2, |_, _| ()).unwrap();
    assert_eq!(queue.rewind(1), Err(OutOfRange));
    assert_eq!(queue.rewind(5), Err(OutOfRange));
    queue.rewind(2).unwrap();
    assert_eq!(queue.next(), Some(&mut Item(3)));
    // Until it is sent again it cannot be acknowledged.
    assert_eq!(queue.ack(3, |_, _| ()), Err(OutOfRange));
    queue.rewind(4).unwrap();
    assert_eq!(queue.next(), Some(&mut Item(5)));
}

#[test]
fn only_unwritten_items_can_be_withdrawn_even_after_a_rewind() {
    let mut queue = filled(4, 2);
    queue.rewind(0).unwrap();
    assert_eq!(queue.withdraw(|item| item.0 == 2), None);
    assert_eq!(queue.withdraw(|item| item.0 == 3), Some(Item(3)));
    assert_eq!(queue.end(), 3);
    assert_eq!(queue.bytes(), 30);
}

#[test]
fn restart_gives_back_the_written_and_keeps_the_rest_from_one() {
    let mut queue = filled(5, 3);
    queue.ack(1, |_, _| ()).unwrap();
    assert_eq!(queue.restart(), [Item(2), Item(3)]);
    assert_eq!(
        (queue.acked(), queue.sent(), queue.end(), queue.bytes()),
        (0, 0, 2, 20)
    );
    assert_eq!(queue.next(), Some(&mut Item(4)));
}

#[test]
fn drained_queue_owns_no_heap() {
    let mut queue = filled(1_000, 1_000);
    assert!(queue.capacity() >= 1_000);
    queue.ack(1_000, |_, _| ()).unwrap();
    assert_eq!((queue.capacity(), queue.bytes()), (0, 0));
}

#[test]
fn cleared_queue_keeps_its_count() {
    let mut queue = filled(3, 1);
    queue.clear();
    assert_eq!(
        (
            queue.end(),
            queue.waiting(),
            queue.bytes(),
            queue.capacity()
        ),
        (3, 0, 0, 0)
    );
    assert_eq!(queue.push(Item(4)), 4);
}
