//! Real parts under real faults: node processes, nats-servers, proxies, a hundred clients or thousands, and a ledger that forgives nothing untold.

mod balanced;
mod balancer;
mod bandwidth;
mod crowd;
mod cuts;
mod hops;
mod kills;
mod ledger;
mod outages;
mod pace;
mod presence;
mod process;
mod pushing;
mod slow;
mod turns;
mod visitors;
mod waiting;
mod witness;
mod world;
