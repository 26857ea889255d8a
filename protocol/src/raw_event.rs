//! A pushed event as it came from the bus: checked, not built.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::codec::Codec;
use crate::codes::{ErrorCode, Refusal};
use crate::data::Data;
use crate::flaw::Budget;
use crate::frame::read::event_id_text;
use crate::ids::{EventId, is_reserved, reserved};
use crate::limits::Limits;
use crate::out_frame::OutFrame;
use crate::parts::Parts;
use crate::writer::Writer;
use crate::{cbor, json};

/// A pushed event: `["ns/name", data]` in one buffer, of which only the places are known.
/// Cloning shares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawEvent {
    codec: Codec,
    body: Bytes,
    /// The encoded id: a JSON text without escapes, or a CBOR text of one piece.
    token: Range<usize>,
    data: Option<Range<usize>>,
}

impl RawEvent {
    /// Checks that `body` is one event a service may push: an array of one or two elements, an
    /// event id that is not reserved, and data within `limits`.
    ///
    /// Builds no values: one pass, and no allocation unless the id was written in an unusual way.
    ///
    /// # Errors
    /// [`ErrorCode::UNDECODABLE`], [`ErrorCode::TOO_LARGE`], [`ErrorCode::TOO_DEEP`] as
    /// [`Data::checked`]; [`ErrorCode::BAD_EVENT`] when it is not an array of one or two
    /// elements; [`ErrorCode::BAD_ID`], [`ErrorCode::NO_NAMESPACE`], [`ErrorCode::RESERVED`].
    pub fn check(codec: Codec, body: Bytes, limits: &Limits) -> Result<RawEvent, Refusal> {
        if body.len() > limits.max_bytes {
            return Err(Refusal::new(
                ErrorCode::TOO_LARGE,
                "event is larger than allowed",
            ));
        }
        let bad = |what: &str| Refusal::new(ErrorCode::BAD_EVENT, what);
        let parts = match Parts::array(codec, &body, &mut Budget::new(limits)) {
            Ok(parts) => parts,
            // A well-formed value of another shape is told apart from bytes that are none.
            Err(flaw) if Data::checked(codec, body.clone(), limits).is_err() => {
                return Err(flaw.refusal(codec));
            }
            Err(_) => return Err(bad("event is not an array")),
        };
        match parts.count {
            1 | 2 => {}
            0 => return Err(bad("event is empty")),
            _ => return Err(bad("event has more than an id and data")),
        }
        let id = event_id_text(parts.part(0))?;
        if is_reserved(&id) {
            return Err(reserved());
        }
        let (token, data) = (parts.range(0).unwrap_or_default(), parts.range(1));
        if matches!(id, Cow::Borrowed(_)) {
            return Ok(RawEvent {
                codec,
                token,
                data,
                body,
            });
        }
        // Written with escapes or in pieces, as some writers do: rewritten once, the id can be
        // copied like any other.
        RawEvent::new(codec, &EventId::parse(&id)?, &parts.data(1))
    }

    /// An event made here.
    ///
    /// # Errors
    /// As [`Data::transcode`].
    pub fn new(codec: Codec, id: &EventId, data: &Data) -> Result<RawEvent, Refusal> {
        let data = data.transcode(codec)?;
        let mut token = Vec::with_capacity(id.as_str().len() + 2);
        match codec {
            Codec::Cbor => {
                cbor::write_head(cbor::TEXT, id.as_str().len() as u64, &mut token);
                token.extend_from_slice(id.as_str().as_bytes());
            }
            Codec::Json => json::write_text(id.as_str(), &mut token),
        }
        let body = Writer::array(codec, 2)
            .text(id.as_str())
            .data(&data)
            .finish();
        // In both codecs the array takes one byte to open; JSON has a comma before the data and a
        // bracket after it.
        let punctuation = usize::from(codec == Codec::Json);
        let start = 1 + token.len() + punctuation;
        let range = start..body.len() - punctuation;
        Ok(RawEvent {
            codec,
            token: 1..1 + token.len(),
            data: Some(range),
            body,
        })
    }

    /// The event id.
    pub fn id(&self) -> &str {
        let token = &self.body[self.token.clone()];
        let text = match self.codec {
            Codec::Cbor => cbor::head(token, 0).map_or(&[][..], |head| &token[head.end..]),
            Codec::Json => &token[1..token.len() - 1],
        };
        // The check saw that it is.
        std::str::from_utf8(text).unwrap_or_default()
    }

    /// The data; null when the event has none. Shares the buffer.
    pub fn data(&self) -> Data {
        match &self.data {
            Some(range) => Data::trusted(self.codec, self.body.slice(range.clone())),
            None => Data::null(self.codec),
        }
    }

    /// The whole event, as it can go over the bus again.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// How the body is to be read.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The frame that carries this event. In the event's own codec it is assembled from slices
    /// without decoding anything; in the other one the data is transcoded.
    ///
    /// # Errors
    /// As [`Data::transcode`].
    pub fn to_frame(&self, codec: Codec) -> Result<OutFrame, Refusal> {
        if codec != self.codec {
            return OutFrame::event(codec, &EventId::parse(self.id())?, &self.data());
        }
        let token = &self.body[self.token.clone()];
        let data = self.data.as_ref().map(|range| &self.body[range.clone()]);
        Ok(match codec {
            Codec::Cbor => OutFrame::build(codec, &[&[0x83, 0x01], token, data.unwrap_or(&[0xf6])]),
            Codec::Json => {
                OutFrame::build(codec, &[b"[1,", token, b",", data.unwrap_or(b"null"), b"]"])
            }
        })
    }
}
