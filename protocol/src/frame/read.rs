//! What reading a frame is the same in both directions: kinds, the counting rule, single elements.

use std::borrow::Cow;

use bytes::Bytes;

use super::Undecodable;
use crate::codec::Codec;
use crate::codes::{CloseCode, ErrorCode, Refusal};
use crate::flaw::Budget;
use crate::ids::EventId;
use crate::limits::Limits;
use crate::parts::{Part, Parts, leading};

/// The first element of every frame.
pub(super) mod kind {
    pub(in crate::frame) const HELLO: u64 = 0;
    pub(in crate::frame) const EVENT: u64 = 1;
    pub(in crate::frame) const REQUEST: u64 = 2;
    pub(in crate::frame) const REPLY: u64 = 3;
    pub(in crate::frame) const ACK: u64 = 4;
    pub(in crate::frame) const PING: u64 = 5;
    pub(in crate::frame) const PONG: u64 = 6;
    pub(in crate::frame) const BYE: u64 = 7;
    pub(in crate::frame) const ERROR: u64 = 8;

    /// Control frames have no position; every other kind has, those of later versions included.
    pub(super) fn is_control(kind: u64) -> bool {
        matches!(kind, HELLO | ACK | PING | PONG | BYE | ERROR)
    }
}

impl Undecodable {
    /// A frame over the limit, of which perhaps only the `beginning` was kept.
    ///
    /// Always an item, whatever it begins with: no control frame is ever that large.
    pub fn too_large(codec: Codec, beginning: &[u8]) -> Undecodable {
        let refusal = Refusal::new(ErrorCode::TOO_LARGE, "frame is larger than allowed");
        Undecodable {
            refusal,
            item: true,
            request: request_of(leading(codec, beginning)),
        }
    }
}

/// Whether a complete frame counts as an item, without decoding it: every frame does that does
/// not begin as a control frame.
pub(crate) fn is_item(codec: Codec, frame: &[u8]) -> bool {
    !leading(codec, frame)[0].is_some_and(kind::is_control)
}

/// Whether a frame begins as every frame does, with a number in an array.
pub(crate) fn has_kind(codec: Codec, frame: &[u8]) -> bool {
    leading(codec, frame)[0].is_some()
}

fn request_of(leading: [Option<u64>; 2]) -> Option<u32> {
    match leading {
        [Some(kind::REQUEST), Some(request)] => u32::try_from(request).ok(),
        _ => None,
    }
}

/// Splits the frame, has `build` make something of it, and adds to a refusal whether it counts.
pub(super) fn read<T>(
    codec: Codec,
    frame: &Bytes,
    limits: &Limits,
    build: impl FnOnce(&Reading<'_>) -> Result<T, Refusal>,
) -> Result<T, Undecodable> {
    if frame.len() > limits.max_bytes {
        return Err(Undecodable::too_large(codec, frame));
    }
    let mut budget = Budget::new(limits);
    let parts = Parts::array(codec, frame, &mut budget).map_err(|flaw| flaw.refusal(codec));
    let built = parts.and_then(|parts| {
        let kind = parts.part(0).and_then(|part| part.uint());
        let kind = kind.ok_or_else(|| {
            Refusal::new(ErrorCode::UNDECODABLE, "frame does not begin with its kind")
        })?;
        build(&Reading { kind, parts })
    });
    built.map_err(|refusal| {
        let leading = leading(codec, frame);
        Undecodable {
            refusal,
            item: !leading[0].is_some_and(kind::is_control),
            request: request_of(leading),
        }
    })
}

/// A frame that is well-formed, taken apart.
pub(super) struct Reading<'b> {
    pub(super) kind: u64,
    pub(super) parts: Parts<'b>,
}

impl Reading<'_> {
    pub(super) fn event_id(&self, index: usize) -> Result<EventId, Refusal> {
        EventId::parse(&event_id_text(self.parts.part(index))?)
    }

    pub(super) fn request(&self) -> Result<u32, Refusal> {
        let number = self.uint(1, "ref")?;
        u32::try_from(number).map_err(|_| bad("ref must be below 2^32"))
    }

    pub(super) fn uint(&self, index: usize, what: &str) -> Result<u64, Refusal> {
        let number = self.parts.part(index).and_then(|part| part.uint());
        number.ok_or_else(|| bad(&format!("{what} must be a whole number")))
    }

    /// Absent and null are none.
    pub(super) fn optional_uint(&self, index: usize, what: &str) -> Result<Option<u64>, Refusal> {
        match self.parts.part(index) {
            Some(part) if !part.is_null() => self.uint(index, what).map(Some),
            _ => Ok(None),
        }
    }

    pub(super) fn uint_or(&self, index: usize, what: &str, absent: u64) -> Result<u64, Refusal> {
        Ok(self.optional_uint(index, what)?.unwrap_or(absent))
    }

    pub(super) fn text_or_empty(&self, index: usize) -> String {
        self.parts
            .part(index)
            .and_then(|part| part.text())
            .unwrap_or_default()
            .into_owned()
    }

    pub(super) fn close_code(&self) -> Result<CloseCode, Refusal> {
        let number = self.uint(1, "close code")?;
        u16::try_from(number)
            .map(CloseCode)
            .map_err(|_| bad("close code must be below 2^16"))
    }

    /// The error code at `index` and the message after it.
    pub(super) fn refusal(&self, index: usize) -> Result<Refusal, Refusal> {
        let number = self.uint(index, "error code")?;
        let code = u32::try_from(number).map_err(|_| bad("error code must be below 2^32"))?;
        Ok(Refusal::new(ErrorCode(code), self.text_or_empty(index + 1)))
    }

    pub(super) fn fields<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[Option<Part<'_>>; N], Refusal> {
        let fields = self.parts.part(1).and_then(|part| part.fields(names));
        fields.ok_or_else(|| bad("hello has no map"))
    }

    pub(super) fn unknown_kind(&self) -> Refusal {
        Refusal::new(
            ErrorCode::UNDECODABLE,
            format!("unknown frame kind {}", self.kind),
        )
    }
}

/// The event id in this place of a frame or event, in its grammar; borrowed when it stands there
/// as one plain run of characters.
pub(crate) fn event_id_text(part: Option<Part<'_>>) -> Result<Cow<'_, str>, Refusal> {
    let part = part.ok_or_else(|| bad("event has no id"))?;
    let not_text = || Refusal::new(ErrorCode::BAD_ID, "event id is not a text");
    let text = part.text().ok_or_else(not_text)?;
    EventId::check(&text)?;
    Ok(text)
}

fn bad(what: &str) -> Refusal {
    Refusal::new(ErrorCode::BAD_EVENT, what)
}
