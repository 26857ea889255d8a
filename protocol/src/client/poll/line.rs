//! What a poll has to say: frames in line until an answer covers them, batched into POSTs.

use crate::codec::Codec;
use crate::server::POLL_BYTES;
use bytes::Bytes;
use std::collections::VecDeque;

/// Frames in line, those of the POST under way in front.
#[derive(Debug)]
pub(super) struct Line {
    frames: VecDeque<(Bytes, Option<u64>)>,
    /// So many of them are in the POST under way.
    under_way: usize,
    /// Items that the server has counted, as far as it is known here.
    counted: u64,
    /// The most of a batch; less after a proxy refused one.
    batch_bytes: usize,
}

impl Default for Line {
    fn default() -> Line {
        Line {
            frames: VecDeque::new(),
            under_way: 0,
            counted: 0,
            batch_bytes: POLL_BYTES,
        }
    }
}

impl Line {
    pub(super) fn put(&mut self, frame: Bytes, position: Option<u64>) {
        self.frames.push_back((frame, position));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.frames.iter().map(|(frame, _)| frame.len()).sum()
    }

    /// The body of the next POST and the position of its first item.
    pub(super) fn batch(&mut self, codec: Codec) -> (u64, Bytes) {
        let mut body = Vec::new();
        self.under_way = 0;
        for (frame, _) in &self.frames {
            let line_break = usize::from(codec == Codec::Json);
            if self.under_way > 0 && body.len() + frame.len() + line_break > self.batch_bytes {
                break;
            }
            body.extend_from_slice(frame);
            if codec == Codec::Json {
                body.push(b'\n');
            }
            self.under_way += 1;
        }
        let batch = self.frames.iter().take(self.under_way);
        let first = batch.filter_map(|(_, position)| *position).next();
        (first.unwrap_or(self.counted + 1), body.into())
    }

    /// The POST under way was answered: `received` items have been counted. Gives whether that
    /// let go of anything.
    pub(super) fn answered(&mut self, received: u64) -> bool {
        self.counted = self.counted.max(received);
        let before = self.frames.len();
        let mut rest = self.frames.split_off(std::mem::take(&mut self.under_way));
        self.frames
            .retain(|(_, position)| position.is_some_and(|position| position > received));
        self.frames.append(&mut rest);
        self.frames.len() < before
    }

    /// What the server's hello says it has counted.
    pub(super) fn count_from(&mut self, received: u64) {
        self.counted = received;
    }

    pub(super) fn nothing_is_under_way(&mut self) {
        self.under_way = 0;
    }

    /// The POST under way was too large for something on the way: the next is half of it. False if
    /// it cannot be smaller.
    pub(super) fn halve(&mut self) -> bool {
        let frames = self.frames.iter().take(self.under_way);
        self.batch_bytes = frames.map(|(frame, _)| frame.len()).sum::<usize>() / 2;
        std::mem::take(&mut self.under_way) > 1
    }
}
