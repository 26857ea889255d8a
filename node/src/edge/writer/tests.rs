//! The writer against sockets that take little, block, and fail.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::AsyncWrite;

use super::{FRAMES_PER_WRITE, Writer};

/// A socket that takes the scripted number of bytes a call (0 = it blocks), then everything.
#[derive(Default)]
struct Socket {
    takes: Vec<usize>,
    taken: Vec<u8>,
    calls: usize,
    most_slices: usize,
    fails: Option<io::ErrorKind>,
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.calls += 1;
        self.most_slices = self.most_slices.max(slices.len());
        if let Some(kind) = self.fails {
            return Poll::Ready(Err(kind.into()));
        }
        let mut room = if self.takes.is_empty() {
            usize::MAX
        } else {
            self.takes.remove(0)
        };
        if room == 0 {
            return Poll::Pending;
        }
        let before = self.taken.len();
        for slice in slices {
            let here = slice.len().min(room);
            self.taken.extend_from_slice(&slice[..here]);
            room -= here;
        }
        Poll::Ready(Ok(self.taken.len() - before))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn frames(range: std::ops::Range<usize>) -> Vec<Bytes> {
    range.map(|n| Bytes::from(format!("<{n}>"))).collect()
}

fn poll(writer: &mut Writer, socket: &mut Socket, fresh: &mut Vec<Bytes>) -> Poll<io::Result<()>> {
    writer.poll_write(socket, &mut Context::from_waker(Waker::noop()), fresh)
}

#[test]
fn f59_a_hundred_frames_take_two_system_calls() {
    let mut socket = Socket::default();
    let mut fresh = frames(0..100);
    let mut writer = Writer::default();
    assert!(poll(&mut writer, &mut socket, &mut fresh).is_ready());
    assert_eq!(socket.taken, frames(0..100).concat());
    assert_eq!((socket.calls, socket.most_slices), (2, FRAMES_PER_WRITE));
    assert!(fresh.is_empty() && writer.is_empty());
}

#[test]
fn frames_after_a_block_follow_those_before_it() {
    let mut socket = Socket {
        takes: vec![4, 0, 1, 0],
        ..Socket::default()
    };
    let mut writer = Writer::default();
    let mut fresh = frames(0..5);
    assert!(poll(&mut writer, &mut socket, &mut fresh).is_pending());
    assert!(fresh.is_empty() && !writer.is_empty());
    fresh = frames(5..8);
    assert!(poll(&mut writer, &mut socket, &mut fresh).is_pending());
    assert!(poll(&mut writer, &mut socket, &mut fresh).is_ready());
    assert_eq!(socket.taken, frames(0..8).concat());
    assert_eq!(
        writer.blocked.capacity(),
        0,
        "a drained writer owns no heap"
    );
}

#[test]
fn an_error_of_the_socket_is_returned() {
    let mut socket = Socket {
        fails: Some(io::ErrorKind::BrokenPipe),
        ..Socket::default()
    };
    let Poll::Ready(Err(error)) = poll(&mut Writer::default(), &mut socket, &mut frames(0..2))
    else {
        panic!("no error");
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

proptest! {
    #[test]
    fn every_byte_is_written_once_and_in_order(
        batches in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..90),
            1..5,
        ),
        takes in proptest::collection::vec(0_usize..60, 0..40),
    ) {
        let mut socket = Socket { takes, ..Socket::default() };
        let mut writer = Writer::default();
        for batch in &batches {
            let mut fresh = batch.iter().map(|frame| Bytes::copy_from_slice(frame)).collect();
            // Offered whether or not the socket was blocked: the order must hold either way.
            let _ = poll(&mut writer, &mut socket, &mut fresh);
            prop_assert!(fresh.is_empty());
        }
        let mut polls = 0;
        while poll(&mut writer, &mut socket, &mut Vec::new()).is_pending() {
            polls += 1;
            prop_assert!(polls < 100, "never done");
        }
        prop_assert_eq!(&socket.taken, &batches.concat().concat());
        prop_assert!(writer.is_empty());
    }
}
