//! The batch: many pushes of one publisher in one message, numbered, little-endian.
//!
//! `u8 version=1, u128 publisher, u64 seq, u16 n`, then n times `u8 target (0 uid, 1 anonymous,
//! 2 all; + 128 = report wanted, + 64 = flush), u16 len + uid, u8 filter (0 none, 1 only, 2 except), u16 len +
//! client, u128 message id, u8 codec (0 JSON, 1 CBOR), u32 len + event`. The uid is empty unless
//! the target is one, the client unless the filter is one. Golden bytes: `protocol/wire/bus.json`.

use bytes::{Buf as _, BufMut as _};
use bytes::{Bytes, BytesMut};
use tengen_protocol::{ClientId, Codec, ErrorCode, Refusal, Uid};

use super::{Filter, Push, Target};

/// The version this code writes and reads.
pub const VERSION: u8 = 1;
/// Bytes before the first push.
pub const HEADER_BYTES: usize = 1 + 16 + 8 + 2;
/// The most pushes a batch can hold; [`super::Publisher`] writes far fewer.
pub const MAX_PUSHES: usize = u16::MAX as usize;
/// Bytes of a push without uid, client and event.
const ITEM_BYTES: usize = 1 + 2 + 1 + 2 + 16 + 1 + 4;
const REPORT: u8 = 128;
const FLUSH: u8 = 64;

/// The head of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Random, new at each start of a publisher.
    pub publisher: u128,
    /// 1 for its first batch, then one more each. An empty batch repeats the last number used.
    pub seq: u64,
    /// Pushes that follow.
    pub count: u16,
}

/// A batch being written.
#[derive(Debug)]
pub struct Writer {
    bytes: BytesMut,
    count: u16,
}

impl Writer {
    /// An empty batch. Publisher and number are filled in at the end.
    #[must_use]
    pub fn new() -> Writer {
        let mut bytes = BytesMut::new();
        bytes.resize(HEADER_BYTES, 0);
        Writer { bytes, count: 0 }
    }

    /// Appends a push. Its event must be shorter than 4 GiB, which the bus's bounds see to.
    pub fn push(&mut self, push: &Push) {
        let (target, uid) = match &push.target {
            Target::Uid(uid) => (0, uid.as_str()),
            Target::Anonymous => (1, ""),
            Target::All => (2, ""),
        };
        let (filter, client) = match &push.filter {
            Filter::None => (0, ""),
            Filter::Only(client) => (1, client.as_str()),
            Filter::Except(client) => (2, client.as_str()),
        };
        let (codec, event) = &push.event;
        let bytes = &mut self.bytes;
        bytes.reserve(item_bytes(push));
        bytes.put_u8(target | flags(push));
        put_short(bytes, uid);
        bytes.put_u8(filter);
        put_short(bytes, client);
        bytes.put_u128_le(push.id);
        bytes.put_u8(match codec {
            Codec::Json => 0,
            Codec::Cbor => 1,
        });
        bytes.put_u32_le(u32::try_from(event.len()).unwrap_or(u32::MAX));
        bytes.put_slice(event);
        self.count += 1;
    }

    /// Pushes written so far.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Bytes written so far, head included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no push was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The batch, ready for the bus.
    #[must_use]
    pub fn finish(mut self, publisher: u128, seq: u64) -> Bytes {
        let mut head = &mut self.bytes[..HEADER_BYTES];
        head.put_u8(VERSION);
        head.put_u128_le(publisher);
        head.put_u64_le(seq);
        head.put_u16_le(self.count);
        self.bytes.freeze()
    }
}

impl Default for Writer {
    fn default() -> Self {
        Writer::new()
    }
}

// A uid has at most 256 bytes and a client id 64: their types say so.
fn put_short(bytes: &mut BytesMut, text: &str) {
    bytes.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
    bytes.put_slice(text.as_bytes());
}

/// Bytes that `push` takes in a batch.
#[must_use]
pub fn item_bytes(push: &Push) -> usize {
    let uid = match &push.target {
        Target::Uid(uid) => uid.as_str().len(),
        Target::Anonymous | Target::All => 0,
    };
    let client = match &push.filter {
        Filter::Only(client) | Filter::Except(client) => client.as_str().len(),
        Filter::None => 0,
    };
    ITEM_BYTES + uid + client + push.event.1.len()
}

/// Writes a whole batch.
///
/// # Panics
/// With more than [`MAX_PUSHES`] pushes.
#[must_use]
pub fn encode<'a>(publisher: u128, seq: u64, pushes: impl IntoIterator<Item = &'a Push>) -> Bytes {
    let mut writer = Writer::new();
    for push in pushes {
        assert!(
            writer.count() < MAX_PUSHES,
            "more pushes than a batch can number"
        );
        writer.push(push);
    }
    writer.finish(publisher, seq)
}

