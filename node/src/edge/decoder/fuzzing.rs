//! The body of the fuzz target `websocket`: what must hold for any bytes at all. Called by `fuzz/` and by ordinary tests.

use super::{Decoder, Message, Violation};

/// Small, so that a fuzzer reaches it.
const LIMIT: usize = 256;

/// The first byte says into how large pieces the rest is cut: the verdict is the same as for the
/// whole, no message is larger than the limit, and what is called text is UTF-8.
pub(crate) fn any_bytes(input: &[u8]) {
    let Some((cut, wire)) = input.split_first() else {
        return;
    };
    let whole = verdict(&[wire]);
    let pieces: Vec<&[u8]> = wire.chunks(usize::from(*cut).max(1)).collect();
    assert_eq!(whole, verdict(&pieces));
    for message in whole.0 {
        match message {
            Message::Text(text) => {
                assert!(text.len() <= LIMIT && std::str::from_utf8(&text).is_ok());
            }
            Message::Binary(bytes) => assert!(bytes.len() <= LIMIT),
            Message::Ping(payload) => assert!(payload.len() <= 125),
            Message::Close(code) => assert!(code.is_none_or(|code| code >= 1000)),
            Message::TooLarge { beginning, bytes } => {
                assert!(bytes > LIMIT && beginning.len() < bytes);
            }
            Message::Pong => {}
        }
    }
}

fn verdict(pieces: &[&[u8]]) -> (Vec<Message>, Option<Violation>) {
    let mut decoder = Decoder::new(LIMIT);
    let mut messages = Vec::new();
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let mut taken = 0;
        while taken < bytes.len() {
            match decoder.decode(&mut bytes[taken..]) {
                Ok((here, message)) => {
                    assert!(here > 0, "no progress");
                    taken += here;
                    messages.extend(message);
                }
                Err(violation) => return (messages, Some(violation)),
            }
        }
    }
    (messages, None)
}
