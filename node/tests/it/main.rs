//! What a cluster promises, tested on real sockets, in process and over a real NATS.

mod admin;
mod bad_input;
mod cluster;
mod heard;
mod raw;
mod walk;
