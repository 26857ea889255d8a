//! JSON objects, member by member: how the messages of the feed are written and read.

use bytes::Bytes;

use super::{LIMITS, Read, Stream};
use crate::codec::Codec;
use crate::data::Data;
use crate::ids::{NodeId, Uid};
use crate::json;
use crate::presence::same::{Have, MAX_RANGES, Sum};
use crate::presence::{BadMessage, Epoch, VERSION};
use crate::value::Value;

pub(super) const MISSING: BadMessage = BadMessage::Malformed("a member is missing");

/// A JSON object being written.
pub(super) struct Object(pub(super) Vec<u8>);

impl Object {
    pub(super) fn begin(stream: &Stream, n: u64) -> Object {
        let mut out = Object(b"{\"version\":1".to_vec());
        out.text("teller", stream.teller.as_str());
        out.number("epoch", stream.epoch.0);
        out.number("n", n);
        out
    }

    pub(super) fn key(&mut self, key: &str) {
        self.0.push(b',');
        json::write_text(key, &mut self.0);
        self.0.push(b':');
    }

    pub(super) fn raw(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.0.extend_from_slice(value);
    }

    pub(super) fn number(&mut self, key: &str, number: u64) {
        self.raw(key, number.to_string().as_bytes());
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        json::write_text(text, &mut self.0);
    }

    pub(super) fn uids(&mut self, key: &str, uids: &[Uid]) {
        self.key(key);
        self.0.push(b'[');
        for (index, uid) in uids.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            json::write_text(uid.as_str(), &mut self.0);
        }
        self.0.push(b']');
    }

    /// `{"users", "digest", "upto": [[uid, users, digest]…]}`, a digest as 32 hexadecimal digits.
    pub(super) fn have(&mut self, have: &Have) {
        let Have { all, upto } = have;
        let text = format!(
            "{{\"users\":{},\"digest\":\"{:032x}\"",
            all.users, all.digest
        );
        self.raw("have", text.as_bytes());
        if !upto.is_empty() {
            self.raw("upto", b"[");
            for (index, (uid, sum)) in upto.iter().enumerate() {
                self.0
                    .extend_from_slice(if index > 0 { b",[" } else { b"[" });
                json::write_text(uid.as_str(), &mut self.0);
                let sum = format!(",{},\"{:032x}\"]", sum.users, sum.digest);
                self.0.extend_from_slice(sum.as_bytes());
            }
            self.0.push(b']');
        }
        self.0.push(b'}');
    }

    pub(super) fn end(mut self) -> Bytes {
        self.0.push(b'}');
        self.0.into()
    }
}

/// The members of a JSON object that was read, each taken once.
pub(super) struct Members(pub(super) Vec<(Value, Value)>);

impl Members {
    pub(super) fn read(bytes: &Bytes) -> Read<Members> {
        let Value::Map(members) = value(Codec::Json, bytes)? else {
            return Err(BadMessage::Malformed("not an object"));
        };
        let mut members = Members(members);
        match members.take("version") {
            None => {}
            version => check_version(version.as_ref())?,
        }
        Ok(members)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        let is_it = |(name, _): &(Value, Value)| matches!(name, Value::Text(name) if name == key);
        let at = self.0.iter().position(is_it)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(super) fn number(&mut self, key: &str) -> Read<u64> {
        self.take(key).as_ref().map_or(Err(MISSING), number)
    }

    pub(super) fn optional_number(&mut self, key: &str) -> Read<Option<u64>> {
        self.take(key).as_ref().map(number).transpose()
    }

    pub(super) fn optional_uid(&mut self, key: &str) -> Read<Option<Uid>> {
        match self.take(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => uid(value).map(Some),
        }
    }

    /// What an asker has behind `after`: its ranges are in order, each with more users than the one before.
    pub(super) fn have(mut self, after: Option<&Uid>) -> Read<Have> {
        let digest = self.take("digest").ok_or(MISSING)?;
        let mut have = Have {
            all: sum(self.number("users")?, &digest)?,
            upto: Vec::new(),
        };
        let Some(upto) = self.take("upto") else {
            return Ok(have);
        };
        let Value::Array(upto) = upto else {
            return Err(BadMessage::Malformed("ranges are missing"));
        };
        if upto.len() > MAX_RANGES {
            return Err(BadMessage::Malformed("too many ranges"));
        }
        for range in upto {
            let Value::Array(mut range) = range else {
                return Err(BadMessage::Malformed("a range is missing"));
            };
            let mut next = || (!range.is_empty()).then(|| range.remove(0)).ok_or(MISSING);
            let (until, users) = (uid(next()?)?, number(&next()?)?);
            let sum = sum(users, &next()?)?;
            let before = have.upto.last();
            let behind = before.map(|(uid, _)| uid).or(after) < Some(&until);
            if !behind || before.is_some_and(|(_, before)| before.users >= users) {
                return Err(BadMessage::Malformed("ranges that are not in order"));
            }
            have.upto.push((until, sum));
        }
        Ok(have)
    }

    pub(super) fn stream(&mut self) -> Read<Stream> {
        let Some(Value::Text(teller)) = self.take("teller") else {
            return Err(MISSING);
        };
        Ok(Stream {
            teller: NodeId::parse(&teller).map_err(|_| BadMessage::Malformed("node id"))?,
            epoch: Epoch(self.number("epoch")?),
        })
    }
}

pub(super) fn value(codec: Codec, bytes: &Bytes) -> Read<Value> {
    // Checked first, because a value takes fifty times the bytes of its encoding.
    Data::checked(codec, bytes.clone(), &LIMITS)
        .and_then(|data| data.value())
        .map_err(|_| BadMessage::Malformed("not one value, or too much of it"))
}

pub(super) fn check_version(version: Option<&Value>) -> Read<()> {
    match version.map_or(Err(MISSING), number)? {
        VERSION => Ok(()),
        other => Err(BadMessage::Version(other)),
    }
}

pub(super) fn number(value: &Value) -> Read<u64> {
    let Value::Int(number) = *value else {
        return Err(BadMessage::Malformed("a number is missing"));
    };
    u64::try_from(number).map_err(|_| BadMessage::Malformed("a number is negative"))
}

pub(super) fn uid(value: Value) -> Read<Uid> {
    match value {
        Value::Text(text) => Uid::parse(&text).map_err(|_| BadMessage::Malformed("uid")),
        _ => Err(BadMessage::Malformed("a uid is missing")),
    }
}

pub(super) fn uids(value: Value) -> Read<Vec<Uid>> {
    match value {
        Value::Array(values) => values.into_iter().map(uid).collect(),
        _ => Err(BadMessage::Malformed("a list is missing")),
    }
}

fn sum(users: u64, digest: &Value) -> Read<Sum> {
    let digest = match digest {
        Value::Text(digest) if digest.len() == 32 && !digest.starts_with('+') => {
            u128::from_str_radix(digest, 16).ok()
        }
        _ => None,
    };
    let digest = digest.ok_or(BadMessage::Malformed("a digest has not 32 digits"))?;
    Ok(Sum { users, digest })
}
