//! The takeovers, as their holders see them: the newest take alone gets the session, behind its own cut, whole.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use tengen_protocol::SessionId;
use tengen_protocol::takeover::{Answer, Release, TakeId};

/// A session at one life of a node.
pub(crate) type At = ((usize, u32), SessionId);

/// What changes about a session: items acknowledged, in line, received, waiting.
pub(crate) type Stood = [u64; 4];

/// What one holder has said.
#[derive(Default)]
struct Held {
    /// The highest attempt that it took.
    attempt: u64,
    /// Whose the session is to be.
    take: Option<TakeId>,
    granted: BTreeSet<TakeId>,
    parts: BTreeMap<(TakeId, u16), Bytes>,
    /// What was cut last, for whom, and how the session stood then.
    cut: Option<(TakeId, Bytes, Stood)>,
}

#[derive(Default)]
pub(crate) struct Takes {
    held: BTreeMap<At, Held>,
    /// How many requests were open when a session was cut for a take, and have not been answered since.
    open: BTreeMap<TakeId, (SessionId, usize)>,
    /// How many answers have come to a session that is arriving.
    early: BTreeMap<SessionId, usize>,
    /// When a session was cut for a take.
    cut_at: BTreeMap<TakeId, u64>,
    /// The takes to which a holder has said yes.
    pub(crate) granted: BTreeSet<TakeId>,
}

impl Takes {
    /// A hello was taken here: no take is good any more.
    pub(crate) fn greeted(&mut self, at: At, attempt: u64) {
        let held = self.held.entry(at).or_default();
        (held.attempt, held.take) = (attempt, None);
    }

    /// A take begins, or goes on.
    pub(crate) fn released(&mut self, at: At, release: &Release) {
        let held = self.held.entry(at).or_default();
        assert!(
            release.attempt >= held.attempt,
            "{} was released to attempt {} after {}",
            release.session,
            release.attempt,
            held.attempt
        );
        held.attempt = release.attempt;
        if held.take.replace(release.take) != Some(release.take) {
            // It is void now. Asked for once more, it is another take with the same name: behind a
            // fence of its own, and its taker, who asks for one part after the other, has none yet.
            held.parts.clear();
        }
    }

    /// What a take is answered, be it asked again.
    pub(crate) fn answered(&mut self, at: At, release: &Release, answer: &Answer) {
        let held = self.held.entry(at).or_default();
        let Answer::Part { part, body, .. } = answer else {
            return;
        };
        let before = held.parts.entry((release.take, *part));
        let before = before.or_insert_with(|| body.clone());
        assert!(
            before == body,
            "a take of {} got another part {part}",
            release.session
        );
    }

    /// A take was refused at once.
    pub(crate) fn refused(&self, at: &At, release: &Release, answer: &Answer) {
        let newest = self.held.get(at).map_or(0, |held| held.attempt);
        let begins = release.part == 0 && release.attempt >= newest;
        assert!(
            !begins || *answer != Answer::Void,
            "a new take of {} was void",
            release.session
        );
    }

    /// A session is on its way.
    pub(crate) fn begins(&mut self, session: &SessionId) {
        self.early.remove(session);
    }

    /// An answer, sent before the cut or after it, came before its session.
    pub(crate) fn came_early(&mut self, session: &SessionId) {
        *self.early.entry(session.clone()).or_default() += 1;
    }

    pub(crate) fn cut(&mut self, take: TakeId, now: u64) {
        self.cut_at.entry(take).or_insert(now);
    }

    pub(crate) fn cut_with(&mut self, release: &Release, open: usize) {
        let open = (release.session.clone(), open);
        self.open.entry(release.take).or_insert(open);
    }

    /// Behind its fence a session was cut for a take, and the first part says so.
    pub(crate) fn first_part(&mut self, at: &At, take: TakeId, body: &Bytes, stood: Stood) {
        let held = self.held.entry(at.clone()).or_default();
        if let Some((other, before, stood_before)) = &held.cut {
            assert!(
                *other == take || before != body || *stood_before == stood,
                "a new take of {} got what was cut for another",
                at.1
            );
        }
        held.cut = Some((take, body.clone(), stood));
    }

    /// A holder sends an answer on.
    pub(crate) fn replied(&mut self, session: &SessionId) {
        for (cut, open) in self.open.values_mut() {
            *open -= usize::from(cut == session && *open > 0);
        }
    }

    /// A session is all there, and the holder is asked for its yes. Since when it has been on its way.
    pub(crate) fn installed(&mut self, take: TakeId, open: usize) -> Option<u64> {
        if let Some((session, before)) = self.open.get(&take) {
            let early = self.early.get(session).copied().unwrap_or_default();
            assert!(
                open + early >= *before,
                "{session} has forgotten its open requests"
            );
        }
        self.cut_at.remove(&take)
    }

    pub(crate) fn done(&mut self, at: &At, take: TakeId, answer: &Answer) {
        let held = self.held.entry(at.clone()).or_default();
        if *answer == Answer::Granted {
            let good = held.take == Some(take) || held.granted.contains(&take);
            assert!(good, "a void take of {} was granted", at.1);
            held.granted.insert(take);
            self.granted.insert(take);
        } else {
            assert!(
                *answer != Answer::Void || !held.granted.contains(&take),
                "a granted take of {} was called void",
                at.1
            );
        }
    }
}
