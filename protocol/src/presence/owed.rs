//! What the former teller has told and its application's handlers may not have run for: a node that takes over runs them.

use std::collections::VecDeque;

use super::feed::{Feed, Said, Stream};
use crate::ids::Uid;

/// The most users kept. A teller says within 5 s what has been handled; so many changes in 5 s
/// come only with the beginning of a large cluster, whose oldest are then forgotten.
const MAX_OWED: usize = 1 << 16;

/// Changes that nobody has said are handled, in the order in which they were heard.
#[derive(Debug, Default)]
pub(super) struct Owed {
    changes: VecDeque<Change>,
    users: usize,
    /// The stream that speaks, and the first number heard of it this time.
    current: Option<(Stream, u64)>,
    forgotten: u64,
}

#[derive(Debug)]
struct Change {
    stream: Stream,
    n: u64,
    opens: Vec<Uid>,
    closes: Vec<Uid>,
}

impl Owed {
    /// Notes a message of another teller; `news`: it was no repetition.
    pub(super) fn hear(&mut self, feed: &Feed, news: bool) {
        if self
            .current
            .as_ref()
            .is_none_or(|(stream, _)| *stream != feed.stream)
        {
            self.current = Some((feed.stream.clone(), feed.n));
        }
        let since = self.current.as_ref().map_or(0, |(_, since)| *since);
        // A teller first runs what its predecessors owe.
        let all_before = feed.handled >= since;
        let done = |change: &Change| match change.stream == feed.stream {
            true => change.n <= feed.handled,
            false => all_before,
        };
        self.changes.retain(|change| !done(change));
        if let (true, Said::Change { opens, closes }) = (news, &feed.said) {
            self.changes.push_back(Change {
                stream: feed.stream.clone(),
                n: feed.n,
                opens: opens.clone(),
                closes: closes.clone(),
            });
        }
        self.users = self.changes.iter().map(Change::users).sum();
        while self.users > MAX_OWED
            && let Some(oldest) = self.changes.pop_front()
        {
            self.users -= oldest.users();
            self.forgotten += 1;
        }
    }

    /// Takes it all: this node tells now.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (Vec<Uid>, Vec<Uid>)> + use<> {
        self.current = None;
        self.users = 0;
        let changes = std::mem::take(&mut self.changes);
        changes
            .into_iter()
            .map(|change| (change.opens, change.closes))
    }

    /// Changes whose handlers may have run nowhere, because there were too many.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

impl Change {
    fn users(&self) -> usize {
        self.opens.len() + self.closes.len()
    }
}
