//! Decodes RFC 6455 frames from a client: bytes in, complete messages out, no I/O.

#[cfg(test)]
mod fuzzing;
mod header;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use fastwebsockets::{CloseCode, OpCode};

use self::header::{Header, Parsed};

/// The longest header a client can send: two bytes, a 64-bit length, a mask.
const MAX_HEADER: usize = 14;

/// What is kept of a message that is too large: enough to tell which request it was.
const BEGINNING: usize = 64;

/// A message up to so many times the limit is passed over and refused by itself; a larger one ends
/// the connection at its header.
const SKIPPED_TIMES: usize = 8;

/// One complete message, or one control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Checked to be UTF-8.
    Text(Bytes),
    Binary(Bytes),
    /// To be answered by a pong with the same payload (at most 125 bytes).
    Ping(Bytes),
    Pong,
    /// The peer closes; `None` when it gave no code.
    Close(Option<u16>),
    /// A data message over the limit: it was counted, not kept, but for its first bytes. Its text
    /// is not checked.
    TooLarge {
        beginning: Bytes,
        bytes: usize,
    },
}

/// What a peer did that RFC 6455 forbids; the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("client frame is not masked")]
    Unmasked,
    #[error("reserved bit set without an extension")]
    ReservedBits,
    #[error("unknown opcode {0:#x}")]
    UnknownOpcode(u8),
    #[error("control frame is fragmented")]
    FragmentedControl,
    #[error("control frame is longer than 125 bytes")]
    LongControl,
    #[error("length is not in its shortest form")]
    LongLength,
    #[error("continuation without a message to continue")]
    LoneContinuation,
    #[error("new message inside a fragmented one")]
    Interleaved,
    #[error("close frame with a malformed payload")]
    BadClose,
    #[error("text is not utf-8")]
    NotUtf8,
    #[error("message is larger than {limit} bytes")]
    TooLarge { limit: usize },
}

impl Violation {
    /// The status code that the RFC wants in the Close frame (sections 7.4.1, 8.1).
    pub(crate) fn close_code(self) -> CloseCode {
        match self {
            Violation::NotUtf8 => CloseCode::Invalid,
            Violation::TooLarge { .. } => CloseCode::Size,
            _ => CloseCode::Protocol,
        }
    }
}

/// A frame whose header is complete and whose payload is not.
#[derive(Debug)]
struct Open {
    opcode: OpCode,
    fin: bool,
    /// Rotated, so that it always begins at the next byte of payload.
    mask: [u8; 4],
    left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

/// The receiving half of one WebSocket connection, after the handshake.
///
/// Feed it every byte that arrives. It keeps nothing but an incomplete message, and that grows by
/// bytes really received, at most to twice their number: a header that announces 2^62 bytes
/// allocates nothing. Between messages it owns no heap.
#[derive(Debug)]
pub(crate) struct Decoder {
    max_message: usize,
    header: [u8; MAX_HEADER],
    header_len: u8,
    open: Option<Open>,
    /// The data message under way, over all its fragments so far.
    message: Vec<u8>,
    kind: Option<Kind>,
    /// How much of a text `message` is known to be UTF-8.
    checked: usize,
    /// The size so far of a message that is passed over; `message` holds only its beginning.
    skipped: Option<usize>,
    control: Vec<u8>,
}

impl Decoder {
    /// A decoder for messages of at most `max_message` bytes, the sum over their fragments.
    ///
    /// A message up to eight times as large comes out as [`Message::TooLarge`], so that one
    /// oversized item costs its sender an error and not the connection.
    pub(crate) fn new(max_message: usize) -> Decoder {
        Decoder {
            max_message,
            header: [0; MAX_HEADER],
            header_len: 0,
            open: None,
            message: Vec::new(),
            kind: None,
            checked: 0,
            skipped: None,
            control: Vec::new(),
        }
    }

    /// Takes bytes from the front of `input` until a message is complete or the bytes are used up.
    ///
    /// Returns how many bytes were taken, and the message if there is one; call again with the
    /// rest. The bytes taken are unmasked in place.
    ///
    /// # Errors
    /// The first [`Violation`]; the decoder must not be used after it.
    pub(crate) fn decode(
        &mut self,
        input: &mut [u8],
    ) -> Result<(usize, Option<Message>), Violation> {
        let mut taken = 0;
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => {
                    let Some(header) = self.take_header(input, &mut taken)? else {
                        return Ok((taken, None));
                    };
                    self.begin(&header)?;
                    self.open.insert(Open {
                        opcode: header.opcode,
                        fin: header.fin,
                        mask: header.mask,
                        left: header.len,
                    })
                }
            };

            // `left` is bounded by now, and the minimum fits in any case.
            let here = usize::try_from(open.left)
                .unwrap_or(usize::MAX)
                .min(input.len() - taken);
            let chunk = &mut input[taken..taken + here];
            fastwebsockets::unmask(chunk, open.mask);
            open.mask.rotate_left(here % 4);
            open.left -= here as u64;
            taken += here;
            let (opcode, fin, left) = (open.opcode, open.fin, open.left);

            if header::is_control(opcode) {
                if left > 0 {
                    self.control.extend_from_slice(chunk);
                    return Ok((taken, None));
                }
                self.open = None;
                let message = if self.control.is_empty() {
                    control(opcode, chunk)?
                } else {
                    self.control.extend_from_slice(chunk);
                    control(opcode, &std::mem::take(&mut self.control))?
                };
                return Ok((taken, Some(message)));
            }

