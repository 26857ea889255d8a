//! What a node counts of delivery reports.

use tengen_protocol::report::BadCounts;

use super::{Counter, Kind, Sample};

metrics! {
    /// Delivery reports, at the node that collects them and at those that count.
    ReportMetrics, "reports" {
        Counter asked = "asked_total": "Delivery reports that this node was to put together.";
        Counter answered = "answered_total": "Delivery reports sent.";
        Counter missing = "missing_total": "Nodes that were missing in those reports.";
        Counter taken_over = "taken_over_total": "Reports that the node which was to answer them did not answer, so that this one did.";
        Counter refused = "refused_total": "Reports and counts not taken because too many reports were under way.";
        Counter unready = "unready_total": "Pushes that asked for a report while no node was ready.";
        Counter strays = "strays_total": "Counts that came too late, or for a report this node was not asked for.";
        Counter unsent = "unsent_total": "Answers and counts that the bus did not take, or not in time.";
        Counter counts_sent = "counts_sent_total": "Counts sent to collecting nodes.";
        Counter counts_received = "counts_received_total": "Counts received from other nodes.";
        Counter malformed = "malformed_total": "Messages with counts that could not be read.";
        Counter unknown_version = "unknown_version_total": "Messages with counts of a version this node does not know.";
    }
}

impl ReportMetrics {
    /// Counts a message that was not read.
    pub(crate) fn count_bad(&self, bad: &BadCounts) {
        match bad {
            BadCounts::Version(_) => self.unknown_version.increment(),
            BadCounts::Kind(_) | BadCounts::Malformed(_) => self.malformed.increment(),
        }
    }
}
