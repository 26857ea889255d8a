//! Ports that a test's server can have again after it was stopped.

use std::net::{Ipv4Addr, TcpListener};

use rand::RngExt as _;

/// Below what any system hands out by itself (Linux from 32768, others from 49152): a port from
/// there would be given to somebody else's connection while its server is stopped.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// A port of 127.0.0.1 that nobody listens on and that the system gives to nobody unasked.
///
/// # Panics
/// When all of a thousand tries were taken.
#[must_use]
pub fn port_to_keep() -> u16 {
    let mut random = rand::rng();
    (0..1_000)
        .map(|_| random.random_range(RANGE))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port below the system's own range")
}
