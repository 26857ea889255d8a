//! The bodies of the fuzz targets: what must hold for any bytes at all. Called by `fuzz/` and by ordinary tests.

use bytes::Bytes;
use tengen_protocol::{Millis, subject::Subjects};

use crate::{
    Headers, Message,
    push::{Arrived, Sequences, batch, decode},
};

/// A batch that is read without a fault is written again as the same bytes; a fault ends nothing
/// but itself, and never the loop.
pub fn push_batch(bytes: &[u8]) {
    let Ok((head, reader)) = batch::decode(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let items: Vec<_> = reader.collect();
    assert!(items.len() <= usize::from(head.count) + 1);
    let whole: Option<Vec<_>> = items.into_iter().map(Result::ok).collect();
    if let Some(pushes) = whole {
        assert_eq!(batch::encode(head.publisher, head.seq, &pushes), bytes);
    }
}

/// Any subject below `send-to`, any headers, any body: something arrives, or a known repetition.
/// The input is the rest of the subject, header lines, an empty line, and the body.
pub fn push_message(bytes: &[u8]) {
    let (head, body) = match bytes.windows(2).position(|two| two == b"\n\n") {
        Some(end) => (&bytes[..end], &bytes[end + 2..]),
        None => (bytes, &[][..]),
    };
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split('\n');
    let subject = format!("tengen.send-to.{}", lines.next().unwrap_or_default());
    let headers: Headers = lines.filter_map(|line| line.split_once(": ")).collect();
    let message = Message {
        subject: subject.into(),
        reply: None,
        headers,
        body: Bytes::copy_from_slice(body),
    };
    let mut sequences = Sequences::new(Millis(0));
    let mut out = Vec::new();
    for time in [0, 10_000] {
        sequences.tick(Millis(time));
        decode(
            &Subjects::default(),
            message.clone(),
            &mut sequences,
            &mut out,
        );
    }
    assert!(sequences.publishers() <= 1);
    let lost = out
        .iter()
        .filter(|one| matches!(one, Arrived::Lost { .. }))
        .count();
    assert_eq!(
        lost, 0,
        "the first batch of a publisher and its repetition lose nothing"
    );
}

#[cfg(test)]
mod tests;
