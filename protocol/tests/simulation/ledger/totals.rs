//! How often each kind of thing happened: a simulation in which nothing happens proves nothing.

macro_rules! totals {
    ($($name:ident,)+) => {
        /// What one run, or all of them, saw.
        #[derive(Debug, Default, Clone, PartialEq, Eq)]
        pub(crate) struct Totals {
            $(pub(crate) $name: u64,)+
        }

        impl Totals {
            pub(crate) fn add(&mut self, other: &Totals) {
                $(self.$name += other.$name;)+
            }

            /// What never happened.
            pub(crate) fn missing(&self) -> Vec<&'static str> {
                let counts = [$((stringify!($name), self.$name),)+];
                counts.iter().filter(|(_, count)| *count == 0).map(|(name, _)| *name).collect()
            }
        }
    };
}

totals! {
    published,
    pushes_seen,
    gaps,
    holes_covered,
    resumed,
    fresh,
    handled,
    refused,
    replies,
    acked,
    timeouts,
    closed_sent,
    closed_unsent,
    slow,
    full,
    moved,
    users_changed,
    kicked,
    crashed,
    paused,
    bus_cuts,
    usurped,
    taken,
    loosely_taken,
    loosely_told,
    take_superseded,
    take_failed,
    cuts,
    forwards,
    debts_given_up,
    lagged,
    returns_lost,
    holes_posted,
    came_from_the_past,
    posts,
    relayed,
}
