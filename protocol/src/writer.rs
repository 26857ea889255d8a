//! Writes the few shapes that frames consist of, in either codec.

use std::io::Write;

use bytes::Bytes;

use crate::codec::Codec;
use crate::data::Data;
use crate::{cbor, json};

/// A frame being written. Arrays and maps say their length when they are opened, because CBOR
/// writes it there; JSON needs the closing.
pub(crate) struct Writer {
    codec: Codec,
    out: Vec<u8>,
    /// In JSON: whether something stands before, so that a comma is due.
    after: bool,
}

impl Writer {
    /// Begins with the array that every frame is.
    pub(crate) fn array(codec: Codec, length: u64) -> Writer {
        let mut writer = Writer {
            codec,
            out: Vec::with_capacity(64),
            after: false,
        };
        match codec {
            Codec::Cbor => cbor::write_head(cbor::ARRAY, length, &mut writer.out),
            Codec::Json => writer.out.push(b'['),
        }
        writer
    }

    /// Ends the array: the frame.
    pub(crate) fn finish(mut self) -> Bytes {
        if self.codec == Codec::Json {
            self.out.push(b']');
        }
        self.out.into()
    }

    pub(crate) fn uint(mut self, number: u64) -> Writer {
        self.comma();
        match self.codec {
            Codec::Cbor => cbor::write_head(cbor::UNSIGNED, number, &mut self.out),
            // Writing to memory does not fail.
            Codec::Json => drop(write!(self.out, "{number}")),
        }
        self
    }

    pub(crate) fn text(mut self, text: &str) -> Writer {
        self.comma();
        match self.codec {
            Codec::Cbor => {
                cbor::write_head(cbor::TEXT, text.len() as u64, &mut self.out);
                self.out.extend_from_slice(text.as_bytes());
            }
            Codec::Json => json::write_text(text, &mut self.out),
        }
        self
    }

    pub(crate) fn boolean(self, truth: bool) -> Writer {
        let (cbor, json): (&[u8], &[u8]) = if truth {
            (&[0xf5], b"true")
        } else {
            (&[0xf4], b"false")
        };
        self.either(cbor, json)
    }

    pub(crate) fn null(self) -> Writer {
        self.either(&[0xf6], b"null")
    }

    /// An application value; one that cannot be written in this codec becomes null, see
    /// [`crate::ClientFrame::encode`].
    pub(crate) fn data(mut self, data: &Data) -> Writer {
        let Ok(data) = data.transcode(self.codec) else {
            return self.null();
        };
        self.comma();
        let start = self.out.len();
        self.out.extend_from_slice(data.bytes());
        if self.codec == Codec::Json {
            one_line(&mut self.out[start..]);
        }
        self
    }

    pub(crate) fn map(mut self, length: u64) -> Writer {
        self.comma();
        match self.codec {
            Codec::Cbor => cbor::write_head(cbor::MAP, length, &mut self.out),
            Codec::Json => self.out.push(b'{'),
        }
        self.after = false;
        self
    }

    pub(crate) fn end_map(mut self) -> Writer {
        if self.codec == Codec::Json {
            self.out.push(b'}');
        }
        self.after = true;
        self
    }

    /// A key; its value comes next.
    pub(crate) fn key(self, key: &str) -> Writer {
        let mut writer = self.text(key);
        if writer.codec == Codec::Json {
            writer.out.push(b':');
        }
        writer.after = false;
        writer
    }

    fn either(mut self, cbor: &[u8], json: &[u8]) -> Writer {
        self.comma();
        self.out.extend_from_slice(if self.codec == Codec::Cbor {
            cbor
        } else {
            json
        });
        self
    }

    fn comma(&mut self) {
        if self.codec == Codec::Json && self.after {
            self.out.push(b',');
        }
        self.after = true;
    }
}

/// Puts JSON on one line. A raw line break can only be space between tokens, and some services
/// write it; on a poll, where frames are lines, it would end the frame.
pub(crate) fn one_line(json: &mut [u8]) {
    for byte in json {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}
