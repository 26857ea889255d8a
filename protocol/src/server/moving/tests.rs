//! Promises of a session between nodes, in virtual time, and the nodes that they are tried on.

mod chance;
mod copies;
mod forwards;
mod handlers;
mod order;
mod refusals;
mod walk;
mod ways;

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Released, Standing};
use crate::codec::Codec;
use crate::data::Data;
use crate::frame::{ClientFrame, ClientHello, ServerFrame, ServerHello};
use crate::ids::{ClientId, EventId, NodeId, SessionId, Uid};
use crate::limits::Limits;
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::server::{Bounds, Link, Pushed, Received, Replied, Session};
use crate::takeover::{
    Answer, Finish, Forward, Heard, Identity, Journal, Release, Step, TakeId, Taker, ToNode,
};
use crate::target::{Filter, Target};
use crate::transport::Transport;
use crate::value::Value;

const CODEC: Codec = Codec::Cbor;

/// A push, wherever it is heard.
#[derive(Clone, Debug)]
struct Push {
    identity: Identity,
    n: u64,
}

/// Number `seq` of publisher 7, which says `seq` as well.
fn numbered(seq: u64) -> Push {
    Push {
        identity: Identity::Batched {
            publisher: 7,
            seq,
            index: 0,
            message: 0,
        },
        n: seq,
    }
}

/// A push that only its content names.
fn plain(n: u64) -> Push {
    let event = n.to_be_bytes();
    Push {
        identity: Identity::of_content(&Target::All, &Filter::None, CODEC, &event),
        n,
    }
}

fn with_message(message: u128, n: u64) -> Push {
    Push {
        identity: Identity::Message(message),
        n,
    }
}

fn alice() -> Option<Uid> {
    Some(Uid::parse("alice").unwrap())
}

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

fn id(text: &str) -> EventId {
    EventId::parse(text).unwrap()
}

fn number(n: u64) -> Data {
    Data::from_value(CODEC, &Value::Int(n.into())).unwrap()
}

fn frame(n: u64) -> OutFrame {
    OutFrame::event(CODEC, &id("t/push"), &number(n)).unwrap()
}

fn session_id() -> SessionId {
    SessionId::new(&node("a"), [7; 16])
}

fn client() -> ClientId {
    ClientId::parse("tab").unwrap()
}

/// One node, with what it knows of the one session.
struct Node {
    id: NodeId,
    session: Option<Session<&'static str>>,
    journal: Journal,
    bounds: Bounds,
    link: Link,
    now: Millis,
    /// What it told other nodes.
    told: VecDeque<(NodeId, Forward)>,
}

impl Node {
    fn new(name: &str) -> Node {
        Node {
            id: node(name),
            session: None,
            journal: Journal::new(),
            bounds: Bounds::default(),
            link: Link(0),
            now: Millis(100_000),
            told: VecDeque::new(),
        }
    }

    /// Node `a`, with alice's client attached and greeted.
    fn home() -> Node {
        let mut a = Node::new("a");
        a.session = Some(Session::new(session_id(), client(), alice(), CODEC));
        a.attach(1, None);
        assert_eq!(a.written(), Vec::<String>::new());
        a
    }

