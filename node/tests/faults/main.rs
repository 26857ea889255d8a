//! Real parts under real faults: node processes, nats-servers, proxies, a hundred clients, and a ledger that forgives nothing untold.

mod balanced;
mod balancer;
mod cuts;
mod hops;
mod kills;
mod ledger;
mod outages;
mod pace;
mod process;
mod pushing;
mod slow;
mod visitors;
mod waiting;
mod world;
