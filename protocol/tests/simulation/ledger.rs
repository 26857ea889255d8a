//! What was promised and what happened, and the rules that tie one to the other.

use std::collections::{BTreeMap, BTreeSet};
use tengen_protocol::client::{FailureKind, Outcome, Token};
use tengen_protocol::{SessionId, Uid, Value};

/// What one run, or all of them, saw.
#[derive(Debug, Default, Clone)]
pub(crate) struct Totals {
    pub(crate) pushes_seen: u64,
    pub(crate) gaps: u64,
    pub(crate) resumed: u64,
    pub(crate) fresh: u64,
    pub(crate) handled: u64,
    pub(crate) replies: u64,
    pub(crate) acked: u64,
    pub(crate) timeouts: u64,
    pub(crate) closed_sent: u64,
    pub(crate) closed_unsent: u64,
    pub(crate) slow: u64,
    pub(crate) full: u64,
    pub(crate) moved: u64,
    pub(crate) users_changed: u64,
}

impl Totals {
    fn fields(&mut self) -> [&mut u64; 14] {
        [
            &mut self.pushes_seen,
            &mut self.gaps,
            &mut self.resumed,
            &mut self.fresh,
            &mut self.handled,
            &mut self.replies,
            &mut self.acked,
            &mut self.timeouts,
            &mut self.closed_sent,
            &mut self.closed_unsent,
            &mut self.slow,
            &mut self.full,
            &mut self.moved,
            &mut self.users_changed,
        ]
    }

    pub(crate) fn add(&mut self, other: &Totals) {
        let mut other = other.clone();
        for (sum, more) in self.fields().into_iter().zip(other.fields()) {
            *sum += *more;
        }
    }

    pub(crate) fn everything_happened(&self) -> bool {
        self.clone().fields().into_iter().all(|count| *count > 0)
    }
}

/// One item of the client.
struct Sent {
    token: Token,
    /// Who the client was when it said it; `None` before it knew.
    typed_as: Option<Option<Uid>>,
    request: bool,
    outcome: Option<Outcome>,
}

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) totals: Totals,
    /// Pushes so far, by user.
    pushed: BTreeMap<Option<Uid>, u64>,
    /// The last push seen, by user.
    seen: BTreeMap<Option<Uid>, u64>,
    /// A hole before the next push has been told, or could not surprise the application.
    hole_told: bool,
    /// Pushes that the bus lost and the node knew it, with the time of the loss.
    lost: BTreeMap<(Option<Uid>, u64), u64>,
    /// When the application was last told to fetch anew.
    gap_seen_at: u64,
    sent: BTreeMap<u64, Sent>,
    by_token: BTreeMap<Token, u64>,
    handled: BTreeSet<u64>,
    last_handled: BTreeMap<SessionId, u64>,
}

impl Ledger {
    pub(crate) fn new() -> Ledger {
        Ledger {
            hole_told: true,
            ..Ledger::default()
        }
    }

    pub(crate) fn push(&mut self, uid: &Option<Uid>) -> u64 {
        let count = self.pushed.entry(uid.clone()).or_default();
        *count += 1;
        *count
    }

    pub(crate) fn lost(&mut self, uid: &Option<Uid>, n: u64, now: u64) {
        self.lost.insert((uid.clone(), n), now);
    }

    pub(crate) fn gap(&mut self, now: u64) {
        self.hole_told = true;
        self.gap_seen_at = now;
        self.totals.gaps += 1;
    }

    /// The application itself left, or became somebody else: what it missed is no surprise.
    pub(crate) fn expected_hole(&mut self) {
        self.hole_told = true;
    }

    pub(crate) fn saw_push(&mut self, n: u64, to: &Option<Uid>, as_user: &Option<Uid>) {
        assert_eq!(to, as_user, "a push to one user was shown to another");
        let last = self.seen.insert(to.clone(), n).unwrap_or(0);
        assert!(
            n > last,
            "push {n} came after push {last}: repeated or reordered"
        );
        let missing = last + 1..n;
        assert!(
            self.hole_told || missing.clone().all(|n| self.covered(to, n)),
            "of pushes {missing:?} some are missing and no gap told it"
        );
        self.hole_told = false;
        self.totals.pushes_seen += 1;
    }

    /// A gap still in line when the push was lost tells of it too: who fetches anew on seeing the
    /// gap, fetches after the loss. So one unsent gap is enough.
    fn covered(&self, uid: &Option<Uid>, n: u64) -> bool {
        self.lost
            .get(&(uid.clone(), n))
            .is_some_and(|lost_at| *lost_at <= self.gap_seen_at)
    }

    pub(crate) fn send(
        &mut self,
        n: u64,
        token: Token,
        typed_as: Option<Option<Uid>>,
        request: bool,
    ) {
        self.by_token.insert(token, n);
        assert!(
            self.sent
                .insert(
                    n,
                    Sent {
                        token,
                        typed_as,
                        request,
                        outcome: None
                    }
                )
                .is_none()
        );
    }

    pub(crate) fn handled(&mut self, n: u64, session: &SessionId, uid: &Option<Uid>) {
        let sent = &self.sent[&n];
        assert!(self.handled.insert(n), "item {n} was handled twice");
        if let Some(typed_as) = &sent.typed_as {
            assert_eq!(typed_as, uid, "item {n} was handled as another user");
        }
        let last = self.last_handled.insert(session.clone(), n).unwrap_or(0);
        assert!(n > last, "item {n} was handled after {last}");
        self.totals.handled += 1;
    }

    pub(crate) fn resolved(&mut self, token: Token, outcome: Outcome) {
        let n = self.by_token[&token];
        let sent = self.sent.get_mut(&n).expect("a token of ours");
        assert_eq!(sent.token, token);
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
                assert!(self.handled.contains(&n));
                self.totals.replies += 1;
            }
            Ok(_) => self.totals.acked += 1,
            Err(failure) => match (failure.kind, failure.sent) {
                (FailureKind::Timeout, _) => self.totals.timeouts += 1,
                (_, true) => self.totals.closed_sent += 1,
                (_, false) => self.totals.closed_unsent += 1,
            },
        }
        if let Err(failure) = &outcome {
            assert!(
                failure.sent || !self.handled.contains(&n),
                "item {n} was handled but called unsent"
            );
        }
        sent.outcome = Some(outcome);
    }

    /// Everything is quiet and whole: now every promise must have been kept.
    pub(crate) fn settle(&self, uid: &Option<Uid>) {
        for (n, sent) in &self.sent {
            let handled = self.handled.contains(n);
            match sent.outcome.as_ref() {
                None => panic!("item {n} hangs (handled: {handled})"),
                Some(Ok(_)) => assert!(handled, "item {n} was acknowledged but never handled"),
                Some(Err(failure)) => assert!(
                    failure.sent || !handled,
                    "item {n} was handled but called unsent"
                ),
            }
        }
        let pushed = self.pushed.get(uid).copied().unwrap_or(0);
        let seen = self.seen.get(uid).copied().unwrap_or(0);
        let complete = (seen + 1..=pushed).all(|n| self.covered(uid, n));
        assert!(
            complete || self.hole_told,
            "pushes {} to {pushed} never came",
            seen + 1
        );
    }
}
