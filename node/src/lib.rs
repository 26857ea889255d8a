//! Tengen's edge: mounts a channel socket on an axum router, holds its clients, and joins them to the cluster.

pub mod config;
pub(crate) mod edge;
