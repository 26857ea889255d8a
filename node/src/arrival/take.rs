//! One takeover at the node that takes: registers the session, asks its holder step by step, and leaves it here or nowhere.

use std::sync::Arc;
use std::time::Duration;

use tengen_protocol::NodeId;
use tengen_protocol::server::Standing;
use tengen_protocol::takeover::{Answer, Finish, Heard, Release, Step, Taker};

use super::{Arrivals, Guest};
use crate::holder;
use crate::hub::port::{Port, Session};
use crate::hub::{HelloRefused, Hub};
use crate::peers::Unanswered;

/// A session on its way here; dropped before it has arrived, it is forgotten.
struct Arriving {
    hub: Arc<Hub>,
    port: Arc<Port>,
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let arrived = self.port.change(|session| {
            if session.standing() == Standing::Arriving {
                session.end();
            }
            !session.is_over()
        });
        if !arrived {
            self.hub.forget(&self.port);
        }
        self.hub.metrics().takeover.arriving.lower();
    }
}

impl Arrivals {
    /// Takes the session over, if anybody has it.
    pub(super) async fn take(&self, guest: &Guest) -> Result<(), HelloRefused> {
        self.metrics().begun.increment();
        let (arriving, first) = self.register(guest)?;
        let port = &arriving.port;
        let (hub, moves) = (&self.parts.hub, &self.parts.moves);
        let release = Release {
            session: guest.session.clone(),
            take: rand::random(),
            attempt: guest.hello.attempt,
            received: guest.hello.received.unwrap_or(0),
            uid: guest.uid.clone(),
            client: guest.hello.client.clone(),
            codec: guest.codec,
            by: hub.config().node.clone(),
            part: 0,
        };
        let mut taker = Taker::new(release, first);
        let mut step = taker.start();
        let finish = loop {
            let heard = match step {
                Step::Finished(finish) => break finish,
                asking => self.ask(asking).await,
            };
            let (now, bounds) = (hub.now(), hub.bounds());
            step = port.change(|session| taker.heard(heard, session, now, bounds));
            moves.pass_on(port);
        };
        self.finished(finish, port)
    }

    fn finished(&self, finish: Finish, port: &Arc<Port>) -> Result<(), HelloRefused> {
        match finish {
            Finish::Taken => {
                self.metrics().taken.increment();
                (self.parts.start)(port);
                Ok(())
            }
            Finish::Superseded => {
                self.metrics().superseded.increment();
                Err(HelloRefused::Superseded)
            }
            Finish::Fresh => {
                self.metrics().fresh.increment();
                // What it had counted, if it ended while its holder said yes.
                (self.parts.start)(port);
                // Kicked, say, while it was on its way.
                let ended = port.with(|inner| inner.session.ending().map(|(code, _)| code));
                ended.map_or(Ok(()), |code| Err(HelloRefused::Ended(code)))
            }
        }
    }

    /// Puts the session among those that pushes find, before anybody is asked for it. Says whom to
    /// ask first.
    fn register(&self, guest: &Guest) -> Result<(Arriving, Option<NodeId>), HelloRefused> {
        let hub = &self.parts.hub;
        let context = Arc::clone(&guest.context);
        // Held so that of every push it is known whether it came before or after this.
        let journal = self.parts.moves.journal.lock();
        let before = journal.extract(guest.uid.as_ref(), hub.now());
        let (port, first) = match hub.session(&guest.session) {
            // It went from here to where it is wanted back from.
            Some(port) if port.uid == guest.uid && port.codec == guest.codec => {
                let first = port.with(|inner| {
                    let there = inner.session.owner().cloned();
                    inner.session.arrive_again(context);
                    there
                });
                (port, first)
            }
            // As somebody else: nothing of it may come here, but its holder shall end it.
            Some(port) => {
                let first = port.with(|inner| inner.session.owner().cloned());
                (hub.unregistered(arriving(guest, context)), first)
            }
            None => {
                let first = Some(guest.session.node());
                (hub.arrive(arriving(guest, context))?, first)
            }
        };
        port.with(|inner| inner.session.heard_before(before, hub.now()));
        drop(journal);
        self.metrics().arriving.raise();
        let hub = Arc::clone(hub);
        Ok((Arriving { hub, port }, first))
    }

    async fn ask(&self, step: Step) -> Heard {
        let peers = &self.parts.peers;
        let limit = Duration::from_millis;
        let answer = match step {
            Step::Ask {
                node,
                message,
                timeout_ms,
            } => {
                let body = message.encode();
                peers
                    .ask(&node, holder::DOOR, body, limit(timeout_ms))
                    .await
            }
            Step::AskEveryone {
                message,
                timeout_ms,
            } => {
                let body = message.encode();
                peers.ask_everyone(body, limit(timeout_ms)).await
            }
            Step::Finished(_) => return Heard::Late,
        };
        match answer {
            Ok(answer) => match Answer::decode(&answer) {
                Ok(answer) => Heard::Answer(answer),
                Err(error) => {
                    tracing::warn!(%error, "answer of another node is not understood");
                    Heard::Late
                }
            },
            Err(Unanswered::Nobody) => Heard::NoResponders,
            Err(Unanswered::Late | Unanswered::BusDown | Unanswered::Refused(_)) => Heard::Late,
        }
    }
}

fn arriving(guest: &Guest, context: Arc<crate::handlers::connected::Connected>) -> Session {
    Session::arriving(
        guest.session.clone(),
        guest.hello.client.clone(),
        guest.uid.clone(),
        guest.codec,
        context,
    )
}
