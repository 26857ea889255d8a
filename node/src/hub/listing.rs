//! Lists of this node's sessions for people who look for a mistake: who, by what, since when, how full.

use std::collections::BinaryHeap;
use std::sync::Arc;

use tengen_protocol::presence::who::Client;
use tengen_protocol::server::Standing;
use tengen_protocol::{Millis, Uid};

use super::Hub;
use super::members::Crowd;
use super::port::Port;
use crate::handlers::service::session_hash;

/// One session in a list of all.
pub(crate) struct Listed {
    /// The place in the list, to go on from.
    pub number: u64,
    pub uid: Option<Uid>,
    pub client: Client,
}

/// Ordered by number, so that a heap of them gives up the highest first.
struct ByNumber(Arc<Port>);

impl Hub {
    /// Up to `limit` sessions that this node has, in the order in which they came, those behind the
    /// number `after`. Walks over all of them: some 20 ms for a million.
    pub(crate) fn list(&self, after: Option<u64>, limit: usize) -> Vec<Listed> {
        let (mut lowest, mut ports) = (BinaryHeap::with_capacity(limit + 1), Vec::new());
        for shard in 0..Crowd::SHARDS {
            self.groups().all().shard(shard).collect_into(&mut ports);
            for port in ports.drain(..) {
                if after.is_none_or(|after| port.number > after) {
                    lowest.push(ByNumber(port));
                    if lowest.len() > limit {
                        lowest.pop();
                    }
                }
            }
        }
        let now = self.now();
        let lowest = lowest.into_sorted_vec().into_iter();
        let listed = lowest.filter_map(|ByNumber(port)| {
            Some(Listed {
                number: port.number,
                uid: port.uid.clone(),
                client: describe(&port, now)?,
            })
        });
        listed.collect()
    }

    /// The sessions of one user here, the first `limit` of them, and whether that is all.
    pub(crate) fn clients(&self, uid: &Uid, limit: usize) -> (Vec<Client>, bool) {
        let mut ports = Vec::new();
        if let Some(user) = self.groups().user(uid) {
            user.collect_into(&mut ports);
        }
        ports.sort_unstable_by_key(|port| port.number);
        let now = self.now();
        let mut clients = ports.iter().filter_map(|port| describe(port, now));
        let listed = clients.by_ref().take(limit).collect();
        (listed, clients.next().is_none())
    }
}

/// `None` of a session that is elsewhere, or over.
fn describe(port: &Port, now: Millis) -> Option<Client> {
    let hash = session_hash(&port.id);
    port.with(|inner| {
        let session = &inner.session;
        let here = matches!(session.standing(), Standing::Home | Standing::Frozen);
        (here && !session.is_over()).then(|| Client {
            client: port.client.clone(),
            session: hash,
            transport: session.transport(),
            attached: session.link().is_some(),
            age_ms: now.0.saturating_sub(port.since.0),
            idle_ms: now.0.saturating_sub(session.last_heard().0),
            queue_items: session.queue_items(),
            queue_bytes: session.queue_bytes() as u64,
        })
    })
}

impl PartialEq for ByNumber {
    fn eq(&self, other: &ByNumber) -> bool {
        self.0.number == other.0.number
    }
}

impl Eq for ByNumber {}

impl PartialOrd for ByNumber {
    fn partial_cmp(&self, other: &ByNumber) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByNumber {
    fn cmp(&self, other: &ByNumber) -> std::cmp::Ordering {
        self.0.number.cmp(&other.0.number)
    }
}
