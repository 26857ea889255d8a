//! The giving half of a takeover: releases sessions of this node to others, behind a fence, and says yes to one of them.

use std::sync::Arc;
use std::time::Duration;

use tengen_bus::Message;
use tengen_protocol::server::{Released, Standing};
use tengen_protocol::takeover::{Answer, RELEASE_TIMEOUT_MS, Release, TakeId, ToNode};
use tengen_protocol::{ErrorCode, NodeId, Refusal, SessionId};

use crate::hub::Hub;
use crate::hub::port::Port;
use crate::interest::Fences;
use crate::moves::Moves;
use crate::peers::{Answering, Doors};

/// The door of the holder.
pub(crate) const DOOR: &str = "takeover";
/// How long a cut waits for the pushes before it; without them the session is told of a gap.
const FENCE: Duration = Duration::from_millis(500);
/// How long a question to everybody waits for a session that is still on its way here. Its asker
/// waits for [`RELEASE_TIMEOUT_MS`], and the fence has to be back by then.
const ARRIVAL: Duration = Duration::from_millis(RELEASE_TIMEOUT_MS).saturating_sub(FENCE);
/// Questions answered at once. Each waits for a fence at most; their askers retry.
const MAX_UNDER_WAY: usize = 8192;

/// Gives sessions of this node away. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Holder {
    pub hub: Arc<Hub>,
    pub fences: Arc<Fences>,
    pub moves: Moves,
}

impl Holder {
    /// Opens the doors through which other nodes ask.
    pub(crate) fn open(&self, doors: &mut Doors) {
        let this = self.clone();
        doors.on_question(DOOR, MAX_UNDER_WAY, move |message| {
            let (this, asked) = (this.clone(), read(message)?);
            Ok(Box::pin(async move {
                let answer = match asked {
                    ToNode::Release(release) => this.release(&release).await,
                    ToNode::Done { session, take } => this.done(&session, take),
                    ToNode::Owed { session, by } => this.owed(&session, &by),
                };
                Some(answer.encode())
            }))
        });
        let this = self.clone();
        doors.on_everyones_question(MAX_UNDER_WAY, move |message| {
            let ToNode::Release(release) = read(message)? else {
                return Err(Refusal::new(ErrorCode::BAD_EVENT, "not asked of everybody"));
            };
            Ok(this.release_of_anybody(release))
        });
    }

    /// A release that was asked of all nodes: whoever does not hold the session keeps silent.
    fn release_of_anybody(&self, release: Release) -> Answering {
        let this = self.clone();
        Box::pin(async move {
            if release.by == this.hub.config().node {
                return None;
            }
            // Whoever asks everybody has found it nowhere: it may be just coming here.
            let settled = this.moves.under_way.settled(&release.session, ARRIVAL);
            settled.await;
            match this.release(&release).await {
                Answer::NotMine => None,
                answer => Some(answer.encode()),
            }
        })
    }

    async fn release(&self, release: &Release) -> Answer {
        let Some(port) = self.hub.session(&release.session) else {
            return Answer::NotMine;
        };
        let now = self.hub.now();
        // The connection, superseded if the release is good, is woken by this and says so.
        let (released, over) = port.change(|session| {
            let released = session.release(release, now);
            (released, session.is_over())
        });
        if over {
            self.hub.forget(&port);
        }
        match released {
            Released::Answer(answer) => return answer,
            Released::Fence => self.cut(&port, release.take).await,
            Released::Cut => {}
        }
        let node = &self.hub.config().node;
        port.with(|inner| inner.session.part(node, release.take, release.part))
    }

    /// Cuts the session where a fence stands among the pushes: what came before it goes over with
    /// the queue, what comes after it is forwarded.
    async fn cut(&self, port: &Arc<Port>, take: TakeId) {
        self.hub.metrics().takeover.frozen.increment();
        let at_its_place = {
            let (this, port) = (self.clone(), Arc::clone(port));
            move || this.cut_now(&port, take, true)
        };
        let passed = self.fences.round_trip_then(FENCE, at_its_place).await;
        if passed.is_err() {
            self.hub.metrics().takeover.unfenced.increment();
            self.cut_now(port, take, false);
        }
    }

    fn cut_now(&self, port: &Port, take: TakeId, fenced: bool) {
        let now = self.hub.now();
        // Held over both: at a cut without its fence ingest may be at work.
        let journal = self.moves.journal.lock();
        let applied = journal.extract(port.uid.as_ref(), now);
        port.with(|inner| {
            inner
                .session
                .cut(take, fenced, applied, now, self.hub.bounds());
        });
    }

    fn done(&self, session: &SessionId, take: TakeId) -> Answer {
        let Some(port) = self.hub.session(session) else {
            return Answer::NotMine;
        };
        let now = self.hub.now();
        let (answer, first) = port.change(|session| {
            let before = session.standing();
            (session.done(take, now), before == Standing::Frozen)
        });
        match answer {
            Answer::Granted if first => self.hub.metrics().takeover.given.increment(),
            Answer::Void => self.hub.metrics().takeover.void.increment(),
            _ => {}
        }
        self.moves.pass_on(&port);
        answer
    }

    /// Whether this node still knows of a session that it gave away to `by`: then it pays what it owes.
    fn owed(&self, session: &SessionId, by: &NodeId) -> Answer {
        match self.hub.session(session) {
            Some(port) => port.with(|inner| inner.session.owed(by)),
            None => Answer::NotMine,
        }
    }
}

fn read(message: &Message) -> Result<ToNode, Refusal> {
    ToNode::decode(&message.body)
        .map_err(|error| Refusal::new(ErrorCode::UNDECODABLE, error.to_string()))
}
