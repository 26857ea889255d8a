//! What a cluster promises, tested on real sockets, in process and over a real NATS.

mod admin;
mod bad_input;
mod binary;
mod breaks;
mod cluster;
mod fallback;
mod handlers;
mod heard;
mod identity;
mod kicks;
mod mounting;
mod order;
mod outages;
mod payloads;
mod poll;
mod poller;
mod pushes;
mod raw;
mod requests;
mod services;
mod state;
mod takeover;
mod waiting;
mod walk;
mod way;
mod windows;