/// Reads the head and gives a reader of the pushes behind it. Nothing is allocated.
///
/// # Errors
/// [`ErrorCode::UNDECODABLE`] for another version (a later one may mean anything) and for less
/// than a head.
pub fn decode(mut bytes: Bytes) -> Result<(Head, Reader), Refusal> {
    if bytes.first().is_some_and(|version| *version != VERSION) {
        return Err(Refusal::new(
            ErrorCode::UNDECODABLE,
            "batch of another version",
        ));
    }
    if bytes.len() < HEADER_BYTES {
        return Err(Refusal::new(
            ErrorCode::UNDECODABLE,
            "batch without a whole head",
        ));
    }
    bytes.advance(1);
    let publisher = bytes.get_u128_le();
    let seq = bytes.get_u64_le();
    let count = bytes.get_u16_le();
    Ok((
        Head {
            publisher,
            seq,
            count,
        },
        Reader {
            bytes,
            left: count,
            broken: false,
        },
    ))
}

/// The pushes of a batch, one by one. A push that is complete but wrong is an error of its own
/// and the next one is read; behind a torn one nothing can be found again: one error for the rest.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
    left: u16,
    broken: bool,
}

impl Iterator for Reader {
    type Item = Result<Push, Refusal>;

    fn next(&mut self) -> Option<Result<Push, Refusal>> {
        if self.broken {
            return None;
        }
        if self.left == 0 {
            if self.bytes.is_empty() {
                return None;
            }
            self.broken = true;
            return Some(Err(Refusal::new(
                ErrorCode::UNDECODABLE,
                "bytes behind the last push",
            )));
        }
        self.left -= 1;
        match RawItem::take(&mut self.bytes) {
            Some(item) => Some(item.read()),
            None => {
                self.broken = true;
                Some(Err(Refusal::new(
                    ErrorCode::UNDECODABLE,
                    "batch is cut off",
                )))
            }
        }
    }
}

/// A push whose lengths add up.
struct RawItem {
    target: u8,
    uid: Bytes,
    filter: u8,
    client: Bytes,
    id: u128,
    codec: u8,
    event: Bytes,
}

impl RawItem {
    fn take(bytes: &mut Bytes) -> Option<RawItem> {
        let target = bytes.try_get_u8().ok()?;
        let uid = take_short(bytes)?;
        let filter = bytes.try_get_u8().ok()?;
        let client = take_short(bytes)?;
        let id = bytes.try_get_u128_le().ok()?;
        let codec = bytes.try_get_u8().ok()?;
        let len = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
        let event = take(bytes, len)?;
        Some(RawItem {
            target,
            uid,
            filter,
            client,
            id,
            codec,
            event,
        })
    }

    fn read(self) -> Result<Push, Refusal> {
        let bad = |what: &str| Refusal::new(ErrorCode::BAD_EVENT, what);
        let target = match (self.target & !(REPORT | FLUSH), self.uid.is_empty()) {
            (0, _) => Target::Uid(Uid::parse(text(&self.uid)?)?),
            (1, true) => Target::Anonymous,
            (2, true) => Target::All,
            (1 | 2, false) => return Err(bad("push with a uid to a target that has none")),
            _ => return Err(bad("push to an unknown target")),
        };
        let filter = match (self.filter, self.client.is_empty()) {
            (0, true) => Filter::None,
            (1, _) => Filter::Only(ClientId::parse(text(&self.client)?)?),
            (2, _) => Filter::Except(ClientId::parse(text(&self.client)?)?),
            (0, false) => return Err(bad("push with a client and no filter")),
            _ => return Err(bad("push with an unknown filter")),
        };
        let codec = match self.codec {
            0 => Codec::Json,
            1 => Codec::Cbor,
            _ => return Err(bad("push in an unknown codec")),
        };
        let report = self.target & REPORT != 0;
        let flush = self.target & FLUSH != 0;
        Ok(Push {
            target,
            filter,
            id: self.id,
            report,
            flush,
            event: (codec, self.event),
        })
    }
}

/// What a push wants beside its target.
fn flags(push: &Push) -> u8 {
    (if push.report { REPORT } else { 0 }) | (if push.flush { FLUSH } else { 0 })
}

fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes)
        .map_err(|_| Refusal::new(ErrorCode::BAD_ID, "name in a push is not utf-8"))
}

fn take_short(bytes: &mut Bytes) -> Option<Bytes> {
    let len = usize::from(bytes.try_get_u16_le().ok()?);
    take(bytes, len)
}

fn take(bytes: &mut Bytes, len: usize) -> Option<Bytes> {
    (bytes.len() >= len).then(|| bytes.split_to(len))
}

#[cfg(test)]
mod tests;
