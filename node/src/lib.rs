//! Placeholder.

pub(crate) mod edge;
