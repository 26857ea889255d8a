//! Handlers of users that come and go: once in the cluster, on the node that tells, also when that node leaves or dies.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tengen_node::NodeBuilder;
use tengen_protocol::{NodeId, Uid};
use tokio::time::sleep;

use crate::cluster::{Cluster, Kind, PATIENCE};

crate::each_bus!(
    f52_f53_handlers_run_once_in_the_cluster_per_incarnation,
    f52_f53_a_teller_that_leaves_hands_on_so_that_handlers_still_run_once_each,
    f52_f53_a_teller_that_dies_costs_no_handler_its_run,
);

/// What handlers were told, in order: on which node, of whom, whether they came.
#[derive(Clone, Default)]
struct Ran(Arc<Mutex<Vec<(String, String, bool)>>>);

impl Ran {
    fn handlers(&self, builder: NodeBuilder) -> NodeBuilder {
        let (opened, closed) = (self.clone(), self.clone());
        builder
            .on("chsk/uidport-open", move |uid: Uid, node: NodeId| {
                opened.note(&node, &uid, true);
                async {}
            })
            .on("chsk/uidport-close", move |uid: Uid, node: NodeId| {
                closed.note(&node, &uid, false);
                async {}
            })
    }

    fn note(&self, node: &NodeId, uid: &Uid, came: bool) {
        let ran = (node.to_string(), uid.to_string(), came);
        self.0.lock().push(ran);
    }

    fn of(&self, uid: &str) -> Vec<bool> {
        let ran = self.0.lock();
        let of = ran.iter().filter(|(_, of, _)| of == uid);
        of.map(|(_, _, came)| *came).collect()
    }

    /// The last node whose handlers ran.
    fn teller(&self) -> usize {
        let ran = self.0.lock();
        let (node, ..) = ran.last().expect("something ran");
        let number = node
            .strip_prefix('n')
            .and_then(|number| number.parse().ok());
        number.expect("a node of the test")
    }

    /// Three patiences: a node that died is missed after six seconds, its users wait the grace out,
    /// and the next teller waits two more.
    async fn until(&self, uid: &str, expected: &[bool]) {
        let reached = async {
            while self.of(uid) != expected {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(3 * PATIENCE, reached).await.is_err() {
            panic!("handlers were told of {uid}: {:?}", self.of(uid));
        }
    }
}

async fn start(kind: Kind, ran: &Ran) -> Cluster {
    Cluster::with(kind, 3, |builder| ran.handlers(builder)).await
}

async fn f52_f53_handlers_run_once_in_the_cluster_per_incarnation(kind: Kind) {
    let ran = Ran::default();
    let cluster = start(kind, &ran).await;
    for incarnation in 1..=2 {
        let mut expected = [true, false].repeat(incarnation - 1);
        let here = cluster.client(0, Some("alice")).await;
        let there = cluster.client(2, Some("alice")).await;
        expected.push(true);
        ran.until("alice", &expected).await;
        here.close().await;
        // The grace of one who is not the last.
        sleep(Duration::from_secs(4)).await;
        assert_eq!(ran.of("alice"), expected, "somebody is still there");
        there.close().await;
        expected.push(false);
        ran.until("alice", &expected).await;
    }
    let mut nodes: Vec<String> = ran.0.lock().iter().map(|(node, ..)| node.clone()).collect();
    nodes.dedup();
    assert_eq!(nodes.len(), 1, "on one node: {nodes:?}");
}

async fn f52_f53_a_teller_that_leaves_hands_on_so_that_handlers_still_run_once_each(kind: Kind) {
    let ran = Ran::default();
    let mut cluster = start(kind, &ran).await;
    let marker = cluster.client(1, Some("marker")).await;
    ran.until("marker", &[true]).await;
    let teller = ran.teller();
    let (one, other) = ((teller + 1) % 3, (teller + 2) % 3);
    let alice = cluster.client(one, Some("alice")).await;
    let bob = cluster.client(other, Some("bob")).await;
    ran.until("alice", &[true]).await;
    ran.until("bob", &[true]).await;
    alice.close().await;
    cluster.take(teller).stop().await;
    ran.until("alice", &[true, false]).await;
    assert_ne!(ran.teller(), teller);
    bob.close().await;
    ran.until("bob", &[true, false]).await;
    assert_eq!(ran.of("alice"), [true, false], "once each");
    drop(marker);
}

async fn f52_f53_a_teller_that_dies_costs_no_handler_its_run(kind: Kind) {
    let ran = Ran::default();
    let mut cluster = start(kind, &ran).await;
    let marker = cluster.client(0, Some("marker")).await;
    ran.until("marker", &[true]).await;
    let teller = ran.teller();
    let one = (teller + 1) % 3;
    let alice = cluster.client(one, Some("alice")).await;
    ran.until("alice", &[true]).await;
    let bob = cluster.client(one, Some("bob")).await;
    alice.close().await;
    // Without a farewell: whatever it was about to tell, or to run, is left to another.
    drop(cluster.take(teller));
    let at_least_once = async {
        while ran.of("alice").last() != Some(&false) || ran.of("bob").last() != Some(&true) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(3 * PATIENCE, at_least_once)
        .await
        .is_err()
    {
        panic!("alice {:?}, bob {:?}", ran.of("alice"), ran.of("bob"));
    }
    let mut told = ran.of("alice");
    told.dedup();
    assert_eq!(told, [true, false], "at least once, in order");
    drop((marker, bob));
}
