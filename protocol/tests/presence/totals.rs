//! What happened in a world, so that nobody mistakes an empty one for a good one.

/// Declares the counters, and adds them up by name.
macro_rules! totals {
    ($($(#[doc = $words:literal])+ $name:ident,)+) => {
        /// How often each thing happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Totals {
            $($(#[doc = $words])+ pub(crate) $name: u64,)+
        }

        impl Totals {
            pub(crate) fn add(&mut self, other: &Totals) {
                $(self.$name += other.$name;)+
            }

            /// What never happened.
            pub(crate) fn missing(&self) -> Vec<&'static str> {
                let all = [$((stringify!($name), self.$name),)+];
                all.into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
            }
        }
    };
}

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
