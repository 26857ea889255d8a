//! Buffers that the connections of a thread share, so that none owns one while it is idle.

use std::cell::RefCell;

use bytes::Bytes;

/// How much one read may bring. Measured: with this shared by all, a connection keeps about 1 KiB
/// after any traffic; a buffer of its own would keep the size of its largest message.
const READ_BYTES: usize = 64 * 1_024;

thread_local! {
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static FRAMES: RefCell<Vec<Bytes>> = const { RefCell::new(Vec::new()) };
}

/// Lends this thread's read buffer to `f`, which must not poll another connection.
pub(crate) fn with_read<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    READ.with_borrow_mut(|buffer| {
        buffer.resize(READ_BYTES, 0);
        f(buffer)
    })
}

/// Lends this thread's list of outgoing frames to `f`; it is empty, and is emptied afterwards.
pub(crate) fn with_frames<R>(f: impl FnOnce(&mut Vec<Bytes>) -> R) -> R {
    FRAMES.with_borrow_mut(|frames| {
        let result = f(frames);
        frames.clear();
        result
    })
}
