//! The clients' items: each handled once and in order, each promise kept once and truthfully.

use super::Totals;
use std::collections::{BTreeMap, BTreeSet};
use tengen_protocol::client::{FailureKind, Outcome, Token};
use tengen_protocol::takeover::TakeId;
use tengen_protocol::{Data, ErrorCode, SessionId, Uid, Value};

/// One item of a client.
struct Sent {
    /// Who the client was when it said it; `None` before it knew.
    typed_as: Option<Option<Uid>>,
    request: bool,
    /// Until when it waits for a connection at least; 0 if it does not.
    waits_until: u64,
    /// It breaks a limit: the server has to refuse it, and nobody handles it.
    unacceptable: bool,
    outcome: Option<Outcome>,
    /// Which session the client had when it ended.
    session: Option<SessionId>,
}

/// How much later than a handler's limit the next item may start: the session moves meanwhile, and
/// the new home looks once a second.
const PATIENCE_MS: u64 = 3_000;

/// A handler at work on an item of a session.
struct Running {
    n: u64,
    node: (usize, u32),
    /// When it is over its limit, and the next may start.
    until: u64,
}

#[derive(Default)]
pub(crate) struct Items {
    sent: BTreeMap<u64, Sent>,
    forbidden: BTreeSet<u64>,
    by_token: BTreeMap<(usize, Token), u64>,
    handled: BTreeSet<u64>,
    last_handled: BTreeMap<SessionId, u64>,
    running: BTreeMap<SessionId, Running>,
    /// When the last handler of each session is over its limit, whether it has returned or not.
    limits: BTreeMap<SessionId, u64>,
    /// Their home died: what it had counted, it may not have handled.
    dead: BTreeSet<SessionId>,
    /// Takes that were given up, when nobody could say whether the holder had given its items away.
    abandoned: Vec<(SessionId, TakeId)>,
    /// Clients leave or become somebody else: what they had not sent is closed.
    pub(crate) people: bool,
}

/// Where an item is handled.
pub(crate) struct Place<'a> {
    pub(crate) session: &'a SessionId,
    pub(crate) uid: Option<&'a Uid>,
    pub(crate) node: (usize, u32),
}

impl Items {
    /// The number of an item that nobody may ever handle; no promise belongs to it.
    pub(crate) fn forbid(&mut self) -> u64 {
        let n = self.next();
        self.forbidden.insert(n);
        n
    }

    pub(crate) fn next(&self) -> u64 {
        (self.sent.len() + self.forbidden.len()) as u64 + 1
    }

    pub(crate) fn send(
        &mut self,
        n: u64,
        by: (usize, Token),
        typed_as: Option<Option<Uid>>,
        (request, waits_until): (bool, u64),
        unacceptable: bool,
    ) {
        self.by_token.insert(by, n);
        let sent = Sent {
            typed_as,
            request,
            waits_until,
            unacceptable,
            outcome: None,
            session: None,
        };
        assert!(self.sent.insert(n, sent).is_none());
    }

    /// A handler begins with an item; `until` is its limit, `None` if it keeps nobody waiting.
    pub(crate) fn handled(
        &mut self,
        n: u64,
        place: &Place<'_>,
        until: Option<u64>,
        now: u64,
        totals: &mut Totals,
    ) {
        let whole = !self.forbidden.contains(&n);
        assert!(whole, "item {n} stands behind a hole and was handled");
        let sent = &self.sent[&n];
        assert!(
            !sent.unacceptable,
            "item {n} breaks a limit and was handled"
        );
        assert!(self.handled.insert(n), "item {n} was handled twice");
        if let Some(typed_as) = &sent.typed_as {
            assert_eq!(
                typed_as.as_ref(),
                place.uid,
                "item {n} was handled as another user"
            );
        }
        let last = self
            .last_handled
            .insert(place.session.clone(), n)
            .unwrap_or(0);
        assert!(n > last, "item {n} was handled after {last}");
        if let Some(other) = self.running.get(place.session) {
            assert!(
                now >= other.until,
                "item {n} was started at {:?} while {} was at work at {:?}",
                place.node,
                other.n,
                other.node
            );
        }
        self.limits
            .insert(place.session.clone(), until.unwrap_or(now));
        match until {
            Some(until) => {
                let node = place.node;
                self.running
                    .insert(place.session.clone(), Running { n, node, until });
            }
            None => {
                self.running.remove(place.session);
            }
        }
        totals.handled += 1;
    }

    /// Whether a handler has begun with an item.
    pub(crate) fn has_begun(&self, n: u64) -> bool {
        self.handled.contains(&n)
    }

    /// How an item ended, if it has.
    pub(crate) fn outcome(&self, n: u64) -> Option<&Outcome> {
        self.sent[&n].outcome.as_ref()
    }

    /// A session was under way for so long. What was left of its handler's limit at the cut, the new
    /// home counts from then on: when the cut was, by its own clock, it does not know.
    pub(crate) fn came(&mut self, session: &SessionId, under_way: u64) {
        if let Some(limit) = self.limits.get_mut(session) {
            *limit += under_way;
        }
    }

