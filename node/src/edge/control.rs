//! The WebSocket frames that the edge itself says: Close, pong, and a goodbye without a session.

use bytes::Bytes;
use fastwebsockets::OpCode;
use tengen_protocol::{CloseCode, Codec, OutFrame, ServerFrame};

const FIN: u8 = 0x80;

/// The longest payload of a control frame (RFC 6455 section 5.5).
const MAX_CONTROL: usize = 125;

/// A Close frame; without a code it is empty. A reason that is too long is cut between characters.
pub(crate) fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else {
        return frame(OpCode::Close, &[]);
    };
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL - 2)];
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    frame(OpCode::Close, &payload)
}

/// The answer to a WebSocket ping.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    frame(OpCode::Pong, payload)
}

/// A bye and the Close that follows it, both with the same code.
pub(crate) fn goodbye(codec: Codec, code: CloseCode, reason: &str) -> [Bytes; 2] {
    let bye = ServerFrame::Bye {
        code,
        reason: reason.to_owned(),
        after_ms: 0,
        window_ms: 0,
    };
    [
        OutFrame::from(&bye, codec).ws().clone(),
        close(Some(code.0), reason),
    ]
}

/// `payload` is at most 125 bytes, so its length is one byte.
fn frame(opcode: OpCode, payload: &[u8]) -> Bytes {
    debug_assert!(payload.len() <= MAX_CONTROL);
    let mut frame = Vec::with_capacity(2 + payload.len());
    frame.push(FIN | opcode as u8);
    frame.push(payload.len() as u8);
    frame.extend_from_slice(payload);
    frame.into()
}
