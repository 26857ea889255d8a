//! Where a session of another node is: where it was last found, else at the node in its id, else where all say it is.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tengen_protocol::{Millis, NodeId, SessionId};

/// Places remembered at most; about 200 bytes each.
const MAX_REMEMBERED: usize = 100_000;

/// What a node knows of sessions that are not its own.
///
/// A place is believed for `ttl` after it was last right. Being wrong costs one question more.
pub(crate) struct Locate {
    ttl: Duration,
    max: usize,
    places: Mutex<Places>,
}

/// Two generations, so that forgetting costs nothing: when the younger one is full it becomes the
/// older, and the older one is dropped whole.
#[derive(Default)]
struct Places {
    young: HashMap<SessionId, (NodeId, Millis)>,
    old: HashMap<SessionId, (NodeId, Millis)>,
    turned: Millis,
}

impl Locate {
    pub(crate) fn new(ttl: Duration) -> Locate {
        Locate::bounded(ttl, MAX_REMEMBERED)
    }

    fn bounded(ttl: Duration, max: usize) -> Locate {
        Locate {
            ttl,
            max,
            places: Mutex::default(),
        }
    }

    /// Where `session` was last found, unless that was too long ago.
    pub(crate) fn remembered(&self, session: &SessionId, now: Millis) -> Option<NodeId> {
        let places = self.places.lock();
        let (node, at) = places.young.get(session).or(places.old.get(session))?;
        (now - *at < self.ttl).then(|| node.clone())
    }

    /// It was found at `node`.
    pub(crate) fn found(&self, session: &SessionId, node: &NodeId, now: Millis) {
        let mut places = self.places.lock();
        let known = places.young.contains_key(session);
        if !known && (places.young.len() >= self.max / 2 || now - places.turned >= self.ttl) {
            // Whatever is in the older one is older than a ttl, or over the bound.
            places.old = std::mem::take(&mut places.young);
            places.turned = now;
        }
        places.young.insert(session.clone(), (node.clone(), now));
    }

    /// It is not, or no longer, where it was remembered to be.
    pub(crate) fn lost(&self, session: &SessionId) {
        let mut places = self.places.lock();
        places.young.remove(session);
        places.old.remove(session);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let places = self.places.lock();
        places.young.len() + places.old.len()
    }
}