    /// Items of a session wait, at its home.
    pub(crate) fn wait(&self, session: &SessionId, now: u64) {
        let limit = self.limits.get(session);
        assert!(
            limit.is_none_or(|limit| now <= limit + PATIENCE_MS),
            "items of {session} wait though no handler may still be at work"
        );
    }

    pub(crate) fn returned(&mut self, n: u64, session: &SessionId) {
        if self.running.get(session).is_some_and(|it| it.n == n) {
            self.running.remove(session);
        }
    }

    /// Its session has ended: what is left of it waits for nobody.
    pub(crate) fn ended(&mut self, session: &SessionId) {
        self.running.remove(session);
    }

    /// This node, if anybody still has its name, was not on the bus twice in a row when it was asked
    /// for what it owes to a session: nobody waits for its handler any more, nor may.
    pub(crate) fn taken_for_dead(&mut self, session: &SessionId, node: Option<usize>, now: u64) {
        let there = |running: &Running| Some(running.node.0) == node;
        if self.running.get(session).is_some_and(there) {
            self.running.remove(session);
            self.limits.insert(session.clone(), now);
        }
    }

    /// The node is gone, and its handlers with it.
    pub(crate) fn died(&mut self, node: (usize, u32), sessions: impl Iterator<Item = SessionId>) {
        self.dead.extend(sessions);
        self.running.retain(|_, running| running.node != node);
    }

    pub(crate) fn resolved(
        &mut self,
        by: (usize, Token),
        session: Option<SessionId>,
        outcome: Outcome,
        now: u64,
        totals: &mut Totals,
    ) {
        let n = self.by_token[&by];
        let handled = self.handled.contains(&n);
        let sent = self.sent.get_mut(&n).expect("a token of ours");
        assert!(
            sent.outcome.is_none(),
            "item {n} resolved twice: {:?}, then {outcome:?}",
            sent.outcome
        );
        match &outcome {
            Ok(data) if sent.request => {
                assert_eq!(
                    data.value().unwrap(),
                    Value::Int(n.into()),
                    "the reply to {n} is another's"
                );
                assert!(handled, "item {n} was answered by nobody");
                totals.replies += 1;
            }
            Ok(_) => {
                assert!(!sent.unacceptable, "item {n} breaks a limit and was taken");
                totals.acked += 1;
            }
            Err(failure) => match (failure.kind, failure.sent) {
                (FailureKind::Timeout, _) => totals.timeouts += 1,
                (FailureKind::Error, true) => totals.refused += 1,
                (_, true) => totals.closed_sent += 1,
                (_, false) => {
                    assert!(
                        now >= sent.waits_until || self.people,
                        "item {n} was unwritten, and did not wait for the next session"
                    );
                    totals.closed_unsent += 1;
                }
            },
        }
        if let Err(failure) = &outcome {
            assert!(
                failure.sent || !handled,
                "item {n} was handled but called unsent"
            );
        }
        sent.outcome = Some(outcome);
        sent.session = session;
    }

    /// A take was given up. If its holder gave the session away all the same, what had been counted
    /// is handled by nobody; else it is the holder's, and handled there.
    pub(crate) fn abandoned(&mut self, session: &SessionId, take: TakeId) {
        self.abandoned.push((session.clone(), take));
    }

    fn may_be_lost(&self, session: Option<&SessionId>, granted: &BTreeSet<TakeId>) -> bool {
        let given_away = |session| {
            let mut takes = self.abandoned.iter();
            takes.any(|(other, take)| other == session && granted.contains(take))
        };
        session.is_some_and(|session| self.dead.contains(session) || given_away(session))
    }

    /// Everything is quiet and whole: now every promise must have been kept.
    pub(crate) fn settle(&self, granted: &BTreeSet<TakeId>) -> Result<(), String> {
        for (n, sent) in &self.sent {
            let handled = self.handled.contains(n);
            match sent.outcome.as_ref() {
                None => return Err(format!("item {n} hangs (handled: {handled})")),
                Some(Ok(_)) if !handled && !self.may_be_lost(sent.session.as_ref(), granted) => {
                    return Err(format!("item {n} was acknowledged but never handled"));
                }
                Some(Err(failure)) if handled && !failure.sent => {
                    return Err(format!("item {n} was handled but called unsent"));
                }
                Some(_) => {}
            }
        }
        if let Some((session, running)) = self.running.iter().next() {
            return Err(format!("a handler of {session} still has {}", running.n));
        }
        Ok(())
    }
}

impl Items {
    /// Whether a `chsk/error` tells of an item that this world made unacceptable on purpose.
    pub(crate) fn is_about_unacceptable(&self, data: &Data) -> bool {
        let Ok(Value::Map(entries)) = data.value() else {
            return false;
        };
        let code = Value::Text("code".to_owned());
        let too_deep = Value::Int(ErrorCode::TOO_DEEP.0.into());
        let rate = Value::Int(ErrorCode::RATE.0.into());
        entries
            .iter()
            .any(|(key, value)| *key == code && (*value == too_deep || *value == rate))
    }
}
