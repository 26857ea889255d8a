//! What reading costs in memory: nothing for a check, nothing beyond the input for a lie.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use tengen_protocol::{
    ClientFrame, Codec, Data, Limits, OutFrame, RawEvent, ServerFrame, sequence,
};

thread_local! {
    /// How often and how much this thread has asked for.
    static ASKED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ASKED.try_with(|asked| {
            let (times, bytes) = asked.get();
            asked.set((times + 1, bytes + layout.size()));
        });
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often, and how many bytes, `work` asked for.
fn asked<T>(work: impl FnOnce() -> T) -> (usize, usize) {
    let (times, bytes) = ASKED.get();
    let result = work();
    let (times_after, bytes_after) = ASKED.get();
    drop(result);
    (times_after - times, bytes_after - bytes)
}

#[test]
fn f74_a_lie_about_length_or_depth_allocates_nothing_to_speak_of() {
    let limits = Limits::default();
    let mut lies: Vec<(Codec, Vec<u8>)> = Vec::new();
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        for claim in [u64::MAX, 1 << 62, 1 << 32, 1 << 24] {
            let mut bytes = vec![head];
            bytes.extend_from_slice(&claim.to_be_bytes());
            lies.push((Codec::Cbor, bytes.clone()));
            // The same as the data of an event, and as the frame itself with something behind.
            let mut event = b"\x83\x01\x63a/b".to_vec();
            event.extend_from_slice(&bytes);
            lies.push((Codec::Cbor, event));
            bytes.extend_from_slice(&[0; 64]);
            lies.push((Codec::Cbor, bytes));
        }
    }
    lies.push((Codec::Cbor, vec![0x81; 100_000]));
    lies.push((Codec::Cbor, vec![0xc1; 100_000]));
    lies.push((Codec::Cbor, vec![0x9f; 100_000]));
    lies.push((Codec::Json, vec![b'['; 100_000]));
    lies.push((
        Codec::Json,
        b"[1,\"a/b\","
            .iter()
            .copied()
            .chain([b'['; 100_000])
            .collect(),
    ));
    lies.push((Codec::Json, b"{\"a\":".repeat(20_000)));
    for (codec, lie) in lies {
        let lie = Bytes::from(lie);
        let (_, bytes) = asked(|| {
            let data = Data::checked(codec, lie.clone(), &limits).is_err();
            let client = ClientFrame::decode(codec, lie.clone(), &limits).is_err();
            let server = ServerFrame::decode(codec, lie.clone(), &limits).is_err();
            let event = RawEvent::check(codec, lie.clone(), &limits).is_err();
            // As the body of a POST, the rest of it is one frame, which says what is wrong.
            assert_eq!(sequence::split(codec, &lie, &limits).count(), 1);
            assert!(
                data && client && server && event,
                "{:02x?}",
                &lie[..lie.len().min(16)]
            );
        });
        // Four refusals with their texts, and the levels up to the limit on the heap.
        assert!(
            bytes < 16 * 1024,
            "{bytes} bytes for {:02x?}",
            &lie[..lie.len().min(16)]
        );
    }
}

#[test]
fn more_elements_than_allowed_are_refused_before_any_is_built() {
    let mut many = vec![0x9a, 0, 1, 0, 1];
    many.resize(5 + 65_537, 0xf6);
    let many = Bytes::from(many);
    let (_, bytes) =
        asked(|| Data::checked(Codec::Cbor, many.clone(), &Limits::default()).is_err());
    assert!(bytes < 1024, "{bytes}");
}

#[test]
fn checking_a_push_allocates_nothing_and_framing_it_once() {
    let limits = Limits::default();
    for (codec, body) in [
        (
            Codec::Json,
            Bytes::from_static(br#"["chat/said",{"from":"bob","text":"hi","n":[1,2.5,null]}]"#),
        ),
        (
            Codec::Cbor,
            Bytes::from_static(b"\x82\x69chat/said\xa2\x61n\x82\x01\xf6\x64text\x62hi"),
        ),
    ] {
        // A static buffer becomes a shared one at its first slice; that is not counted here.
        let body = Bytes::copy_from_slice(&body);
        drop(body.slice(..1));
        let mut event = None;
        let check = asked(|| event = RawEvent::check(codec, body.clone(), &limits).ok());
        assert_eq!(check.0, 0, "{codec:?}");
        let event = event.expect("an event");
        let mut frame: Option<OutFrame> = None;
        let (times, bytes) = asked(|| frame = event.to_frame(codec).ok());
        assert_eq!(times, 1, "{codec:?}");
        assert!(bytes <= body.len() + 16, "{codec:?}: {bytes}");
        let frame = frame.expect("a frame");
        assert_eq!(
            asked(|| (frame.clone(), frame.body())).0,
            1,
            "sharing begins with one small allocation"
        );
        assert_eq!(asked(|| (frame.clone(), frame.body())).0, 0, "{codec:?}");
    }
}
