//! The edge: where clients connect, from the TCP accept to the session and back.

pub(crate) mod accept;
pub(crate) mod decoder;
pub(crate) mod metrics;
pub(crate) mod waiting;
pub(crate) mod writer;
