//! Real nats-servers for tests: alone or as a cluster, on ports of their own, ended by their pid.

mod cluster;
mod ports;
mod server;

pub use cluster::NatsCluster;
pub use ports::port_to_keep;
pub use server::NatsServer;
