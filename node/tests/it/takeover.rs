//! Sessions that go from node to node under their clients: nothing lost, nothing twice, nothing out of order.

/// Makes of `async fn f62_name(way: Way)` one test for each transport and bus. A session on
/// long-poll stays where it is until its client says hello elsewhere.
macro_rules! each_move {
    ($($name:ident),+ $(,)?) => {
        $crate::each_way! { @as ws_on_local: Local Ws Cbor Own: $($name)+ }
        $crate::each_way! { @as ws_over_nats: Nats Ws Json Own: $($name)+ }
        $crate::each_way! { @as poll_on_local: Local Poll Json Own: $($name)+ }
        $crate::each_way! { @as poll_over_nats: Nats Poll Cbor Own: $($name)+ }
    };
}

mod handlers;
mod holders;
mod identity;
mod queues;

use std::net::SocketAddr;

use tengen_bus::testing::{Admission, Proxy, Whom};
use tengen_client::{Builder, Client};
use tengen_node::NodeBuilder;

use crate::cluster::{Cluster, eventually, metric};
use crate::heard::Heard;
use crate::way::{By, Way};

/// A client whose connections go wherever the test sends them.
pub(crate) struct Nomad {
    pub client: Client,
    pub heard: Heard,
    proxy: Proxy,
    way: Way,
}

impl Nomad {
    /// A client of `uid` that begins on node 0.
    pub(crate) async fn start(cluster: &Cluster, way: Way, uid: Option<&str>) -> Nomad {
        Nomad::with(cluster, way, uid, |builder| builder).await
    }

    pub(crate) async fn with(
        cluster: &Cluster,
        way: Way,
        uid: Option<&str>,
        change: impl FnOnce(Builder) -> Builder,
    ) -> Nomad {
        let home = cluster.node(0);
        let proxy = Proxy::start(&[home.address]).await;
        let url = home.url();
        let url = url.replace(&home.address.to_string(), &proxy.address().to_string());
        let mut builder = change(way.client(&url));
        if let Some(uid) = uid {
            builder = builder.header("x-uid", uid);
        }
        // Never opened before this: nothing can have been missed.
        let client = builder.idle().expect("the settings are good");
        let heard = Heard::by(&client);
        client.connect().await.expect("the client lives");
        let nomad = Nomad {
            client,
            heard,
            proxy,
            way,
        };
        nomad.until_open_on(0).await;
        nomad
    }

    /// Sends later connections to this node, and breaks the present ones.
    pub(crate) async fn cut_and_aim(&self, address: SocketAddr) {
        self.proxy.aim(&[address]);
        self.proxy.admit(Whom::Everybody, Admission::Pass);
        for link in self.proxy.links() {
            link.cut();
        }
        if self.way.by == By::Poll {
            // Any node serves its requests; only a hello brings the session there.
            self.client.reconnect().await.expect("the client lives");
        }
    }

    /// Breaks the connection and lets none in until it is cut and aimed again.
    pub(crate) async fn is_shut_out(&self) {
        self.proxy.admit(Whom::Everybody, Admission::Reset);
        for link in self.proxy.links() {
            link.cut();
        }
        if self.way.by == By::Poll {
            // It tries again for a while before it calls itself closed.
            return eventually("nothing passes", async || self.proxy.is_idle()).await;
        }
        let state = self.client.state();
        eventually("the client is cut off", async || !state.borrow().open).await;
    }

    /// Has the client's session go to node `to`, whole.
    pub(crate) async fn moves_to(&self, cluster: &Cluster, to: usize) {
        let session = self.client.state().borrow().session.clone();
        self.cut_and_aim(cluster.node(to).address).await;
        self.until_open_on(to).await;
        let state = self.client.state().borrow().clone();
        assert_eq!(state.session, session, "it is the same session");
        assert!(state.resumed && !state.gap, "it is whole");
    }

    pub(crate) async fn until_open_on(&self, node: usize) {
        let node = format!("n{node}");
        let state = self.client.state();
        eventually("the client is open there", async || {
            let state = state.borrow();
            state.open && state.node.as_ref().is_some_and(|at| at.as_str() == node)
        })
        .await;
    }
}

/// Nodes whose handlers are `change`'s.
async fn cluster_with(
    way: Way,
    count: usize,
    change: impl Fn(NodeBuilder) -> NodeBuilder,
) -> Cluster {
    Cluster::with(way, count, change).await
}

/// How many sessions a node has taken over.
async fn taken(cluster: &Cluster, node: usize) -> u64 {
    metric(cluster, node, "tengen_takeover_taken_total").await
}
