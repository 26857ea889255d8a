//! What a node, or a session that moved lately, has already: how the next one avoids a second copy.

use std::collections::BTreeMap;

use super::equals::{Base, Equal};
use super::fields::{self, BadMessage, Fields, number, text, wide};
use super::{Identity, Place};
use crate::value::Value;

/// What has been applied: per publisher up to where, and who the other pushes were.
///
/// Made by [`super::Journal::extract`]; goes into the answer to a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub(crate) publishers: BTreeMap<u128, Upto>,
    /// Pushes beyond that, one by one: a former holder forwarded them and the node's own copies
    /// have not come.
    pub(crate) singles: Vec<Identity>,
    /// Message ids and their age in milliseconds, oldest first.
    pub(crate) messages: Vec<(u128, u64)>,
    /// Contents heard, oldest first.
    pub(crate) contents: Vec<HeardContent>,
    /// By content, what a session has that moved lately; of others, `contents` says it.
    pub(crate) equals: BTreeMap<u128, Equal>,
    /// How far back `contents` is complete, in milliseconds.
    pub(crate) reach_ms: u64,
}

/// A push that only its content names, as a node heard it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeardContent {
    pub(crate) content: u128,
    /// The node's own count.
    pub(crate) count: u64,
    /// How long ago, in milliseconds.
    pub(crate) age: u64,
}

/// How far a publisher's stream has been applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Upto {
    pub(crate) last: Place,
    /// What is missing before `last`: from behind the first place up to and including the second.
    pub(crate) holes: Vec<(Place, Place)>,
    /// Of those up to here the session has been told by a gap, or they were for nobody.
    pub(crate) told: Place,
}

impl Upto {
    pub(crate) fn has(&self, place: Place) -> bool {
        place <= self.last
            && !self
                .holes
                .iter()
                .any(|(after, upto)| place > *after && place <= *upto)
    }
}

impl Applied {
    pub(crate) fn new(
        publishers: impl Iterator<Item = (u128, Place)>,
        messages: Vec<(u128, u64)>,
        contents: Vec<HeardContent>,
        reach_ms: u64,
    ) -> Applied {
        let upto = |last| Upto {
            last,
            ..Upto::default()
        };
        Applied {
            publishers: publishers
                .map(|(publisher, last)| (publisher, upto(last)))
                .collect(),
            singles: Vec::new(),
            messages,
            contents,
            equals: BTreeMap::new(),
            reach_ms,
        }
    }

    pub(super) fn write(&self) -> Value {
        let place = |place: Place| [number(place.seq), number(u64::from(place.index))];
        let publishers = self.publishers.iter().map(|(publisher, upto)| {
            let holes = upto.holes.iter();
            let holes =
                holes.flat_map(|(after, upto)| place(*after).into_iter().chain(place(*upto)));
            let head = [wide(*publisher)].into_iter().chain(place(upto.last));
            let told = Some(upto.told).filter(|told| *told != Place::default());
            let told = told.into_iter().flat_map(place);
            Value::Array(head.chain(holes).chain(told).collect())
        });
        let aged = |list: &[(u128, u64)]| {
            let list = list.iter();
            Value::Array(
                list.flat_map(|(id, age)| [wide(*id), number(*age)])
                    .collect(),
            )
        };
        let equals = self.equals.iter().map(|(content, equal)| {
            let others = equal.others.iter();
            let others = others.flat_map(|(node, other)| {
                let [kind, value] = base(*other);
                [text(node.as_str()), kind, value]
            });
            let had = equal.had.iter().map(|index| number(*index));
            let [kind, value] = base(equal.own);
            Value::Array(vec![
                wide(*content),
                kind,
                value,
                Value::Array(others.collect()),
                Value::Array(had.collect()),
            ])
        });
        let contents = self.contents.iter();
        let contents = contents
            .flat_map(|heard| [wide(heard.content), number(heard.count), number(heard.age)]);
        Value::Array(vec![
            Value::Array(publishers.collect()),
            Value::Array(self.singles.iter().map(fields::identity).collect()),
            aged(&self.messages),
            Value::Array(contents.collect()),
            number(self.reach_ms),
            Value::Array(equals.collect()),
        ])
    }

    pub(super) fn read(mut fields: Fields) -> Result<Applied, BadMessage> {
        let publishers = fields.list()?.all(|list| {
            let mut fields = list.list()?;
            let publisher = fields.wide()?;
            let last = place(&mut fields)?;
            let mut holes = Vec::new();
            while fields.left() > 2 {
                holes.push((place(&mut fields)?, place(&mut fields)?));
            }
            // Of most sessions, and by a node of an earlier version, nothing is said of it.
            let told = match fields.left() {
                0 => Place::default(),
                _ => place(&mut fields)?,
            };
            Ok((publisher, Upto { last, holes, told }))
        })?;
        let singles = fields.list()?.all(Fields::identity)?;
        let aged = |fields: &mut Fields| {
            let mut list = fields.list()?;
            list.all(|fields| Ok((fields.wide()?, fields.number()?)))
        };
        Ok(Applied {
            publishers: publishers.into_iter().collect(),
            singles,
            messages: aged(&mut fields)?,
            contents: fields.list()?.all(heard)?,
            reach_ms: fields.number()?,
            equals: fields.list()?.all(equal)?.into_iter().collect(),
        })
    }
}

fn equal(list: &mut Fields) -> Result<(u128, Equal), BadMessage> {
    let mut fields = list.list()?;
    let (content, own) = (fields.wide()?, read_base(&mut fields)?);
    let others = fields.list()?.all(|f| Ok((f.node()?, read_base(f)?)))?;
    let had = fields.list()?.all(Fields::number)?;
    let (others, had) = (others.into_iter().collect(), had.into_iter().collect());
    Ok((content, Equal { own, others, had }))
}

fn heard(fields: &mut Fields) -> Result<HeardContent, BadMessage> {
    Ok(HeardContent {
        content: fields.wide()?,
        count: fields.number()?,
        age: fields.number()?,
    })
}

fn base(base: Base) -> [Value; 2] {
    match base {
        Base::Known(base) => [number(0), number(base)],
        Base::Next(next) => [number(1), number(next)],
    }
}

fn read_base(fields: &mut Fields) -> Result<Base, BadMessage> {
    match fields.number()? {
        0 => Ok(Base::Known(fields.number()?)),
        1 => Ok(Base::Next(fields.number()?)),
        _ => Err(BadMessage::Malformed("a count")),
    }
}

fn place(fields: &mut Fields) -> Result<Place, BadMessage> {
    Ok(Place {
        seq: fields.number()?,
        index: fields.small()?,
    })
}
