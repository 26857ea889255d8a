//! Counters of what happened in a world: a simulation in which nothing happens proves nothing.

/// Declares the counters, and adds them up by name.
macro_rules! totals {
    ($($(#[doc = $words:literal])* $name:ident,)+) => {
        /// How often each thing happened, in one run or in all of them.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Totals {
            $($(#[doc = $words])* pub(crate) $name: u64,)+
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
pub(crate) use totals;
