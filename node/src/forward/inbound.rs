//! Takes what other nodes forward: late pushes and gaps for all who came from there, replies and returns for one session.

use std::sync::Arc;

use tengen_bus::Message;
use tengen_protocol::server::{Pushed, Replied, Resumed};
use tengen_protocol::takeover::{Forward, Identity};
use tengen_protocol::{ErrorCode, NodeId, OutFrame, RawEvent, Refusal, SessionId};

use super::DOOR;
use crate::hub::Hub;
use crate::hub::deliver::Way;
use crate::hub::port::{Port, Session};
use crate::hub::touched::Touched;
use crate::moves::{Moves, Start};
use crate::peers::Doors;

/// The receiving end of other nodes' forwards. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Inbound {
    pub hub: Arc<Hub>,
    pub moves: Moves,
    pub start: Start,
}

impl Inbound {
    /// Opens the door through which other nodes forward.
    pub(crate) fn open(&self, doors: &mut Doors) {
        let this = self.clone();
        doors.on_told(DOOR, move |message| this.take(message));
    }

    fn take(&self, message: &Message) -> Result<(), Refusal> {
        let forward = Forward::decode(&message.body)
            .map_err(|error| Refusal::new(ErrorCode::UNDECODABLE, error.to_string()))?;
        self.hub.metrics().takeover.forwards_taken.increment();
        match forward {
            Forward::Push { .. } => self.push(forward),
            Forward::Gap { .. } => {
                self.gap(forward);
                Ok(())
            }
            Forward::Item {
                from,
                session,
                identity,
                body,
            } => {
                self.item(&from, &session, &identity, &body);
                Ok(())
            }
            answer => {
                self.answer(answer);
                Ok(())
            }
        }
    }

    /// A push that the former holder heard late.
    fn push(&self, forward: Forward) -> Result<(), Refusal> {
        let Forward::Push {
            from,
            target,
            filter,
            identity,
            codec,
            event,
        } = forward
        else {
            return Ok(());
        };
        let Some(recipients) = self.hub.recipients(&target) else {
            return Ok(());
        };
        let event = RawEvent::check(codec, event, &self.hub.bounds().limits)?;
        let mut touched = Touched::default();
        let way = Way::Forwarded {
            from: &from,
            now: self.hub.now(),
        };
        self.hub
            .deliver(&recipients, &filter, &event, &identity, way, &mut touched);
        for port in touched.take_passing() {
            self.moves.pass_on(&port);
        }
        for node in touched.take_forward() {
            let forward = Forward::Push {
                from: self.node(),
                target: target.clone(),
                filter: filter.clone(),
                identity,
                codec,
                event: event.body().clone(),
            };
            self.moves.forwards.send(&node, &forward);
        }
        self.hub.settle(&mut touched);
        Ok(())
    }

    /// A hole that the former holder learned of.
    fn gap(&self, forward: Forward) {
        let Forward::Gap {
            from,
            target,
            reason,
            session: alone,
        } = forward
        else {
            return;
        };
        let Some(recipients) = self.hub.recipients(&target) else {
            return;
        };
        let (mut touched, bounds) = (Touched::default(), self.hub.bounds());
        recipients.for_each(|port| {
            if alone.as_ref().is_some_and(|alone| *alone != port.id) {
                return;
            }
            port.forwarded(&mut touched, |session| {
                session.forwarded_gap(&from, &reason, bounds)
            });
        });
        for port in touched.take_passing() {
            self.moves.pass_on(&port);
        }
        for node in touched.take_forward() {
            let forward = Forward::Gap {
                from: self.node(),
                target: target.clone(),
                reason: reason.clone(),
                session: alone.clone(),
            };
            self.moves.forwards.send(&node, &forward);
        }
        self.hub.settle(&mut touched);
    }

    /// A push for one session, that the former holder had been forwarded and held.
    fn item(&self, from: &NodeId, session: &SessionId, identity: &Identity, body: &bytes::Bytes) {
        let Some(port) = self.hub.session(session) else {
            return;
        };
        let frame = OutFrame::new(port.codec, body);
        let (mut touched, now) = (Touched::default(), self.hub.now());
        port.forwarded(&mut touched, |session| {
            session.forwarded(from, identity, &frame, now, self.hub.bounds())
        });
        self.moves.pass_on(&port);
        for node in touched.take_forward() {
            let forward = Forward::Item {
                from: self.node(),
                session: session.clone(),
                identity: *identity,
                body: body.clone(),
            };
            self.moves.forwards.send(&node, &forward);
        }
        self.hub.settle(&mut touched);
    }

    /// What handlers at a former holder had to say.
    fn answer(&self, forward: Forward) {
        let session = match &forward {
            Forward::Reply { session, .. }
            | Forward::Report { session, .. }
            | Forward::Returned { session, .. } => session,
            Forward::Push { .. } | Forward::Gap { .. } | Forward::Item { .. } => return,
        };
        let Some(port) = self.hub.session(session) else {
            return;
        };
        let bounds = self.hub.bounds();
        let (took, next) = port.change(|session| {
            let took = Took::by(session, &forward, bounds);
            (took, session.passes_on().cloned())
        });
        if let Some(next) = next.filter(|_| took.goes_on) {
            self.moves
                .forwards
                .send(&next, &told_by(self.node(), forward));
        }
        if took.slow {
            self.slow(&port);
        }
        if took.resumed.work {
            (self.start)(&port);
        }
        self.moves.pass_on(&port);
    }

    fn slow(&self, port: &Port) {
        self.hub.metrics().hub.slow.increment();
        self.hub.forget(port);
    }

    fn node(&self) -> NodeId {
        self.hub.config().node.clone()
    }
}

/// What a forwarded answer did to a session.
#[derive(Default)]
struct Took {
    /// It concerned this session; if that went on in turn, the next node must hear of it too.
    goes_on: bool,
    slow: bool,
    resumed: Resumed,
}

impl Took {
    fn by(
        session: &mut Session,
        forward: &Forward,
        bounds: &tengen_protocol::server::Bounds,
    ) -> Took {
        match forward {
            Forward::Reply {
                from,
                request,
                outcome,
                ..
            } => {
                let replied = session.forwarded_reply(from, *request, outcome.clone(), bounds);
                Took {
                    goes_on: replied != Replied::Ignored,
                    slow: replied == Replied::Slow,
                    ..Took::default()
                }
            }
            Forward::Report {
                from,
                position,
                refusal,
                ..
            } => {
                let pushed = session.forwarded_report(from, *position, refusal, bounds);
                Took {
                    goes_on: pushed != Pushed::Known,
                    slow: pushed == Pushed::Slow,
                    ..Took::default()
                }
            }
            Forward::Returned { from, position, .. } => {
                let resumed = session.forwarded_return(from, *position, bounds);
                Took {
                    goes_on: resumed.is_some(),
                    resumed: resumed.unwrap_or_default(),
                    ..Took::default()
                }
            }
            Forward::Push { .. } | Forward::Gap { .. } | Forward::Item { .. } => Took::default(),
        }
    }
}

/// The same, as this node tells it to the next.
fn told_by(from: NodeId, forward: Forward) -> Forward {
    match forward {
        Forward::Reply {
            session,
            request,
            outcome,
            ..
        } => Forward::Reply {
            from,
            session,
            request,
            outcome,
        },
        Forward::Report {
            session,
            position,
            refusal,
            ..
        } => Forward::Report {
            from,
            session,
            position,
            refusal,
        },
        Forward::Returned {
            session, position, ..
        } => Forward::Returned {
            from,
            session,
            position,
        },
        other => other,
    }
}
