//! The two encodings of one conversation, and the names they have on each transport.

/// How frames and values are written. Fixed for the life of a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Codec {
    /// RFC 8949, in binary WebSocket messages; a CBOR sequence (RFC 8742) on a poll.
    Cbor,
    /// RFC 8259, in text WebSocket messages; newline-delimited on a poll.
    Json,
}

impl Codec {
    /// Both codecs, in the order in which a client should offer them.
    pub const ALL: [Codec; 2] = [Codec::Cbor, Codec::Json];

    /// The WebSocket subprotocol that stands for this codec and this version of the protocol.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Codec::Cbor => "tengen.v1.cbor",
            Codec::Json => "tengen.v1.json",
        }
    }

    /// The codec an offered subprotocol asks for; `None` for anything that is not ours, such as
    /// `csrf.…` and `bearer.…`, which carry credentials and are never selected.
    pub fn from_subprotocol(name: &str) -> Option<Codec> {
        Codec::ALL
            .into_iter()
            .find(|codec| codec.subprotocol() == name)
    }

    /// The content type of a poll's body: the same frames, one after another.
    pub fn poll_content_type(self) -> &'static str {
        match self {
            Codec::Cbor => "application/cbor-seq",
            Codec::Json => "application/x-ndjson",
        }
    }

    /// The codec of one value in a message on the bus or in an HTTP body. JSON unless the
    /// content type says CBOR; its parameters (`; charset=utf-8`) do not matter.
    pub fn from_content_type(content_type: Option<&str>) -> Codec {
        let essence = content_type
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default();
        if essence
            .trim()
            .eq_ignore_ascii_case(Codec::Cbor.content_type())
        {
            Codec::Cbor
        } else {
            Codec::Json
        }
    }

    /// The content type of one value in this codec.
    pub fn content_type(self) -> &'static str {
        match self {
            Codec::Cbor => "application/cbor",
            Codec::Json => "application/json",
        }
    }
}
