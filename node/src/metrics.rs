//! Numbers the node counts about itself: plain atomics, owned by the composition root.

use std::sync::atomic::{AtomicU64, Ordering};

use tengen_protocol::relay::BadRelay;

/// A number that only rises; its name ends in `_total`.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// A number that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Counter {
    /// Adds `n`. One relaxed atomic: fit for hot paths, and exact in sum.
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one.
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    /// The sum so far.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Adds one.
    pub(crate) fn raise(&self) {
        self.grow(1);
    }

    /// Takes one away; never more often than [`raise`](Self::raise) added one.
    pub(crate) fn lower(&self) {
        self.shrink(1);
    }

    /// Adds `n`.
    pub(crate) fn grow(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes `n` away; never more than [`grow`](Self::grow) added.
    pub(crate) fn shrink(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Replaces the value.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value last set.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How an exporter has to treat a [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only rises, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One number at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Full name, `tengen_<part>_<what>[_total]`, unique in [`Metrics`].
    pub name: &'static str,
    /// One line for people.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// The value; never labelled by uid, client or event id.
    pub value: u64,
}

/// Declares one part's metrics: the struct, and how to walk it. One definition makes the field,
/// the exported name and the help text.
macro_rules! metrics {
    ($(#[$doc:meta])* $section:ident, $prefix:literal { $($kind:ident $field:ident = $name:literal: $help:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $section { $(#[doc = $help] pub $field: $kind,)* }

        impl $section {
            pub(super) fn each(&self, f: &mut dyn FnMut(Sample)) {
                $(f(Sample {
                    name: concat!("tengen_", $prefix, "_", $name),
                    help: $help,
                    kind: Kind::$kind,
                    value: self.$field.value(),
                });)*
            }
        }
    };
}

pub(crate) mod online;
pub(crate) mod presence;
mod reporting;

metrics! {
    /// Connections, before they become sessions.
    EdgeMetrics, "edge" {
        Counter accept_errors = "accept_errors_total": "Accepts that failed, for want of descriptors or because the peer gave up.";
        Counter refused = "refused_total": "Requests for a connection that were refused.";
        Counter stalled = "stalled_total": "HTTP connections ended because their peer took nothing of an answer for a minute.";
        Counter opened = "connections_opened_total": "WebSocket connections opened.";
        Counter ended = "connections_ended_total": "WebSocket connections that are gone again.";
        Counter closed = "connections_closed_total": "Close frames sent, answers to the peer's included.";
        Counter violations = "violations_total": "Connections that broke RFC 6455.";
        Counter hellos_refused = "hellos_refused_total": "Hellos refused on a WebSocket: malformed, late, of a lower attempt, or at a node that cannot take them.";
        Counter faults = "faults_total": "Frames of clients, by WebSocket or POST, refused by a number or by the end of their session.";
        Counter received_bytes = "received_bytes_total": "Bytes read from WebSockets.";
        Counter writes = "writes_total": "Times that frames were handed to a WebSocket, many frames each.";
    }
}

metrics! {
    /// Long-poll, on the node that has the client's request and on the one that has its session.
    PollMetrics, "poll" {
        Gauge parked = "parked": "Polls that are held at this moment, here or for another node.";
        Gauge post_bytes = "post_bytes": "Bytes kept free for the bodies of POSTs that are being taken, up to the setting post_bytes.";
        Gauge piece_bytes = "piece_bytes": "Bytes of answers too large for one message of the bus, kept until other nodes have fetched them.";
        Counter hellos = "hellos_total": "Hellos that came by POST and were accepted.";
        Counter answered = "answered_total": "Polls answered with something to tell, of sessions of this node.";
        Counter empty = "empty_total": "Polls answered empty after poll_timeout, of sessions of this node.";
        Counter replaced = "replaced_total": "Held polls that a newer request of their session ended.";
        Counter abandoned = "abandoned_total": "Held polls whose client went away.";
        Counter posts = "posts_total": "POSTs with items, of sessions of this node.";
        Counter sent_bytes = "sent_bytes_total": "Bytes of answers to polls, of sessions of this node.";
        Counter received_bytes = "received_bytes_total": "Bytes of POST bodies that this node took from clients.";
        Counter relayed_polls = "relayed_polls_total": "Polls passed on to the node that has the session.";
        Counter relayed_posts = "relayed_posts_total": "POSTs passed on to the node that has the session.";
        Counter relay_failed = "relay_failed_total": "Requests passed on that the other node did not answer.";
        Counter for_others = "for_others_total": "Polls and POSTs that another node passed on to this one.";
        Counter malformed = "relay_malformed_total": "Relay messages that could not be read.";
        Counter unknown_version = "relay_unknown_version_total": "Relay messages of a version this node does not know.";
        Counter asked_all = "asked_all_total": "Times all nodes were asked who has a session.";
        Counter refused_400 = "refused_400_total": "Poll requests refused for their headers, query, content type or hello.";
        Counter refused_401 = "refused_401_total": "Poll requests refused because the client is not logged in.";
        Counter refused_403 = "refused_403_total": "Poll requests refused because the client may not come.";
        Counter refused_409 = "refused_409_total": "Poll requests refused because a newer one had come.";
        Counter refused_410 = "refused_410_total": "Poll requests refused because their session is nowhere, or another user's.";
        Counter refused_413 = "refused_413_total": "POSTs refused because their body is too large.";
        Counter refused_429 = "refused_429_total": "POSTs refused because post_bytes were being taken already.";
        Counter refused_503 = "refused_503_total": "Poll requests refused because the node or the bus could not serve them then.";
    }
}

impl PollMetrics {
    /// Counts a relay message that was not read.
    pub(crate) fn count_bad(&self, bad: &BadRelay) {
        match bad {
            BadRelay::Version(_) => self.unknown_version.increment(),
            BadRelay::Kind(_) | BadRelay::Malformed(_) => self.malformed.increment(),
        }
    }
}

metrics! {
    /// Sessions of this node and their queues.
    HubMetrics, "hub" {
        Gauge sessions = "sessions": "Sessions on this node, attached or not.";
        Gauge users = "users": "Users with at least one session on this node.";
        Gauge anonymous = "anonymous": "Sessions without a user.";
        Gauge queue_bytes = "queue_bytes": "Bytes waiting or retained in all session queues.";
        Counter begun = "sessions_begun_total": "Sessions begun.";
        Counter resumed = "sessions_resumed_total": "Hellos that resumed a session of this node.";
        Counter acks = "acks_sent_total": "Acknowledgements sent to clients: one after 32 items or 64 KiB of theirs, else one a second.";
        Counter unresumed = "sessions_unresumed_total": "Hellos that named a session which could not be resumed.";
        Counter refused_full = "hello_refused_full_total": "Hellos refused because the node holds max_sessions.";
        Counter expired = "sessions_expired_total": "Detached sessions that ended after session_ttl.";
        Counter evicted_detached = "sessions_evicted_detached_total": "Detached sessions ended because the node's queue budget was exceeded.";
        Counter evicted_attached = "sessions_evicted_attached_total": "Attached sessions ended because the node's queue budget was exceeded.";
        Counter slow = "sessions_slow_total": "Sessions ended because their queue exceeded max_queue_bytes.";
        Counter silent = "sessions_silent_total": "Connections closed because nothing came from them.";
        Counter kicked = "sessions_kicked_total": "Sessions ended by a kick.";
        Counter identity_changed = "sessions_identity_changed_total": "Sessions ended because their id was named under another uid.";
        Counter gaps = "gaps_total": "Sessions told that something is missing for them.";
    }
}

metrics! {
    /// What arrives from the bus for the sessions of this node.
    IngestMetrics, "ingest" {
        Counter messages = "messages_total": "Bus messages taken from the push subscription.";
        Counter pushes = "pushes_total": "Pushes taken from those messages, strangers' included.";
        Counter delivered = "delivered_total": "Frames put in line for a session.";
        Counter strangers = "strangers_total": "Pushes for a user without a session here.";
        Counter malformed = "malformed_total": "Pushes dropped because they are malformed.";
        Counter duplicates = "duplicates_total": "Pushes dropped because their message id was delivered before.";
        Counter ids_forgotten = "ids_forgotten_total": "Message ids forgotten before their time because too many were fresh.";
        Counter shed = "shed_total": "Bus messages shed because the ingest queue was full.";
        Counter shed_bytes = "shed_bytes_total": "Bytes of the shed messages.";
        Counter lost_batches = "lost_batches_total": "Batches missing in a publisher's sequence.";
        Counter interruptions = "interruptions_total": "Times the subscription was interrupted.";
        Counter untranslatable = "untranslatable_total": "Pushes that could not be told in a client's codec.";
        Counter kicks = "kicks_total": "Kicks taken from the bus.";
        Counter kicks_malformed = "kicks_malformed_total": "Kicks dropped because they are malformed.";
    }
}

metrics! {
    /// What this node pushes.
    PushMetrics, "push" {
        Counter accepted = "accepted_total": "Pushes of this node that the bus accepted.";
        Counter refused = "refused_total": "Pushes of this node refused before the bus saw them.";
        Counter failed = "failed_total": "Pushes of this node that the bus did not accept.";
    }
}

metrics! {
    /// Whether this node hears the cluster.
    InterestMetrics, "interest" {
        Gauge confirmed = "confirmed": "1 while the node's interest is confirmed, else 0.";
        Counter confirmations = "confirmations_total": "Times the interest was confirmed by a round trip.";
        Counter retries = "confirm_retries_total": "Round trips that did not come back in time.";
        Counter pings = "pings_total": "Nodes at other servers of the bus that were asked to let a message through.";
    }
}

metrics! {
    /// What the handlers of this node did with what clients sent.
    HandlerMetrics, "handlers" {
        Counter items = "items_total": "Events and requests taken from sessions.";
        Counter refused = "refused_total": "Items that a handler refused: its arguments or an error of the application.";
        Counter panicked = "panicked_total": "Handlers that panicked.";
        Counter timed_out = "timed_out_total": "Handlers that ran over their limit.";
        Counter unhandled_events = "unhandled_events_total": "Events that no handler of this node took.";
        Counter no_handler = "no_handler_total": "Requests that neither a handler nor a service answers.";
        Counter uidports_shed = "uidports_shed_total": "Users that came or went and whose handler did not run, because too many waited.";
    }
}

metrics! {
    /// What was handed to services on the bus.
    ServiceMetrics, "services" {
        Counter events = "events_total": "Events published to services.";
        Counter requests = "requests_total": "Requests published to services.";
        Counter answered = "answered_total": "Requests a service answered, errors of the application included.";
        Counter timed_out = "timed_out_total": "Requests a service did not answer within their deadline.";
        Counter failed = "failed_total": "Items that could not be handed on, and answers of services that were none.";
        Counter ignored = "ignored_replies_total": "Answers on the bus that nobody waited for: a second one to a question, or one that came too late.";
    }
}

metrics! {
    /// What nodes say to each other.
    PeerMetrics, "peers" {
        Counter messages = "messages_total": "Messages taken from other nodes.";
        Counter malformed = "malformed_total": "Messages of other nodes that cannot be read here: truncated, of another version, or for no door.";
        Counter busy = "busy_total": "Questions of other nodes refused because too many were under way.";
        Counter shed = "shed_total": "Messages of other nodes shed because they came faster than they were taken.";
        Counter asked = "asked_total": "Questions asked of other nodes.";
        Counter unanswered = "unanswered_total": "Questions to other nodes without a usable answer.";
        Counter told = "told_total": "Messages to other nodes that want no answer.";
    }
}

metrics! {
    /// Sessions that come from other nodes, and go to them.
    TakeoverMetrics, "takeover" {
        Gauge arriving = "arriving": "Sessions that are being taken over from other nodes.";
        Counter begun = "begun_total": "Takeovers begun here for hellos that named a session of another node.";
        Counter taken = "taken_total": "Sessions taken over, with their queue.";
        Counter fresh = "fresh_total": "Takeovers that ended in a fresh session, because nobody had the old one or it could not be moved whole.";
        Counter superseded = "superseded_total": "Takeovers given up because a newer connection was elsewhere.";
        Counter refused = "refused_total": "Hellos refused because too many sessions were arriving.";
        Counter frozen = "frozen_total": "Cuts of sessions of this node that another one asked for.";
        Counter unfenced = "unfenced_total": "Cuts without their fence: told as gaps.";
        Counter given = "given_total": "Sessions of this node that went to another one.";
        Counter void = "void_total": "Takeovers of sessions of this node that were void in the end.";
        Counter forwarded = "forwarded_total": "Pushes, gaps and replies sent on to the nodes that sessions have moved to.";
        Counter forwards_lost = "forwards_lost_total": "Forwards that were not sent: told as gaps.";
        Counter forwards_taken = "forwards_taken_total": "Forwards of other nodes taken here.";
        Counter debts_given_up = "debts_given_up_total": "Sessions that were told what another node owed them will not come, because it is gone.";
    }
}

/// All numbers of one node. Each part counts in its own section.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Connections.
    pub edge: EdgeMetrics,
    /// Long-poll.
    pub poll: PollMetrics,
    /// Sessions and queues.
    pub hub: HubMetrics,
    /// Pushes from the bus.
    pub ingest: IngestMetrics,
    /// Pushes of this node.
    pub push: PushMetrics,
    /// Interest.
    pub interest: InterestMetrics,
    /// Handlers.
    pub handlers: HandlerMetrics,
    /// Services.
    pub services: ServiceMetrics,
    /// Other nodes.
    pub peers: PeerMetrics,
    /// Sessions between nodes.
    pub takeover: TakeoverMetrics,
    /// Delivery reports.
    pub reports: reporting::ReportMetrics,
    /// Who is online.
    pub presence: presence::PresenceMetrics,
    /// Who asks for it.
    pub online: online::OnlineMetrics,
}

impl Metrics {
    /// Calls `f` with every number, in a fixed order.
    pub(crate) fn each(&self, mut f: impl FnMut(Sample)) {
        self.edge.each(&mut f);
        self.poll.each(&mut f);
        self.hub.each(&mut f);
        self.ingest.each(&mut f);
        self.push.each(&mut f);
        self.interest.each(&mut f);
        self.handlers.each(&mut f);
        self.services.each(&mut f);
        self.peers.each(&mut f);
        self.takeover.each(&mut f);
        self.reports.each(&mut f);
        self.presence.each(&mut f);
        self.online.each(&mut f);
    }

    /// Every number at this moment (each exact, not all at one instant), always in one order.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        self.each(|sample| samples.push(sample));
        samples
    }

    /// The present value of the sample at `index` of [`samples`](Self::samples); 0 beyond the end.
    pub(crate) fn value_at(&self, index: usize) -> u64 {
        let (mut at, mut value) = (0, 0);
        self.each(|sample| {
            if at == index {
                value = sample.value;
            }
            at += 1;
        });
        value
    }
}

#[cfg(test)]
mod tests;
