//! A node takes a session over: registered first, asked for, attached once it is home.

use super::Home;
use super::asking::{Asker, Came, ReplyTo};
use crate::bus::Face;
use crate::world::{Happening, World};
use tengen_protocol::rules::{Rule, holds};
use tengen_protocol::server::{Session, Standing};
use tengen_protocol::takeover::{Answer, Finish, Heard, Release, Step, TakeId, Taker, ToNode};
use tengen_protocol::{ClientHello, CloseCode, Millis, SessionId};

/// A session on its way to a node.
pub(crate) struct Take {
    id: TakeId,
    taker: Taker,
    /// The hello that it is for, and its wire.
    guest: (u64, ClientHello),
    /// Hellos of the same session that came meanwhile.
    waiting: Vec<(u64, ClientHello)>,
    /// Other nodes that have asked everybody for it meanwhile, and until when they wait.
    pub(crate) asked: Vec<(ReplyTo, Release, u64)>,
    /// It is asked for as another user: nothing of it may come here.
    apart: Option<Session<()>>,
    /// The last answer was late.
    late: bool,
    /// Everybody is asked.
    everyone: bool,
}

impl World {
    /// Whether a hello has to wait for its session to come from another node.
    pub(crate) fn brings(&mut self, wire: u64, hello: &ClientHello) -> bool {
        let node = self.wires[&wire].node.0;
        let Some(id) = &hello.session else {
            return false;
        };
        if let Some(take) = self.nodes[node].takes.get_mut(id) {
            take.waiting.push((wire, hello.clone()));
            return true;
        }
        let elsewhere = self.nodes[node].homes.get(id).is_none_or(|home| {
            let session = &home.session;
            session.standing() == Standing::Moved && *session.client() == hello.client
        });
        if elsewhere {
            self.begin_take(node, wire, hello, id);
        }
        elsewhere
    }

    fn begin_take(&mut self, node: usize, wire: u64, hello: &ClientHello, id: &SessionId) {
        let now = Millis(self.now);
        self.ledger.takes.begins(id);
        let (uid, codec) = (self.wires[&wire].uid.clone(), self.wires[&wire].codec);
        let before = self.nodes[node].ingest.journal.extract(uid.as_ref(), now);
        let new = || {
            let (id, client) = (id.clone(), hello.client.clone());
            Session::arriving(id, client, uid.clone(), codec, ())
        };
        let mut apart = None;
        let home = self.nodes[node].homes.get_mut(id);
        let first = match home {
            Some(home) => {
                let there = home.session.owner().cloned();
                if home.session.uid() == uid.as_ref() && home.session.codec() == codec {
                    home.session.arrive_again(());
                    home.arrived = true;
                    home.session.heard_before(before, now);
                } else {
                    apart = Some(new());
                }
                there
            }
            None => {
                let mut session = new();
                session.heard_before(before, now);
                let home = Home {
                    session,
                    wire: None,
                    parked: Vec::new(),
                    arrived: true,
                };
                self.nodes[node].homes.insert(id.clone(), home);
                Some(id.node())
            }
        };
        let name = u128::from(self.chance.next()) << 64 | u128::from(self.chance.next());
        let release = Release {
            session: id.clone(),
            take: name,
            attempt: hello.attempt,
            received: hello.received.unwrap_or(0),
            uid,
            client: hello.client.clone(),
            codec,
            by: self.nodes[node].id.clone(),
            part: 0,
        };
        self.say(|| format!("node {node} takes {id} from {first:?}, take {name:x}"));
        let mut taker = Taker::new(release, first);
        let step = taker.start();
        let take = Take {
            id: name,
            taker,
            guest: (wire, hello.clone()),
            waiting: Vec::new(),
            asked: Vec::new(),
            apart,
            late: false,
            everyone: matches!(step, Step::AskEveryone { .. }),
        };
        self.nodes[node].takes.insert(id.clone(), take);
        if let Some(tab) = self.owners.get(id).copied()
            && self.is_hasty(4)
        {
            let at = self.now + self.haste.between(0, 1_500);
            self.at(at, Happening::MovesOn(tab));
        }
        self.take_steps(node, id, step);
    }

