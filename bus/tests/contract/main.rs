//! One suite of promises, run over the local bus, over NATS, and over two servers of a NATS cluster.

mod bounds;
mod burst;
mod nats_only;
mod order;
mod outage;
mod presence;
mod pushes;
mod requests;
mod routing;
mod world;

/// Makes three tests of each promise: one per kind of bus.
macro_rules! promises {
    ($($promise:ident)*) => {
        mod local {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise(crate::world::World::local()).await;
            })*
        }
        mod nats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise(crate::world::World::nats().await).await;
            })*
        }
        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise(crate::world::World::cluster().await).await;
            })*
        }
    };
}
pub(crate) use promises;
