//! What nearly every session has none of: one word each, where an empty collection takes three.

use std::collections::BTreeSet;

use crate::out_frame::OutFrame;

/// Refs of requests that wait for their one answer.
#[derive(Debug, Default)]
#[expect(
    clippy::box_collection,
    reason = "none is the rule, see the file's doc"
)]
pub(super) struct Refs(Option<Box<BTreeSet<u32>>>);

impl Refs {
    pub(super) fn insert(&mut self, request: u32) {
        self.0.get_or_insert_default().insert(request);
    }

    /// False: it did not wait.
    pub(super) fn remove(&mut self, request: u32) -> bool {
        let removed = self.0.as_mut().is_some_and(|refs| refs.remove(&request));
        if self.is_empty() {
            self.0 = None;
        }
        removed
    }

    pub(super) fn contains(&self, request: u32) -> bool {
        self.0.as_ref().is_some_and(|refs| refs.contains(&request))
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |refs| refs.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|refs| refs.iter().copied())
    }
}

impl FromIterator<u32> for Refs {
    fn from_iter<I: IntoIterator<Item = u32>>(requests: I) -> Refs {
        let refs: BTreeSet<u32> = requests.into_iter().collect();
        Refs((!refs.is_empty()).then(|| Box::new(refs)))
    }
}

/// Frames that go before the items, and belong to a connection.
#[derive(Debug, Default)]
#[expect(
    clippy::box_collection,
    reason = "none is the rule, see the file's doc"
)]
pub(super) struct Control(Option<Box<Vec<OutFrame>>>);

impl Control {
    pub(super) fn push(&mut self, frame: OutFrame) {
        self.0.get_or_insert_default().push(frame);
    }

    /// Puts a frame before all others.
    pub(super) fn push_first(&mut self, frame: OutFrame) {
        self.0.get_or_insert_default().insert(0, frame);
    }

    /// The first one alone.
    pub(super) fn take_first(&mut self) -> Option<OutFrame> {
        let frames = self.0.as_mut().filter(|frames| !frames.is_empty())?;
        let first = frames.remove(0);
        if frames.is_empty() {
            self.0 = None;
        }
        Some(first)
    }

    pub(super) fn take_all(&mut self) -> Vec<OutFrame> {
        self.0.take().map_or_else(Vec::new, |frames| *frames)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|frames| frames.is_empty())
    }
}
