//! What is wrong with a run of bytes, and how much of it may be looked at.

use crate::codec::Codec;
use crate::codes::{ErrorCode, Refusal};
use crate::limits::Limits;

/// The first thing wrong in a text, and where. Allocates nothing: most flaws are only counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flaw {
    pub(crate) code: ErrorCode,
    pub(crate) what: &'static str,
    pub(crate) at: usize,
}

impl Flaw {
    pub(crate) fn malformed(what: &'static str, at: usize) -> Flaw {
        Flaw {
            code: ErrorCode::UNDECODABLE,
            what,
            at,
        }
    }

    pub(crate) fn truncated(at: usize) -> Flaw {
        Flaw::malformed("ends too early", at)
    }

    pub(crate) fn too_deep(at: usize) -> Flaw {
        Flaw {
            code: ErrorCode::TOO_DEEP,
            what: "nested deeper than allowed",
            at,
        }
    }

    pub(crate) fn too_many(at: usize) -> Flaw {
        Flaw {
            code: ErrorCode::TOO_LARGE,
            what: "more elements than allowed",
            at,
        }
    }

    pub(crate) fn refusal(self, codec: Codec) -> Refusal {
        let name = match codec {
            Codec::Cbor => "cbor",
            Codec::Json => "json",
        };
        Refusal::new(
            self.code,
            format!("{name}: {} (byte {})", self.what, self.at),
        )
    }
}

/// What may still be looked at: the levels of one value, the elements of a whole frame.
pub(crate) struct Budget {
    pub(crate) depth: usize,
    pub(crate) elements: usize,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Budget {
        Budget {
            depth: limits.max_depth.min(Limits::DEEPEST),
            elements: limits.max_elements,
        }
    }

    /// Takes one element off.
    pub(crate) fn element(&mut self, at: usize) -> Result<(), Flaw> {
        self.elements = self.elements.checked_sub(1).ok_or(Flaw::too_many(at))?;
        Ok(())
    }

    /// Whether one more level may be opened inside `open` others.
    pub(crate) fn level(&self, open: usize, at: usize) -> Result<(), Flaw> {
        if open < self.depth {
            Ok(())
        } else {
            Err(Flaw::too_deep(at))
        }
    }
}