    fn session(&mut self) -> &mut Session<&'static str> {
        self.session.as_mut().expect("a session")
    }

    fn hello(&self, attempt: u64, received: Option<u64>) -> ClientHello {
        ClientHello {
            client: client(),
            attempt,
            received,
            session: received.is_some().then(session_id),
            params: None,
        }
    }

    /// The client says hello here, and reads the answer.
    fn attach(&mut self, attempt: u64, received: Option<u64>) {
        let hello = self.hello(attempt, received);
        let now = self.now;
        let attached = self.session().attach(&hello, Transport::Ws, now).unwrap();
        assert_eq!(attached.resumed, received.is_some());
        let hello = ServerHello {
            session: session_id(),
            resumed: attached.resumed,
            gap: attached.gap,
            received: attached.received,
            uid: alice(),
            data: Data::null(CODEC),
            ping_ms: 15_000,
            max_bytes: 1 << 19,
            node: self.id.clone(),
        };
        self.link = attached.link;
        assert!(self.session().hello(attached.link, &hello));
    }

    /// The client sends what is no frame.
    fn nonsense(&mut self) -> Received {
        let (link, now, bounds) = (self.link, self.now, self.bounds.clone());
        let frame = Bytes::from_static(b"?");
        self.session().receive(link, frame, &"", now, &bounds)
    }

    /// The items that go to the client now: numbers of pushes, `gap`, `#ref`, `#ref failed`, `error`.
    fn written(&mut self) -> Vec<String> {
        let (link, now, bounds) = (self.link, self.now, self.bounds.clone());
        let mut out = Vec::new();
        self.session()
            .write(link, &mut out, usize::MAX, usize::MAX, now, &bounds);
        let shown = out.iter().filter_map(|bytes| show(&decode(bytes)));
        shown.collect()
    }

    /// The client's next frame.
    fn receive(&mut self, frame: &ClientFrame) -> Received {
        let (link, now, bounds) = (self.link, self.now, self.bounds.clone());
        let context = "old";
        self.session()
            .receive(link, frame.encode(CODEC), &context, now, &bounds)
    }

    /// A push arrives through this node's own subscription.
    fn hear(&mut self, push: &Push) -> Option<Pushed> {
        let bounds = self.bounds.clone();
        let identity = self.journal.name(push.identity, self.now);
        let pushed = self.session.as_mut().map(|session| {
            let pushed = session.push(&frame(push.n), &identity, &bounds);
            (pushed, session.forwards_to().cloned())
        });
        self.journal.note(&Target::All, &identity, self.now);
        if let Some((Pushed::Queued | Pushed::Elsewhere, Some(to))) = &pushed {
            let event = Value::Array(vec!["t/push".into(), Value::Int(push.n.into())]);
            let forward = Forward::Push {
                from: self.id.clone(),
                target: Target::All,
                filter: Filter::None,
                identity,
                codec: CODEC,
                event: Data::from_value(CODEC, &event).unwrap().bytes().clone(),
            };
            self.told.push_back((to.clone(), forward));
        }
        self.collect();
        pushed.map(|(pushed, _)| pushed)
    }

    fn hear_all(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for n in numbers {
            self.hear(&numbered(n));
        }
    }

    /// Puts what the session itself wants forwarded in line.
    fn collect(&mut self) {
        let me = self.id.clone();
        if let Some(session) = &mut self.session
            && let Some(to) = session.owner().cloned()
        {
            for forward in session.take_forwards(&me) {
                self.told.push_back((to.clone(), forward));
            }
        }
    }

    /// Takes one message of another node.
    fn told_by(&mut self, forward: &Forward) {
        let forward = Forward::decode(&forward.encode()).expect("our own message");
        let (now, bounds, me) = (self.now, self.bounds.clone(), self.id.clone());
        let session = self.session.as_mut().expect("a session");
        let (on, again) = match forward {
            Forward::Push {
                from,
                target,
                filter,
                identity,
                codec,
                event,
            } => {
                let body = crate::RawEvent::check(codec, event.clone(), &Limits::default());
                let item = body.unwrap().to_frame(CODEC).unwrap();
                let pushed = session.forwarded(&from, &identity, &item, now, &bounds);
                let on = (pushed == Pushed::Elsewhere).then(|| session.forwards_to().cloned());
                let again = Forward::Push {
                    from: me,
                    target,
                    filter,
                    identity,
                    codec,
                    event,
                };
                (on.flatten(), again)
            }
            Forward::Item {
                from,
                session: id,
                identity,
                body,
            } => {
                let item = OutFrame::new(CODEC, &body);
                let pushed = session.forwarded(&from, &identity, &item, now, &bounds);
                let on = (pushed == Pushed::Elsewhere).then(|| session.forwards_to().cloned());
                let again = Forward::Item {
                    from: me,
                    session: id,
                    identity,
                    body,
                };
                (on.flatten(), again)
            }
            Forward::Reply {
                from,
                session: id,
                request,
                outcome,
            } => {
                let replied = session.forwarded_reply(&from, request, outcome.clone(), &bounds);
                let again = Forward::Reply {
                    from: me,
                    session: id,
                    request,
                    outcome,
                };
                let on = session.passes_on().cloned();
                (on.filter(|_| replied != Replied::Ignored), again)
            }
            Forward::Returned {
                from,
                session: id,
                position,
            } => {
                let resumed = session.forwarded_return(&from, position, &bounds);
                let again = Forward::Returned {
                    from: me,
                    session: id,
                    position,
                };
                let on = resumed.and_then(|_| session.passes_on().cloned());
                (on, again)
            }
            Forward::Report {
                from,
                session: id,
                position,
                refusal,
            } => {
                session.forwarded_report(&from, position, &refusal, &bounds);
                let again = Forward::Report {
                    from: me,
                    session: id,
                    position,
                    refusal,
                };
                (session.passes_on().cloned(), again)
            }
            Forward::Gap {
                from,
                target,
                reason,
                session: alone,
            } => {
                assert!(alone.is_none_or(|alone| alone == session_id()));
                let pushed = session.forwarded_gap(&from, &reason, &bounds);
                let on = (pushed == Pushed::Elsewhere).then(|| session.forwards_to().cloned());
                let again = Forward::Gap {
                    from: me,
                    target,
                    reason,
                    session: None,
                };
                (on.flatten(), again)
            }
        };
        if let Some(to) = on {
            self.told.push_back((to, again));
        }
        self.collect();
    }

    /// The handler of a request answers here.
    fn replies(&mut self, request: u32, n: u64) {
        let (bounds, from) = (self.bounds.clone(), self.id.clone());
        let session = self.session();
        session.reply(request, Ok(number(n)), &bounds);
        let Some(to) = session.owner().cloned() else {
            return;
        };
        let forward = Forward::Reply {
            from,
            session: session_id(),
            request,
            outcome: Ok(number(n)),
        };
        self.told.push_back((to, forward));
    }

    /// The handler of the item at `position` returns here.
    fn returns(&mut self, position: u64) {
        let (bounds, from) = (self.bounds.clone(), self.id.clone());
        let session = self.session();
        session.item_returned(position, &bounds);
        let Some(to) = session.owner().cloned() else {
            return;
        };
        let forward = Forward::Returned {
            from,
            session: session_id(),
            position,
        };
        self.told.push_back((to, forward));
    }

    /// What another node asks, answered as a node does; the fence comes back at once.
    fn asked(&mut self, message: &ToNode) -> Answer {
        let message = ToNode::decode(&message.encode()).expect("our own message");
        let (now, me, bounds) = (self.now, self.id.clone(), self.bounds.clone());
        let Some(session) = &mut self.session else {
            return Answer::NotMine;
        };
        let answer = match message {
            ToNode::Release(release) => {
                match session.release(&release, now) {
                    Released::Answer(answer) => return answer,
                    Released::Fence => {
                        let applied = self.journal.extract(session.uid(), now);
                        session.cut(release.take, true, applied, now, &bounds);
                    }
                    Released::Cut => {}
                }
                session.part(&me, release.take, release.part)
            }
            ToNode::Done { take, .. } => session.done(take, now),
            ToNode::Owed { by, .. } => session.owed(&by),
        };
        self.collect();
        Answer::decode(&answer.encode()).expect("our own answer")
    }

    fn later(&mut self, millis: u64) {
        self.now = self.now.plus(millis);
        let (now, bounds) = (self.now, self.bounds.clone());
        if let Some(session) = &mut self.session {
            session.tick(now, &bounds);
        }
        self.collect();
    }

    fn standing(&mut self) -> Standing {
        self.session().standing()
    }
}

