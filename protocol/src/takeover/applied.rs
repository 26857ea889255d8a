//! What a node, or a session that moved lately, has already: how the next one avoids a second copy.

use std::collections::BTreeMap;

use super::fields::{self, BadMessage, Fields, number, wide};
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
    /// Contents and their age in milliseconds, oldest first.
    pub(crate) contents: Vec<(u128, u64)>,
    /// How far back `contents` is complete, in milliseconds.
    pub(crate) reach_ms: u64,
}

/// How far a publisher's stream has been applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Upto {
    pub(crate) last: Place,
    /// What is missing before `last`: from behind the first place up to and including the second.
    pub(crate) holes: Vec<(Place, Place)>,
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
        contents: Vec<(u128, u64)>,
        reach_ms: u64,
    ) -> Applied {
        let upto = |last| Upto {
            last,
            holes: Vec::new(),
        };
        Applied {
            publishers: publishers
                .map(|(publisher, last)| (publisher, upto(last)))
                .collect(),
            singles: Vec::new(),
            messages,
            contents,
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
            Value::Array(head.chain(holes).collect())
        });
        let aged = |list: &[(u128, u64)]| {
            let list = list.iter();
            Value::Array(
                list.flat_map(|(id, age)| [wide(*id), number(*age)])
                    .collect(),
            )
        };
        Value::Array(vec![
            Value::Array(publishers.collect()),
            Value::Array(self.singles.iter().map(fields::identity).collect()),
            aged(&self.messages),
            aged(&self.contents),
            number(self.reach_ms),
        ])
    }

    pub(super) fn read(mut fields: Fields) -> Result<Applied, BadMessage> {
        let publishers = fields.list()?.all(|list| {
            let mut fields = list.list()?;
            let publisher = fields.wide()?;
            let last = place(&mut fields)?;
            let holes = fields.all(|fields| Ok((place(fields)?, place(fields)?)))?;
            Ok((publisher, Upto { last, holes }))
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
            contents: aged(&mut fields)?,
            reach_ms: fields.number()?,
        })
    }
}

fn place(fields: &mut Fields) -> Result<Place, BadMessage> {
    Ok(Place {
        seq: fields.number()?,
        index: fields.small()?,
    })
}
