//! Tests of hellos that name sessions of other nodes: hubs without sockets on one local bus, which loses what a test wants lost.

mod bounds;
mod fixture;
mod steps;

pub(crate) use fixture::alone;