    fn take_steps(&mut self, node: usize, id: &SessionId, step: Step) {
        let asker = Asker::Take(id.clone());
        match step {
            Step::Ask {
                node: whom,
                message,
                timeout_ms,
            } => {
                let body = message.encode();
                self.ask(node, Some(&whom), Face::Takeover, body, timeout_ms, asker);
            }
            Step::AskEveryone {
                message,
                timeout_ms,
            } => {
                let body = message.encode();
                self.ask(node, None, Face::Session, body, timeout_ms, asker);
            }
            Step::Finished(finish) => self.take_ends(node, id, finish),
        }
    }

    pub(crate) fn take_hears(&mut self, node: usize, id: &SessionId, came: Came) {
        let heard = match came {
            Came::Answer(body) => Heard::Answer(Answer::decode(&body).expect("our own answer")),
            Came::NoResponders => Heard::NoResponders,
            Came::Late => Heard::Late,
        };
        self.say(|| match &heard {
            Heard::Answer(Answer::Part { part, of, .. }) => {
                format!("node {node} hears part {part} of {of} of {id}")
            }
            other => format!("node {node} hears {other:?} of {id}"),
        });
        let now = Millis(self.now);
        let bounds = &self.plan.bounds;
        let it = &mut self.nodes[node];
        let Some(take) = it.takes.get_mut(id) else {
            return;
        };
        let session = match &mut take.apart {
            Some(apart) => apart,
            None => match it.homes.get_mut(id) {
                Some(home) => &mut home.session,
                // It ended and was forgotten meanwhile.
                None => return self.take_ends(node, id, Finish::Fresh),
            },
        };
        let first_late = heard == Heard::Late && !take.late && !take.everyone;
        take.late = heard == Heard::Late;
        let first_late = first_late && !session.is_over();
        let step = take.taker.heard(heard, session, now, bounds);
        take.everyone = matches!(step, Step::AskEveryone { .. });
        assert!(
            !first_late || matches!(step, Step::Ask { .. }),
            "{id} was given up after one late answer"
        );
        if let Step::Ask {
            message: ToNode::Done { take, .. },
            ..
        } = &step
        {
            let open = session.outstanding();
            if let Some(cut) = self.ledger.takes.installed(*take, open) {
                self.ledger.items.came(id, self.now - cut);
            }
        }
        self.pass_on(node, id);
        self.take_steps(node, id, step);
    }

    fn take_ends(&mut self, node: usize, id: &SessionId, finish: Finish) {
        let Some(take) = self.nodes[node].takes.remove(id) else {
            return;
        };
        self.say(|| format!("node {node} has {finish:?} {id}"));
        let (wire, hello) = take.guest;
        let mut ended = None;
        if let Some(home) = self.nodes[node].homes.get(id) {
            ended = home.session.ending().map(|(code, _)| code);
            let work = home.session.inbox_items() > 0;
            if home.session.is_over() && take.apart.is_none() && !work {
                self.nodes[node].homes.remove(id);
            }
        }
        self.start_items(node, id);
        match (finish, ended) {
            (Finish::Taken, _) => {
                self.ledger.totals.taken += 1;
                self.ledger.totals.loosely_taken += u64::from(self.plan.is_only_loose());
                self.start_items(node, id);
                self.hello_here(wire, &hello);
            }
            (Finish::Superseded, _) => {
                self.ledger.totals.take_superseded += 1;
                self.server_closes(wire, CloseCode::SUPERSEDED, "a newer connection was first");
            }
            (Finish::Fresh, Some(code)) => {
                // Whether the holder said yes, and so gave its items away, nobody here knows.
                self.ledger.items.abandoned(id, take.id);
                self.server_closes(wire, code, "it ended");
            }
            (Finish::Fresh, None) => {
                self.ledger.totals.take_failed += 1;
                if take.late && !self.plan.is_prompt() {
                    self.excuse(id);
                }
                self.ledger.items.abandoned(id, take.id);
                self.hello_here(wire, &hello);
            }
        }
        for (wire, hello) in take.waiting {
            self.greet(wire, &hello);
        }
        for (reply, release, until) in take.asked {
            if self.now <= until {
                self.release(node, reply, release);
            }
        }
    }

    /// Whether a push for all is heard by a session that is arriving.
    pub(crate) fn hears_all(session: &Session<()>) -> bool {
        holds(Rule::SideBufferHearsAll) || session.standing() != Standing::Arriving
    }
}