/// What a node asks another that it waits for.
fn asks_what_is_owed(node: &Node) -> ToNode {
    ToNode::Owed {
        session: session_id(),
        by: node.id.clone(),
    }
}

/// A takeover under way at a node.
struct Take {
    taker: Taker,
    next: Step,
}

fn release(by: &Node, attempt: u64, received: u64, take: TakeId) -> Release {
    Release {
        session: session_id(),
        take,
        attempt,
        received,
        uid: alice(),
        client: client(),
        codec: CODEC,
        by: by.id.clone(),
        part: 0,
    }
}

impl Take {
    /// Registers the session at `by`, and makes the first question ready.
    fn begin(by: &mut Node, first: &str, attempt: u64, received: u64, take: TakeId) -> Take {
        match &mut by.session {
            Some(session) => assert!(session.arrive_again("new")),
            None => {
                let session = Session::arriving(session_id(), client(), alice(), CODEC, "new");
                by.session = Some(session);
            }
        }
        let (before, now) = (by.journal.extract(alice().as_ref(), by.now), by.now);
        by.session().heard_before(before, now);
        let release = release(by, attempt, received, take);
        let mut taker = Taker::new(release, Some(node(first)));
        let next = taker.start();
        Take { taker, next }
    }

    /// The question that is to be asked now.
    fn question(&self) -> &ToNode {
        match &self.next {
            Step::Ask { message, .. } | Step::AskEveryone { message, .. } => message,
            Step::Finished(finish) => panic!("finished: {finish:?}"),
        }
    }

