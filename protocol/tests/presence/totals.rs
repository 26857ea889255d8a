//! What happened in a world, so that nobody mistakes an empty one for a good one.

use crate::counters::totals;

totals! {
    /// Clients that came.
    opened,
    /// Clients that went.
    closed,
    /// Clients that changed their transport.
    switched,
    /// Clients whose session another node took.
    moved,
    /// Users who were away for less than their grace.
    reloaded,
    /// Processes that died.
    crashed,
    /// Several of them at once.
    crashed_together,
    /// Processes that came again under the same id.
    restarted,
    /// With a clock that was set back.
    stepped_back,
    /// Processes that stood still for a while.
    paused,
    /// Nodes that joined.
    joined,
    /// Nodes that left with a Bye.
    left,
    /// Ways that failed.
    cut,
    /// Times when the cluster fell apart.
    parted,
    /// Connections to the bus that broke.
    disconnected,
    /// Tellers that died at a step of their own.
    tellers_died,
    /// Second processes under an id that was taken.
    doubled,
    /// Processes that gave way to another of their id.
    exited,
    /// Messages of strangers.
    strange,
    /// Nodes whose digest did not match what they have.
    sick,
    /// Users that the feed told as there.
    told_open,
    /// Users that the feed told as gone.
    told_closed,
    /// Reloads that the feed told.
    told_reload,
    /// Questions for what a node has.
    synced,
    /// Users named to the teller.
    named,
    /// Times when a consumer loaded the base.
    based,
}
