//! The sequence ledger of one connection: what was lost, repeated or came out of order.

/// Counts what a connection should have seen, 1, 2, 3 …, against what it saw.
///
/// Costs sixteen bytes while everything is in order; holes are kept as ranges.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The highest number seen; 0 before the first.
    highest: u64,
    trouble: Option<Box<Trouble>>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// Numbers below `highest` that have not come yet, as first and last of each run.
    holes: Vec<(u64, u64)>,
    repeated: u64,
    reordered: u64,
}

/// What the books of one connection, or of all of them, say at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Verdict {
    /// Came once and in its place.
    pub(crate) in_order: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    /// Came once, but after a later one.
    pub(crate) reordered: u64,
}

impl Ledger {
    /// Books one arrival. True if it was the next one.
    pub(crate) fn book(&mut self, number: u64) -> bool {
        if number == self.highest + 1 {
            self.highest = number;
            return true;
        }
        let trouble = self.trouble.get_or_insert_default();
        if number > self.highest {
            trouble.holes.push((self.highest + 1, number - 1));
            self.highest = number;
        } else if let Some(at) = trouble
            .holes
            .iter()
            .position(|(first, last)| (*first..=*last).contains(&number))
        {
            let (first, last) = trouble.holes.swap_remove(at);
            trouble.holes.extend(
                [(first, number.wrapping_sub(1)), (number + 1, last)]
                    .into_iter()
                    .filter(|(first, last)| first <= last && *last != u64::MAX),
            );
            trouble.reordered += 1;
        } else {
            trouble.repeated += 1;
        }
        false
    }

    /// Arrivals so far, each number once.
    pub(crate) fn distinct(&self) -> u64 {
        self.highest - self.trouble.as_ref().map_or(0, |trouble| trouble.missing())
    }

    /// Closes the books: the numbers up to `expected` should be there.
    pub(crate) fn close(&self, expected: u64) -> Verdict {
        let reordered = self.trouble.as_ref().map_or(0, |trouble| trouble.reordered);
        // A number beyond the expected ones was never sent: an item of somebody else, or a repeat.
        let beyond = self.highest.saturating_sub(expected);
        Verdict {
            in_order: self.distinct() - reordered - beyond.min(self.distinct() - reordered),
            lost: expected.saturating_sub(self.highest)
                + self.trouble.as_ref().map_or(0, |trouble| trouble.missing()),
            repeated: self.trouble.as_ref().map_or(0, |trouble| trouble.repeated) + beyond,
            reordered,
        }
    }
}

impl Trouble {
    fn missing(&self) -> u64 {
        self.holes
            .iter()
            .map(|(first, last)| last - first + 1)
            .sum()
    }
}

impl Verdict {
    /// Nothing lost, nothing twice, nothing out of order.
    pub(crate) fn is_clean(self) -> bool {
        self.lost == 0 && self.repeated == 0 && self.reordered == 0
    }

    pub(crate) fn add(&mut self, other: Verdict) {
        self.in_order += other.in_order;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
    }
}

#[cfg(test)]
mod tests;
