//! Which handlers an event goes to, and what is kept of the events that come before the first handler.

use super::greeting::gap_event;
use super::{Event, Source};
use crate::codes::Refusal;
use crate::ids::EventId;
use crate::millis::Millis;
use crate::value::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Early events kept for handlers that are about to be attached.
const EARLY_ITEMS: usize = 256;
/// Their bytes.
const EARLY_BYTES: usize = 1 << 20;
/// Handlers attached within this time of the first one still get what came before them.
const EARLY_MS: u64 = 1000;
/// Ids that nobody handles are remembered, to be logged once each, up to so many.
const REMEMBERED_IDS: usize = 256;

/// Which events a handler wants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// This event.
    Id(EventId),
    /// Every event of this namespace that no handler wants by its id.
    Namespace(String),
    /// Every event that no other handler wants.
    Any,
}

impl Pattern {
    /// Reads `ns/name`, `ns/*` or `*`.
    ///
    /// # Errors
    /// As [`EventId::parse`].
    pub fn parse(text: &str) -> Result<Pattern, Refusal> {
        if text == "*" {
            return Ok(Pattern::Any);
        }
        match text.strip_suffix("/*") {
            // A legal name in place of the star shows whether the namespace is one.
            Some(namespace) => {
                EventId::parse(&format!("{namespace}/-"))?;
                Ok(Pattern::Namespace(namespace.to_owned()))
            }
            None => EventId::parse(text).map(Pattern::Id),
        }
    }
}

/// Names one registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(u64);

/// Where an event goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routed<H> {
    /// Call these, in this order.
    To(Vec<H>),
    /// Nobody is there yet; it comes back from [`Router::on`].
    Kept,
    /// Nobody wants it. `first` if it is the first of its id: worth a line in the log.
    Unhandled { first: bool },
}

/// The table of handlers of one client.
///
/// Events that no handler wants are kept from the start until one second after the first
/// registration, at most 256 of them and 1 MiB; what did not fit is told by a `chsk/gap` after
/// them. A registration that has ended leaves nothing behind.
#[derive(Debug)]
pub struct Router<H> {
    pub(super) routes: BTreeMap<Pattern, Vec<(RouteId, H)>>,
    patterns: BTreeMap<RouteId, Pattern>,
    next: u64,
    first_at: Option<Millis>,
    early: VecDeque<Event>,
    early_bytes: usize,
    early_lost: bool,
    /// Whose events are kept: the user of the newest handshake.
    uid: Option<Value>,
    unhandled: u64,
    logged: BTreeSet<EventId>,
}

impl<H> Default for Router<H> {
    fn default() -> Router<H> {
        Router {
            routes: BTreeMap::new(),
            patterns: BTreeMap::new(),
            next: 0,
            first_at: None,
            early: VecDeque::new(),
            early_bytes: 0,
            early_lost: false,
            uid: None,
            unhandled: 0,
            logged: BTreeSet::new(),
        }
    }
}

impl<H: Clone> Router<H> {
    pub fn new() -> Router<H> {
        Router::default()
    }

    /// Registers a handler and gives it what has been kept for it, oldest first: call it with
    /// these before anything else.
    pub fn on(&mut self, pattern: Pattern, handler: H, now: Millis) -> (RouteId, Vec<Event>) {
        if !self.is_early(now) {
            self.forget_early();
        }
        self.first_at.get_or_insert(now);
        self.next += 1;
        let id = RouteId(self.next);
        self.patterns.insert(id, pattern.clone());
        self.routes.entry(pattern).or_default().push((id, handler));
        let early = std::mem::take(&mut self.early);
        let (wanted, kept): (Vec<_>, Vec<_>) = early
            .into_iter()
            .partition(|event| self.pattern_for(&event.id).is_some());
        self.early = kept.into();
        self.early_bytes = self.early.iter().map(weight).sum();
        (id, wanted)
    }

    /// Ends a registration; `false` if it had ended before.
    pub fn off(&mut self, id: RouteId) -> bool {
        let Some(pattern) = self.patterns.remove(&id) else {
            return false;
        };
        if let Some(handlers) = self.routes.get_mut(&pattern) {
            handlers.retain(|(other, _)| *other != id);
            if handlers.is_empty() {
                self.routes.remove(&pattern);
            }
        }
        true
    }

    /// Finds out where an event goes: to all handlers of its id, else of its namespace, else to
    /// the catch-all ones.
    pub fn route(&mut self, event: &Event, now: Millis) -> Routed<H> {
        if event.source == Source::Library && event.id.as_str() == EventId::HANDSHAKE {
            self.handshake(event);
        }
        if let Some(pattern) = self.pattern_for(&event.id) {
            let handlers = self.routes.get(&pattern).into_iter().flatten();
            return Routed::To(handlers.map(|(_, handler)| handler.clone()).collect());
        }
        // The state is there to be asked for; its history would push out what is not.
        if self.is_early(now) && event.id.as_str() != EventId::STATE {
            self.keep(event.clone());
            return Routed::Kept;
        }
        self.forget_early();
        let first = event.source != Source::Library && self.note_unhandled(&event.id);
        Routed::Unhandled { first }
    }

    /// Events that went to nobody, early ones that were never fetched included.
    pub fn unhandled(&self) -> u64 {
        self.unhandled
    }

    /// Registrations that have not ended.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    fn pattern_for(&self, id: &EventId) -> Option<Pattern> {
        let candidates = [
            Pattern::Id(id.clone()),
            Pattern::Namespace(id.namespace().to_owned()),
            Pattern::Any,
        ];
        let mut candidates = candidates.into_iter();
        candidates.find(|pattern| self.routes.contains_key(pattern))
    }

    fn is_early(&self, now: Millis) -> bool {
        self.first_at.is_none_or(|first| now < first.plus(EARLY_MS))
    }

    /// What was pushed to one user is never given to a handler of another: a login or a logout
    /// drops it.
    fn handshake(&mut self, event: &Event) {
        let uid = match event.data.value() {
            Ok(Value::Array(told)) => told.into_iter().next(),
            _ => None,
        };
        if self.uid.is_some() && self.uid != uid {
            let dropped = self.early.len();
            self.early.retain(|event| event.source != Source::Push);
            self.unhandled += (dropped - self.early.len()) as u64;
            self.early_bytes = self.early.iter().map(weight).sum();
        }
        self.uid = uid;
    }

    fn keep(&mut self, event: Event) {
        let bytes = weight(&event);
        // One place stays free for the gap that tells of what does not fit.
        let full = self.early.len() + 1 >= EARLY_ITEMS || self.early_bytes + bytes > EARLY_BYTES;
        if full || self.early_lost {
            self.unhandled += 1;
            if !std::mem::replace(&mut self.early_lost, true) {
                self.early.push_back(gap_event(event.data.codec(), "early"));
            }
            return;
        }
        self.early_bytes += bytes;
        self.early.push_back(event);
    }

    fn forget_early(&mut self) {
        for event in std::mem::take(&mut self.early) {
            if event.source != Source::Library {
                self.note_unhandled(&event.id);
            }
        }
        self.early_bytes = 0;
    }

    fn note_unhandled(&mut self, id: &EventId) -> bool {
        self.unhandled += 1;
        self.logged.len() < REMEMBERED_IDS && self.logged.insert(id.clone())
    }
}

fn weight(event: &Event) -> usize {
    event.id.as_str().len() + event.data.bytes().len()
}
