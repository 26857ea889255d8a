//! Headers of a bus message: few, short, ordered, looked up without regard to case.

/// Name and value pairs. Empty headers own no memory.
///
/// A name is visible ASCII without `:`; a value is ASCII without control characters (tab
/// included) and without a blank at either end, because the parsers on the way trim there.
/// Text that may be anything is percent-encoded first (`tengen_protocol::subject::encode_header`).
/// [`crate::Bus::publish`] checks both: a CR or LF in a value would let its author write
/// headers of his own, and one NATS client library panics on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Adds a header behind the others, also when the name is there already.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The first value of `name`, in any case: NATS keeps case, the people who type names do not.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All headers; those of one name in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes the headers take on the NATS wire, which count against its `max_payload`.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let lines: usize = self
            .0
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        "NATS/1.0\r\n".len() + lines + "\r\n".len()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Headers {
        Headers(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}
