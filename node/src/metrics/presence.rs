//! What a node counts of presence: its view, and what it says and hears of it.

use tengen_protocol::presence::{BadMessage, Heard};

use super::{Counter, Gauge, Kind, Sample};

metrics! {
    /// Who is online, and what nodes say to each other of it.
    PresenceMetrics, "presence" {
        Gauge users = "users": "Users online in the cluster, as this node sees it.";
        Gauge users_ws = "users_ws": "Users online by WebSocket, those who poll too included.";
        Gauge users_poll = "users_poll": "Users online by polling, those with a WebSocket included.";
        Gauge anonymous = "anonymous": "Clients without a user in the cluster.";
        Gauge nodes = "nodes": "Live nodes of the cluster, this one included.";
        Gauge ready = "ready": "1 while this node may speak for the cluster, else 0.";
        Gauge telling = "telling": "1 while this node tells the others and services who came and who went, else 0.";
        Gauge feed_reloads = "feed_reloads": "How often this node has loaded anew, since its start, what has been told.";
        Gauge uidports_forgotten = "uidports_forgotten": "Changes told by a former teller, since the start, whose handlers may have run nowhere.";
        Counter said = "said_total": "Deltas, beats, byes and messages of the feed that the bus took from this node.";
        Counter said_bytes = "said_bytes_total": "Bytes of those.";
        Counter unsaid = "unsaid_total": "Messages of presence dropped because the bus was down or slow.";
        Counter applied = "applied_total": "Messages of presence heard and applied, this node's own included.";
        Counter heard_bytes = "heard_bytes_total": "Bytes of all messages of presence heard.";
        Counter old = "old_total": "Messages of presence that said nothing new, or spoke of an earlier life of their node.";
        Counter gaps = "gaps_total": "Messages of presence before which something was missing.";
        Counter differed = "differed_total": "Beats whose digest was another than this node's view.";
        Counter usurped = "usurped_total": "Messages in which another process claimed this node's id.";
        Counter wild = "wild_total": "Messages of presence with an epoch that cannot be.";
        Counter too_many = "too_many_nodes_total": "Messages of presence of more nodes than a cluster may have.";
        Counter malformed = "malformed_total": "Messages of presence that could not be read.";
        Counter too_large = "too_large_total": "Messages of presence larger than any may be.";
        Counter unknown_version = "unknown_version_total": "Messages of presence of a version this node does not know.";
        Counter shed = "shed_total": "Messages and questions of presence shed because they came faster than they were taken.";
        Counter asked = "asked_total": "Questions of presence asked of other nodes: their users, what was told, what differs.";
        Counter unanswered = "unanswered_total": "Those without an answer in time.";
        Counter questions = "questions_total": "Questions of presence of other nodes and services.";
        Counter answer_bytes = "answer_bytes_total": "Bytes of the answers to them.";
    }
}

impl PresenceMetrics {
    /// Counts a message by what became of it.
    pub(crate) fn count(&self, heard: Heard) {
        match heard {
            Heard::Applied | Heard::OwnEcho => &self.applied,
            Heard::Old => &self.old,
            Heard::Gap => &self.gaps,
            Heard::Differs => &self.differed,
            Heard::Usurped { .. } | Heard::Duplicate => &self.usurped,
            Heard::Wild => &self.wild,
            Heard::TooMany => &self.too_many,
        }
        .increment();
    }

    /// Counts a message that was not read.
    pub(crate) fn count_bad(&self, bad: &BadMessage) {
        tracing::debug!(error = %bad, "presence message ignored");
        match bad {
            BadMessage::Version(_) => &self.unknown_version,
            BadMessage::TooLarge => &self.too_large,
            BadMessage::Kind(_) | BadMessage::Malformed(_) => &self.malformed,
        }
        .increment();
    }
}
