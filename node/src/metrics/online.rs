//! What a node counts of those who ask it who is online.

use super::{Counter, Gauge, Kind, Sample};

metrics! {
    /// Who asks this node who is online.
    OnlineMetrics, "online" {
        Counter asked = "asked_total": "Questions of services over the bus that this node was given.";
        Counter refused = "refused_total": "Such questions that were refused: malformed, or too many at once.";
        Counter shed = "shed_total": "Such questions shed because they came faster than they were taken.";
        Counter unknown_version = "unknown_version_total": "Questions and answers of other nodes about one user, of a version this node does not know.";
        Gauge streams = "streams": "Watchers over HTTP that are connected to the admin port.";
        Counter streams_behind = "streams_behind_total": "Times such a watcher was so slow that it was shown everybody anew.";
        Gauge followers = "followers": "Sessions of this node that follow who is online.";
        Counter behind = "behind_total": "Times a session that follows was so slow that it is shown everything anew.";
    }
}
