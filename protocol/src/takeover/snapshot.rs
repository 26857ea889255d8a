//! All that a session is, as it travels from its holder to its taker in parts.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::applied::Applied;
use super::fields::{BadMessage, Fields, array, bytes, number, text};
use super::{PART_BYTES, VERSION, Way, fields};
use crate::data::Data;
use crate::ids::EventId;
use crate::limits::Limits;
use crate::value::Value;

/// A session at the moment of the cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// How many items the client has received; the first of `items` stands behind them.
    pub(crate) base: u64,
    /// Bodies of the frames in line, in the session's codec.
    pub(crate) items: Vec<Bytes>,
    /// Where the newest gap stands, and the newest answer to a refused item.
    pub(crate) gap_at: u64,
    pub(crate) answer_at: u64,
    /// Items of the client that were counted.
    pub(crate) received: u64,
    /// The position of the item whose handler runs, for how much longer it may, and where.
    pub(crate) running: Option<(u64, u64, Way)>,
    /// All requests that wait for their answer, those in the inbox included, and where they are.
    pub(crate) refs: BTreeMap<u32, Way>,
    /// Items that were counted and not started.
    pub(crate) inbox: Vec<CarriedItem>,
    pub(crate) applied: Applied,
    /// Refused frames of the client, and how long ago the first of them was, in milliseconds.
    pub(crate) errors: (u16, u64),
}

/// An item of the client on its way to another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CarriedItem {
    pub(crate) position: u64,
    /// For how long it has waited, in milliseconds.
    pub(crate) waited_ms: u64,
    pub(crate) id: EventId,
    pub(crate) data: Data,
    /// Of a request, its ref and how long its caller waits in all.
    pub(crate) request: Option<(u32, u64)>,
}

impl Snapshot {
    /// How many parts so many bytes make.
    pub(crate) fn parts(bytes: usize) -> usize {
        bytes.div_ceil(PART_BYTES).max(1)
    }

    pub(crate) fn encode(&self) -> Bytes {
        let (position, limit, way) = self.running.clone().unwrap_or_default();
        let one = |request: &u32| number(u64::from(*request));
        let mut by_way: BTreeMap<&Way, Vec<Value>> = BTreeMap::new();
        let elsewhere = self.refs.iter().filter(|(_, way)| way.last().is_some());
        for (request, way) in elsewhere {
            by_way.entry(way).or_default().push(one(request));
        }
        let ways = by_way.into_iter();
        let ways = ways.map(|(way, refs)| Value::Array(vec![way.write(), Value::Array(refs)]));
        array(vec![
            number(VERSION),
            number(self.base),
            number(self.gap_at),
            number(self.answer_at),
            number(self.received),
            number(position),
            number(limit),
            Value::Array(self.refs.keys().map(one).collect()),
            Value::Array(self.inbox.iter().map(CarriedItem::write).collect()),
            self.applied.write(),
            Value::Array(self.items.iter().map(bytes).collect()),
            number(u64::from(self.errors.0)),
            number(self.errors.1),
            way.write(),
            Value::Array(ways.collect()),
        ])
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Snapshot, BadMessage> {
        let mut fields = Fields::array(bytes)?;
        match fields.number()? {
            VERSION => {}
            other => return Err(BadMessage::Version(other)),
        }
        let (base, gap_at, answer_at) = (fields.number()?, fields.number()?, fields.number()?);
        let received = fields.number()?;
        let (position, limit) = (fields.number()?, fields.number()?);
        let refs = fields.list()?.all(Fields::small)?.into_iter();
        let mut refs: BTreeMap<u32, Way> = refs.map(|request| (request, Way::default())).collect();
        let inbox = fields.list()?.all(|list| CarriedItem::read(list.list()?))?;
        let applied = Applied::read(fields.list()?)?;
        let items = fields.list()?.all(Fields::bytes)?;
        // A node of an earlier version says nothing of them.
        let errors = match fields.left() {
            0 => (0, 0),
            _ => {
                let count = u16::try_from(fields.number()?).unwrap_or(u16::MAX);
                (count, fields.number()?)
            }
        };
        let mut way = Way::default();
        if fields.left() > 0 {
            way = Way::read(&mut fields)?;
            for (way, theirs) in fields.list()?.all(requests)? {
                for request in theirs {
                    *refs.get_mut(&request).ok_or(UNKNOWN)? = way.clone();
                }
            }
        }
        Ok(Snapshot {
            base,
            items,
            gap_at,
            answer_at,
            received,
            running: (position != 0).then_some((position, limit, way)),
            refs,
            inbox,
            applied,
            errors,
        })
    }
}

const UNKNOWN: BadMessage = BadMessage::Malformed("a request is not among the open ones");

/// A way, and whose answers take it.
fn requests(list: &mut Fields) -> Result<(Way, Vec<u32>), BadMessage> {
    let mut fields = list.list()?;
    Ok((Way::read(&mut fields)?, fields.list()?.all(Fields::small)?))
}

impl CarriedItem {
    fn write(&self) -> Value {
        let mut all = vec![
            number(self.position),
            number(self.waited_ms),
            text(self.id.as_str()),
            fields::codec(self.data.codec()),
            bytes(self.data.bytes()),
        ];
        if let Some((request, timeout_ms)) = self.request {
            all.extend([number(u64::from(request)), number(timeout_ms)]);
        }
        Value::Array(all)
    }

    fn read(mut fields: Fields) -> Result<CarriedItem, BadMessage> {
        let (position, waited_ms) = (fields.number()?, fields.number()?);
        let id = EventId::parse(&fields.text()?).map_err(|_| BadMessage::Malformed("event id"))?;
        let codec = fields.codec()?;
        let data = Data::checked(codec, fields.bytes()?, &Limits::from_server(0));
        let data = data.map_err(|_| BadMessage::Malformed("data"))?;
        let request = match fields.left() {
            0 => None,
            _ => Some((fields.small()?, fields.number()?)),
        };
        Ok(CarriedItem {
            position,
            waited_ms,
            id,
            data,
            request,
        })
    }
}
