//! What tests of every crate need of the world: real nats-servers, ports to keep, a proxy that misbehaves on demand.

mod cluster;
mod ports;
mod proxy;
mod server;

pub use cluster::NatsCluster;
pub use ports::port_to_keep;
pub use proxy::{Admission, Gate, Link, Proxy, Shape, Whom};
pub use server::NatsServer;
