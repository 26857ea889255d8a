//! Counts tests by the closing lines of their runners.

/// How many tests ended which way.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: usize,
    pub(super) failed: usize,
}

impl Count {
    pub(super) fn add(&mut self, other: &Count) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.passed + self.failed == 0
    }

    /// Reads one line of cargo's or node's output; other lines say nothing.
    pub(super) fn see(&mut self, line: &str) {
        let number = |text: &str| {
            text.split(' ')
                .find_map(|word| word.parse::<usize>().ok())
                .unwrap_or(0)
        };
        if let Some(result) = line.strip_prefix("test result: ") {
            for part in result.split([';', '.']) {
                if part.ends_with(" passed") {
                    self.passed += number(part);
                } else if part.ends_with(" failed") {
                    self.failed += number(part);
                }
            }
        } else if line == "Success" {
            // A bench of Criterion that ran once, small; one that fails panics.
            self.passed += 1;
        } else if let Some(passed) = line.strip_prefix("# pass ") {
            self.passed += number(passed);
        } else if let Some(failed) = line.strip_prefix("# fail ") {
            self.failed += number(failed);
        }
    }
}

#[cfg(test)]
mod tests;
