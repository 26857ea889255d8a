//! The body of a poll: frames one after another, as a CBOR sequence (RFC 8742) or one JSON text a line.

use bytes::Bytes;

use crate::codec::Codec;
use crate::flaw::Budget;
use crate::limits::Limits;
use crate::{cbor, json};

/// Splits a body into its frames, in order; each shares the body's buffer.
///
/// Nothing is built or allocated. Where the end of a CBOR frame cannot be told, because it is
/// broken or beyond the limits, the rest of the body is the last frame, and decoding it says what
/// is wrong. Empty lines are skipped.
pub fn split(codec: Codec, body: &Bytes, limits: &Limits) -> Split {
    Split {
        codec,
        rest: body.clone(),
        limits: *limits,
    }
}

/// The frames of a body; see [`split`].
#[derive(Clone, Debug)]
pub struct Split {
    codec: Codec,
    rest: Bytes,
    limits: Limits,
}

impl Iterator for Split {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        match self.codec {
            Codec::Cbor => self.next_value(),
            Codec::Json => self.next_line(),
        }
    }
}

impl Split {
    fn next_value(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            return None;
        }
        // The array that a frame is counts here, and does not where its parts are read.
        let mut budget = Budget::new(&self.limits);
        budget.depth += 1;
        budget.elements = budget.elements.saturating_add(1);
        let end = cbor::skip(&self.rest, 0, &mut budget).unwrap_or(self.rest.len());
        Some(self.rest.split_to(end))
    }

    fn next_line(&mut self) -> Option<Bytes> {
        while !self.rest.is_empty() {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let mut line = self
                .rest
                .split_to(end.map_or(self.rest.len(), |end| end + 1));
            if end.is_some() {
                line.truncate(line.len() - 1);
            }
            if json::space(&line, 0) < line.len() {
                return Some(line);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
