//! What a cluster promises, tested on real sockets, in process and over a real NATS.

mod admin;
mod cluster;
mod heard;
mod walk;
