//! Asks the nodes that a user is on with which clients, and answers the same question of others.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tengen_bus::Message;
use tengen_protocol::presence::BadMessage;
use tengen_protocol::presence::who::{Here, Who};
use tengen_protocol::{ErrorCode, NodeId, Refusal, Uid};

use super::Online;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::peers::Doors;

const DOOR: &str = "who";
/// Questions that may be answered at once; each is one look at one user's sessions.
const AT_ONCE: usize = 64;

/// Lets other nodes ask.
pub(crate) fn open_door(doors: &mut Doors, hub: &Arc<Hub>) {
    let hub = Arc::clone(hub);
    doors.on_question(DOOR, AT_ONCE, move |message: &Message| {
        let who = Who::decode(&message.body).map_err(|bad| refusal(&bad, hub.metrics()))?;
        let here = here(&hub, &who.uid).encode();
        Ok(async move { Some(here) }.boxed())
    });
}

fn refusal(bad: &BadMessage, metrics: &Metrics) -> Refusal {
    if matches!(bad, BadMessage::Version(_)) {
        metrics.online.unknown_version.increment();
    }
    Refusal::new(ErrorCode::UNDECODABLE, bad.to_string())
}

fn here(hub: &Hub, uid: &Uid) -> Here {
    let (clients, whole) = hub.clients(uid, Here::MAX_CLIENTS);
    Here { clients, whole }
}

impl Online {
    /// With which clients a user is on `node`; `None` if it does not say.
    ///
    /// # Cancel safety
    /// May be dropped.
    pub(super) async fn who(&self, node: &NodeId, uid: &Uid, limit: Duration) -> Option<Here> {
        if *node == self.node {
            return Some(here(&self.hub, uid));
        }
        let question = Who { uid: uid.clone() }.encode();
        let answer = self.peers.ask(node, DOOR, question, limit).await.ok()?;
        match Here::decode(&answer) {
            Ok(here) => Some(here),
            Err(bad) => {
                refusal(&bad, self.hub.metrics());
                None
            }
        }
    }
}
