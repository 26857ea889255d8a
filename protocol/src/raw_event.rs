//! A pushed event as it came from the bus: checked, not built.

use std::ops::Range;

use bytes::Bytes;

use crate::codec::Codec;
use crate::codes::Refusal;
use crate::data::Data;
use crate::ids::EventId;
use crate::limits::Limits;
use crate::out_frame::OutFrame;

/// A pushed event: `["ns/name", data]` in one buffer, of which only the places are known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawEvent {
    codec: Codec,
    body: Bytes,
    id: Range<usize>,
    data: Option<Range<usize>>,
}

impl RawEvent {
    /// Checks that `body` is one event a service may push: an array of one or two elements, an
    /// event id that is not reserved, and data within `limits`.
    ///
    /// Builds no values; one pass, and no allocation unless the id was written in an unusual way.
    ///
    /// # Errors
    /// Distinct for each case, see the table in the specification.
    pub fn check(_codec: Codec, _body: Bytes, _limits: &Limits) -> Result<RawEvent, Refusal> {
        unimplemented!()
    }

    /// An event made here.
    pub fn new(_codec: Codec, _id: &EventId, _data: &Data) -> Result<RawEvent, Refusal> {
        unimplemented!()
    }

    /// The event id.
    pub fn id(&self) -> &str {
        unimplemented!()
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
    pub fn to_frame(&self, _codec: Codec) -> Result<OutFrame, Refusal> {
        let _ = &self.id;
        unimplemented!()
    }
}

#[cfg(test)]
mod tests;
