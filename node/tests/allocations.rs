//! Counts what a push allocates on its way into the queues: per push, never per client and push.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tengen_node::bench::FanOut;
use tengen_protocol::Codec;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(f: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    f();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

// One test alone in its binary: another thread's allocations would be counted too.
#[test]
fn a_push_allocates_for_itself_and_not_for_each_client() {
    let event = Bytes::from(format!(r#"["bench/push","{}"]"#, "x".repeat(112)));
    let mut one = FanOut::new(1, 1, &[Codec::Json]).expect("names");
    let mut two = FanOut::new(1, 2, &Codec::ALL).expect("names");
    let mut many = FanOut::new(1, 2_000, &Codec::ALL).expect("names");
    // The first push to an idle session also makes its queue, which it gives back once acked.
    let first = allocations(|| assert_eq!(many.push("user0", &event), Ok(2_000)));
    for _ in 0..4 {
        assert_eq!(one.push("user0", &event), Ok(1));
        assert_eq!(two.push("user0", &event), Ok(2));
    }
    for _ in 0..3 {
        assert_eq!(many.push("user0", &event), Ok(2_000));
    }
    // Queues hold eight by now, so that the next ones fit without growing.
    one.push("user0", &event).expect("an event");
    two.push("user0", &event).expect("an event");
    many.push("user0", &event).expect("an event");
    let to_one = allocations(|| assert_eq!(one.push("user0", &event), Ok(1)));
    let to_two = allocations(|| assert_eq!(two.push("user0", &event), Ok(2)));
    let to_many = allocations(|| assert_eq!(many.push("user0", &event), Ok(2_000)));
    let stranger = allocations(|| assert_eq!(many.push("nobody", &event), Ok(0)));
    println!("allocations per push: {stranger} to a stranger, {to_one} in its own codec");
    println!("in both codecs: {to_two} to 2 clients, {to_many} to 2,000");
    println!("the first push to 2,000 idle clients: {first}");
    assert_eq!(to_two, to_many, "the same however many clients");
    assert!(stranger <= 1, "{stranger}: the uid");
    assert!(
        to_one <= 3,
        "{to_one}: the uid, and the frame that all clients share"
    );
    assert!(
        to_many <= 16,
        "{to_many}: and once the value in the other codec"
    );
    assert!(
        first <= 2_000 + 32,
        "{first}: one queue for each client that was idle"
    );
}
