//! A node in a real cluster of three nats-servers: open means that every server sends it what is pushed.

use tengen_bus::testing::NatsCluster;
use tengen_bus::{Health, NatsOptions};

use super::*;
use crate::interest::{Neighbour, Neighbours};

/// Starts of a node. Without the question to the other servers one of some twenty misses a push
/// here, so that as many cannot pass by luck.
const STARTS: u64 = 100;

/// The nodes that are there, all heard just now, in place of a roster.
struct AllHeard {
    hub: Arc<Hub>,
    nodes: Vec<(NodeId, Arc<str>)>,
}

impl Neighbours for AllHeard {
    fn nodes(&self) -> Vec<Neighbour> {
        let heard = self.nodes.iter().map(|(node, server)| Neighbour {
            node: node.clone(),
            me: *node == self.hub.config().node,
            server: Arc::clone(server),
            heard_at: self.hub.now(),
        });
        heard.collect()
    }
}

/// A bus at this server, and the server's id.
async fn bus_at(url: &str) -> (Bus, Arc<str>) {
    let bus = Bus::nats(NatsOptions::new(url.to_owned()))
        .await
        .expect("a url");
    let mut health = bus.health();
    let up = health.wait_for(|health| health.is_up()).await.expect("up");
    let Health::Up {
        server, clustered, ..
    } = up.clone()
    else {
        unreachable!("it was waited for")
    };
    drop(up);
    assert!(clustered);
    (bus, server)
}

async fn begun_at(url: &str, name: &str, others: &[(NodeId, Arc<str>)]) -> Node {
    let (bus, server) = bus_at(url).await;
    let node = begun_on(bus, name, |_| {}).await;
    let mut nodes = others.to_vec();
    nodes.push((NodeId::parse(name).expect("valid"), server));
    let hub = Arc::clone(&node.spine.hub);
    node.spine.interest.know(Arc::new(AllHeard { hub, nodes }));
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_through_any_server_once_a_node_is_open_reaches_it() {
    let cluster = NatsCluster::start(3).await;
    let urls = cluster.urls();
    let (mut peers, mut others) = (Vec::new(), Vec::new());
    for (name, url) in [("n2", &urls[1]), ("n3", &urls[2])] {
        let peer = begun_at(url, name, &others).await;
        until_open(&peer.spine.interest).await;
        let (_, server) = bus_at(url).await;
        others.push((NodeId::parse(name).expect("valid"), server));
        peers.push(peer);
    }
    let mut missed = 0;
    for start in 0..STARTS {
        let node = begun_at(&urls[0], &format!("new-{start}"), &others).await;
        let mut tab = node.tab(Some("alice"), "tab");
        let mut status = node.spine.interest.watch();
        let open = status.wait_for(|status| status.is_open()).await;
        open.expect("the node runs");
        let subject = "tengen.send-to.uid.alice";
        for (n, peer) in peers.iter().enumerate() {
            peer.publish(subject, &format!(r#"["t/first",{n}]"#)).await;
        }
        // Later ones do come, and one publisher's pushes arrive in order: then the first of each is
        // there, or never will be.
        let of = |tab: &Tab, id: &str| tab.events.iter().filter(|(event, _)| event == id).count();
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut later = Vec::new();
        while later.len() < peers.len() {
            assert!(Instant::now() < deadline, "nothing arrives");
            for (n, peer) in peers.iter().enumerate() {
                peer.publish(subject, &format!(r#"["t/later",{n}]"#)).await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            tab.look();
            later = tab
                .events
                .iter()
                .filter(|(id, _)| id == "t/later")
                .cloned()
                .collect();
            later.sort();
            later.dedup();
        }
        missed += peers.len() - of(&tab, "t/first");
    }
    assert_eq!(missed, 0, "of {} pushes", 2 * STARTS);
}