    fn heard(&mut self, by: &mut Node, heard: Heard) {
        let (now, bounds) = (by.now, by.bounds.clone());
        self.next = self.taker.heard(heard, by.session(), now, &bounds);
        by.collect();
    }

    /// Asks `holder` what is to be asked now, once.
    fn step(&mut self, by: &mut Node, holder: &mut Node) {
        let answer = holder.asked(self.question());
        self.heard(by, Heard::Answer(answer));
    }

    fn finish(&self) -> Option<Finish> {
        match self.next {
            Step::Finished(finish) => Some(finish),
            _ => None,
        }
    }

    /// Goes on to the end.
    fn run(&mut self, by: &mut Node, holder: &mut Node) -> Finish {
        for _ in 0..200 {
            if let Some(finish) = self.finish() {
                return finish;
            }
            self.step(by, holder);
        }
        panic!("no end");
    }
}

/// Carries all that nodes have told to each other, until nobody has anything to say.
fn carry(nodes: &mut [&mut Node]) {
    for _ in 0..1_000 {
        let Some((to, forward)) = nodes.iter_mut().find_map(|node| node.told.pop_front()) else {
            return;
        };
        let to = nodes.iter_mut().find(|node| node.id == to);
        to.expect("a node").told_by(&forward);
    }
    panic!("they never end");
}

/// Reads a frame as it stands on a WebSocket.
fn decode(frame: &bytes::Bytes) -> ServerFrame {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    ServerFrame::decode(CODEC, frame.slice(header..), &Limits::from_server(1 << 20)).unwrap()
}

fn show(frame: &ServerFrame) -> Option<String> {
    match frame {
        ServerFrame::Event { id, .. } if id.as_str() == EventId::GAP => Some("gap".to_owned()),
        ServerFrame::Event { id, .. } if id.is_reserved() => Some("error".to_owned()),
        ServerFrame::Event { data, .. } => match data.value().unwrap() {
            Value::Int(n) => Some(n.to_string()),
            other => Some(format!("{other:?}")),
        },
        ServerFrame::Reply {
            request,
            outcome: Ok(_),
        } => Some(format!("#{request}")),
        ServerFrame::Reply { request, .. } => Some(format!("#{request} failed")),
        _ => None,
    }
}

fn request(request: u32) -> ClientFrame {
    ClientFrame::Request {
        request,
        id: id("t/echo"),
        data: number(request.into()),
        timeout_ms: 5_000,
    }
}

fn event() -> ClientFrame {
    ClientFrame::Event {
        id: id("t/note"),
        data: number(0),
    }
}
