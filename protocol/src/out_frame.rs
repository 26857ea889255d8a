//! One server frame as it stands on a socket, encoded once and shared by every client it goes to.

use bytes::Bytes;

use crate::codec::Codec;
use crate::codes::Refusal;
use crate::data::Data;
use crate::frame::ServerFrame;
use crate::ids::EventId;
use crate::writer::one_line;

/// One server frame as it stands on a WebSocket: RFC 6455 header and body in one shared buffer.
///
/// Server frames are unmasked, so the header too is the same for every client of a codec; the
/// body alone is what a poll carries. Cloning shares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutFrame(Bytes);

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

impl OutFrame {
    /// Puts the header before `body`: one allocation, one copy.
    pub fn new(codec: Codec, body: &[u8]) -> OutFrame {
        OutFrame::build(codec, &[body])
    }

    /// Puts the header before the concatenated `parts`, and JSON on one line.
    pub(crate) fn build(codec: Codec, parts: &[&[u8]]) -> OutFrame {
        let (mut frame, header) = join(codec, parts);
        if codec == Codec::Json {
            one_line(&mut frame[header..]);
        }
        OutFrame(frame.into())
    }

    /// An event, its data transcoded if need be.
    ///
    /// # Errors
    /// As [`Data::transcode`].
    pub fn event(codec: Codec, id: &EventId, data: &Data) -> Result<OutFrame, Refusal> {
        let data = data.transcode(codec)?;
        Ok(OutFrame::from(
            &ServerFrame::Event {
                id: id.clone(),
                data,
            },
            codec,
        ))
    }

    /// Any frame.
    pub fn from(frame: &ServerFrame, codec: Codec) -> OutFrame {
        // What is written here is on one line already.
        OutFrame(join(codec, &[&frame.encode(codec)]).0.into())
    }

    /// Header and body, for a WebSocket.
    pub fn ws(&self) -> &Bytes {
        &self.0
    }

    /// The body alone, for a poll. Shares the buffer.
    pub fn body(&self) -> Bytes {
        let header = match self.0[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        self.0.slice(header..)
    }

    /// How the body is to be read.
    pub fn codec(&self) -> Codec {
        if self.0[0] == TEXT {
            Codec::Json
        } else {
            Codec::Cbor
        }
    }

    /// Bytes of header and body: what a queue counts.
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// The header and the concatenated `parts`, and how long the header is.
fn join(codec: Codec, parts: &[&[u8]]) -> (Vec<u8>, usize) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    // RFC 6455 section 5.2: 7 bits, or 126 and 16 bits, or 127 and 64 bits.
    let (short, header) = match length {
        0..=125 => (length as u8, 2),
        126..=0xffff => (126, 4),
        _ => (127, 10),
    };
    // Exactly as much as is needed: a larger vector would cost a second allocation to share.
    let mut frame = Vec::with_capacity(header + length);
    frame.push(match codec {
        Codec::Cbor => BINARY,
        Codec::Json => TEXT,
    });
    frame.push(short);
    let long = (length as u64).to_be_bytes();
    frame.extend_from_slice(&long[long.len() - (header - 2)..]);
    for part in parts {
        frame.extend_from_slice(part);
    }
    (frame, header)
}

#[cfg(test)]
mod tests;
