//! The edge: where clients connect, from the TCP accept to the session and back.

pub(crate) mod decoder;
pub(crate) mod writer;
