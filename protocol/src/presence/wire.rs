//! Reads and writes the CBOR arrays `[version, kind, …]` of presence, without building values: a snapshot of a million users is read where it stands.

use bytes::Bytes;

use super::{Epoch, Kinds, VERSION};
use crate::cbor::{self, ARRAY, SIMPLE, TEXT, UNSIGNED};
use crate::flaw::Budget;
use crate::ids::{NodeId, Uid};
use crate::limits::Limits;

/// What one message may be: four times what any node writes, and what NATS carries by default.
pub(super) const MAX_BYTES: usize = 1 << 20;

const FALSE: u64 = 20;
const TRUE: u64 = 21;
const NULL: u64 = 22;

/// A message of presence that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Of a later version: a node that is newer than this one. Ignore it, and count it.
    #[error("version {0} of the presence messages is not known")]
    Version(u64),
    /// Another kind of message.
    #[error("kind {0} is no presence message")]
    Kind(u64),
    /// Larger than any node writes.
    #[error("the presence message is larger than 1 MiB")]
    TooLarge,
    /// Truncated, or with a field that is not what it should be.
    #[error("the presence message is malformed: {0}")]
    Malformed(&'static str),
}

/// Writes one message, field by field.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Begins a message of `fields` fields behind version and kind.
    pub(super) fn message(kind: u64, fields: u64) -> Writer {
        let mut writer = Writer(Vec::new());
        writer.list(fields + 2);
        writer.number(VERSION);
        writer.number(kind);
        writer
    }

    pub(super) fn list(&mut self, items: u64) {
        cbor::write_head(ARRAY, items, &mut self.0);
    }

    pub(super) fn number(&mut self, number: u64) {
        cbor::write_head(UNSIGNED, number, &mut self.0);
    }

    pub(super) fn text(&mut self, text: &str) {
        cbor::write_head(TEXT, text.len() as u64, &mut self.0);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn truth(&mut self, truth: bool) {
        self.simple(if truth { TRUE } else { FALSE });
    }

    pub(super) fn null(&mut self) {
        self.simple(NULL);
    }

    fn simple(&mut self, value: u64) {
        cbor::write_head(SIMPLE, value, &mut self.0);
    }

    /// `[uid, kinds, uid, kinds, …]`.
    pub(super) fn changes(&mut self, changes: &[(Uid, Kinds)]) {
        self.list(changes.len() as u64 * 2);
        for (uid, kinds) in changes {
            self.text(uid.as_str());
            self.number(u64::from(kinds.code()));
        }
    }

    pub(super) fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    pub(super) fn done(self) -> Bytes {
        self.0.into()
    }
}

type Read<T> = Result<T, BadMessage>;

/// Reads one message, field by field.
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Fields of the message that have not been read.
    left: u64,
}

impl<'b> Reader<'b> {
    /// The kind of the message, and its fields.
    pub(super) fn message(bytes: &'b [u8]) -> Read<(u64, Reader<'b>)> {
        if bytes.len() > MAX_BYTES {
            return Err(BadMessage::TooLarge);
        }
        let mut reader = Reader {
            bytes,
            at: 0,
            left: 0,
        };
        reader.left = reader.list()?;
        match reader.field(Reader::number)? {
            VERSION => Ok((reader.field(Reader::number)?, reader)),
            other => Err(BadMessage::Version(other)),
        }
    }

    /// One field of the message itself.
    pub(super) fn field<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        let left = self.left.checked_sub(1);
        self.left = left.ok_or(BadMessage::Malformed("a field is missing"))?;
        read(self)
    }

    /// Steps over fields of a later time; nothing may follow the message.
    pub(super) fn end(mut self) -> Read<()> {
        const LIMITS: Limits = Limits {
            max_bytes: MAX_BYTES,
            max_depth: 8,
            max_elements: MAX_BYTES,
        };
        while self.left > 0 {
            self.left -= 1;
            self.at = cbor::skip(self.bytes, self.at, &mut Budget::new(&LIMITS))
                .map_err(|_| BadMessage::Malformed("not cbor"))?;
        }
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(BadMessage::Malformed("more bytes after the message"))
        }
    }

    /// The argument of the head that comes next, which must be of this type.
    fn head(&mut self, major: u8, what: &'static str) -> Read<u64> {
        match cbor::head(self.bytes, self.at) {
            Ok(head) if head.major == major => {
                self.at = head.end;
                head.argument.ok_or(BadMessage::Malformed(what))
            }
            _ => Err(BadMessage::Malformed(what)),
        }
    }

    /// How many items follow: never more than there are bytes.
    pub(super) fn list(&mut self) -> Read<u64> {
        let items = self.head(ARRAY, "a list is missing")?;
        if items > (self.bytes.len() - self.at) as u64 {
            return Err(BadMessage::Malformed("a list is cut"));
        }
        Ok(items)
    }

    /// How many pairs follow.
    pub(super) fn pairs(&mut self) -> Read<usize> {
        match self.list()? {
            items if items % 2 == 0 => Ok((items / 2) as usize),
            _ => Err(BadMessage::Malformed("half a pair")),
        }
    }

    pub(super) fn number(&mut self) -> Read<u64> {
        self.head(UNSIGNED, "a number is missing")
    }

    pub(super) fn small(&mut self) -> Read<u32> {
        u32::try_from(self.number()?).map_err(|_| BadMessage::Malformed("a number is too large"))
    }

    pub(super) fn truth(&mut self) -> Read<bool> {
        match self.head(SIMPLE, "a truth is missing")? {
            FALSE => Ok(false),
            TRUE => Ok(true),
            _ => Err(BadMessage::Malformed("a truth is missing")),
        }
    }

    /// Whether null comes next; steps over it if so.
    fn null(&mut self) -> bool {
        let null = self.bytes.get(self.at) == Some(&(SIMPLE << 5 | NULL as u8));
        self.at += usize::from(null);
        null
    }

    /// Null, or what `read` reads.
    pub(super) fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<Option<T>> {
        if self.null() {
            Ok(None)
        } else {
            read(self).map(Some)
        }
    }

    pub(super) fn text(&mut self) -> Read<&'b str> {
        let length = self.head(TEXT, "a text is missing")?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let end = self.at.checked_add(length);
        let text = end.and_then(|end| self.bytes.get(self.at..end));
        let text = text.ok_or(BadMessage::Malformed("a text is cut"))?;
        self.at += length;
        simdutf8::basic::from_utf8(text).map_err(|_| BadMessage::Malformed("text is not utf-8"))
    }

    pub(super) fn node(&mut self) -> Read<NodeId> {
        NodeId::parse(self.text()?).map_err(|_| BadMessage::Malformed("node id"))
    }

    pub(super) fn uid(&mut self) -> Read<Uid> {
        Uid::parse(self.text()?).map_err(|_| BadMessage::Malformed("uid"))
    }

    pub(super) fn epoch(&mut self) -> Read<Epoch> {
        self.number().map(Epoch)
    }

    pub(super) fn kinds(&mut self) -> Read<Kinds> {
        Kinds::from_code(self.number()?).ok_or(BadMessage::Malformed("kinds"))
    }

    /// `[uid, kinds, uid, kinds, …]`.
    pub(super) fn changes(&mut self) -> Read<Vec<(Uid, Kinds)>> {
        let pairs = self.pairs()?;
        (0..pairs)
            .map(|_| Ok((self.uid()?, self.kinds()?)))
            .collect()
    }
}