            let complete = fin && left == 0;
            if complete && self.message.is_empty() && self.skipped.is_none() {
                // The usual case: the whole message lies in the caller's buffer.
                let message = self.whole(chunk)?;
                return Ok((taken, Some(message)));
            }
            self.append(chunk, left)?;
            if left > 0 {
                return Ok((taken, None));
            }
            self.open = None;
            if complete {
                return Ok((taken, Some(self.finish()?)));
            }
        }
    }

    /// True while part of a message or frame has arrived.
    #[cfg(test)]
    fn is_midway(&self) -> bool {
        self.header_len > 0 || self.open.is_some() || self.kind.is_some()
    }

    /// Heap that the decoder owns, in bytes.
    #[cfg(test)]
    fn heap(&self) -> usize {
        self.message.capacity() + self.control.capacity()
    }

    /// Reads a header from what was kept and from `input`; `None` when it is still incomplete.
    fn take_header(
        &mut self,
        input: &[u8],
        taken: &mut usize,
    ) -> Result<Option<Header>, Violation> {
        if self.header_len == 0 {
            // Straight from the caller's buffer when it is all there.
            if let Parsed::Complete(header, len) = header::parse(&input[*taken..])? {
                *taken += len;
                return Ok(Some(header));
            }
        }
        loop {
            let have = usize::from(self.header_len);
            match header::parse(&self.header[..have])? {
                Parsed::Complete(header, _) => {
                    self.header_len = 0;
                    return Ok(Some(header));
                }
                Parsed::Incomplete { need } => {
                    let rest = &input[*taken..];
                    let here = rest.len().min(need - have);
                    if here == 0 {
                        return Ok(None);
                    }
                    self.header[have..have + here].copy_from_slice(&rest[..here]);
                    self.header_len += here as u8;
                    *taken += here;
                }
            }
        }
    }

    /// Checks a frame against the message it belongs to, before any of its payload is taken.
    fn begin(&mut self, header: &Header) -> Result<(), Violation> {
        let kind = match header.opcode {
            OpCode::Continuation if self.kind.is_none() => return Err(Violation::LoneContinuation),
            OpCode::Text | OpCode::Binary if self.kind.is_some() => {
                return Err(Violation::Interleaved);
            }
            OpCode::Continuation => self.kind,
            OpCode::Text => Some(Kind::Text),
            OpCode::Binary => Some(Kind::Binary),
            OpCode::Close | OpCode::Ping | OpCode::Pong => return Ok(()),
        };
        let so_far = self.skipped.unwrap_or(self.message.len());
        let size = header.len.saturating_add(so_far as u64);
        let limit = self.max_message;
        if size > limit.saturating_mul(SKIPPED_TIMES) as u64 {
            return Err(Violation::TooLarge { limit });
        }
        if size > limit as u64 && self.skipped.is_none() {
            self.skipped = Some(so_far);
            self.message.truncate(BEGINNING);
            self.message.shrink_to_fit();
        }
        self.kind = kind;
        Ok(())
    }

    /// A message that lies complete in `payload`.
    fn whole(&mut self, payload: &[u8]) -> Result<Message, Violation> {
        self.open = None;
        let kind = self.kind.take();
        if kind == Some(Kind::Text) {
            simdutf8::basic::from_utf8(payload).map_err(|_| Violation::NotUtf8)?;
            return Ok(Message::Text(Bytes::copy_from_slice(payload)));
        }
        Ok(Message::Binary(Bytes::copy_from_slice(payload)))
    }

    fn append(&mut self, chunk: &[u8], left: u64) -> Result<(), Violation> {
        if let Some(skipped) = &mut self.skipped {
            *skipped += chunk.len();
            let wanted = BEGINNING.saturating_sub(self.message.len());
            self.message
                .extend_from_slice(&chunk[..chunk.len().min(wanted)]);
            return Ok(());
        }
        let len = self.message.len() + chunk.len();
        if len > self.message.capacity() {
            // Double, but never beyond what the frame still announces: both bound what is
            // allocated, one by what was received, the other by what can come.
            let announced = len.saturating_add(usize::try_from(left).unwrap_or(usize::MAX));
            let room = (self.message.capacity() * 2).max(len).min(announced);
            self.message.reserve_exact(room - self.message.len());
        }
        self.message.extend_from_slice(chunk);
        if self.kind == Some(Kind::Text) {
            // Checked as it comes, so that a bad byte is refused before the message is complete.
            let unchecked = &self.message[self.checked..];
            self.checked += match simdutf8::compat::from_utf8(unchecked) {
                Ok(_) => unchecked.len(),
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                Err(_) => return Err(Violation::NotUtf8),
            };
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Message, Violation> {
        let payload = Bytes::from(std::mem::take(&mut self.message));
        let checked = std::mem::take(&mut self.checked);
        if let Some(bytes) = self.skipped.take() {
            self.kind = None;
            return Ok(Message::TooLarge {
                beginning: payload,
                bytes,
            });
        }
        if self.kind.take() == Some(Kind::Text) {
            // What is left unchecked is a character cut short.
            if checked < payload.len() {
                return Err(Violation::NotUtf8);
            }
            return Ok(Message::Text(payload));
        }
        Ok(Message::Binary(payload))
    }
}

fn control(opcode: OpCode, payload: &[u8]) -> Result<Message, Violation> {
    match opcode {
        OpCode::Ping => Ok(Message::Ping(Bytes::copy_from_slice(payload))),
        OpCode::Close => close(payload).map(Message::Close),
        _ => Ok(Message::Pong),
    }
}

/// RFC 6455 section 5.5.1: nothing, or a code that may be sent and a reason in UTF-8.
fn close(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(Violation::BadClose),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !CloseCode::from(code).is_allowed() {
        return Err(Violation::BadClose);
    }
    if simdutf8::basic::from_utf8(reason).is_err() {
        return Err(Violation::NotUtf8);
    }
    Ok(Some(code))
}
