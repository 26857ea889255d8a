//! Kicks from the bus: every node ends the sessions of a user, after what was pushed before.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tengen_bus::{Delivery, Message, Subscription};
use tengen_protocol::{Codec, Uid};
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::interest::Fences;

/// How long a kick waits for the pushes before it.
const FENCE: Duration = Duration::from_millis(500);
/// Kicks that share one fence.
const MAX_DRAIN: usize = 256;
/// Longer reasons are cut: they travel in a close frame too.
const MAX_REASON_CHARS: usize = 100;

/// The body of `tengen.kick`, in JSON or CBOR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kick {
    pub uid: String,
    #[serde(default)]
    pub reason: String,
    /// How long the user may not return, in milliseconds. Accepted and not yet in force.
    #[serde(default)]
    pub ban_ms: u64,
}

/// A kick whose body is not one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadKick {
    #[error("the body is not {{uid, reason, ban_ms}}")]
    Body,
    #[error("the uid is not one")]
    Uid,
}

impl Kick {
    fn read(message: &Message) -> Result<(Uid, Kick), BadKick> {
        let kick: Kick = match Codec::from_content_type(message.headers.first("Content-Type")) {
            Codec::Json => serde_json::from_slice(&message.body).map_err(|_| BadKick::Body)?,
            Codec::Cbor => ciborium::from_reader(&*message.body).map_err(|_| BadKick::Body)?,
        };
        let uid = Uid::parse(&kick.uid).map_err(|_| BadKick::Uid)?;
        Ok((uid, kick))
    }
}

/// Takes kicks until `stop`.
///
/// A publisher's pushes reach this node's connection to the bus before its kick does; the fence
/// follows them through the push subscription, so when it is back they all stand in line.
///
/// # Cancel safety
/// Dropped while it waits for a fence, the kicks of that drain are not carried out.
pub(crate) async fn run(
    hub: Arc<Hub>,
    fences: Arc<Fences>,
    mut subscription: Subscription,
    stop: CancellationToken,
) {
    let work = async {
        let mut deliveries = Vec::new();
        while subscription.recv_many(&mut deliveries, MAX_DRAIN).await > 0 {
            let kicks: Vec<_> = deliveries
                .drain(..)
                .filter_map(|delivery| accept(&hub, &delivery))
                .collect();
            if kicks.is_empty() {
                continue;
            }
            if fences.round_trip(FENCE).await.is_err() {
                tracing::warn!("kick without its fence: earlier pushes may be cut off");
            }
            for (uid, kick) in kicks {
                let reason: String = kick.reason.chars().take(MAX_REASON_CHARS).collect();
                let sessions = hub.kick(&uid, &reason);
                tracing::debug!(%uid, sessions, "kicked");
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

fn accept(hub: &Hub, delivery: &Delivery) -> Option<(Uid, Kick)> {
    let Delivery::Message(message) = delivery else {
        return None;
    };
    match Kick::read(message) {
        Ok((uid, kick)) => {
            hub.metrics().ingest.kicks.increment();
            if kick.ban_ms > 0 {
                tracing::warn!(%uid, ban_ms = kick.ban_ms, "kick without its ban: bans are not in force yet");
            }
            Some((uid, kick))
        }
        Err(error) => {
            hub.metrics().ingest.kicks_malformed.increment();
            tracing::warn!(%error, "malformed kick dropped");
            None
        }
    }
}
