//! A watcher of who is online that reads nothing: bounded, told to load anew, in nobody's way.

use std::collections::BTreeMap;

use tengen_bus::{Bus, Publish};
use tengen_protocol::presence::{Delta, Epoch, Kinds, Message};
use tengen_protocol::{NodeId, Uid};

use crate::cluster::{Cluster, Kind, metric, soon};
use crate::streams::{Stream, Told};

/// A node without a body: it says who is there.
struct Peer {
    bus: Bus,
    seq: u64,
}

const USERS: usize = 1_000;

impl Peer {
    /// All come or go at once.
    async fn says(&mut self, users: usize, now: Kinds) {
        self.seq += 1;
        let uid = |number| Uid::parse(&format!("user-{number:05}")).expect("valid");
        let delta = Message::Delta(Delta {
            node: NodeId::parse("peer").expect("valid"),
            epoch: Epoch(1_790_000_000_000),
            seq: self.seq,
            changes: (0..users).map(|number| (uid(number), now)).collect(),
        });
        let said = Publish::new("tengen.presence", delta.encode());
        self.bus.publish(said).await.expect("published");
    }
}

/// What a watcher makes of what it is told.
#[derive(Default)]
struct Copy(BTreeMap<String, bool>);

impl Copy {
    fn apply(&mut self, told: &Told) {
        if told.data["reset"] == true {
            self.0.clear();
        }
        for user in told.data["uids"].as_array().expect("a list") {
            let uid = user["uid"].as_str().expect("a uid").to_owned();
            match user["ws"] == true || user["poll"] == true {
                true => self.0.insert(uid, true),
                false => self.0.remove(&uid),
            };
        }
    }
}

/// What the kernel may keep for one socket, at most.
fn kernel_keeps() -> usize {
    let limits = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem");
    let most = limits
        .ok()
        .and_then(|it| it.split_whitespace().last()?.parse().ok());
    most.unwrap_or(4 << 20)
}

/// What the node may: an update of two pages, an event of it as text, and what hyper has taken.
const NODE_KEEPS: usize = 512 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_reads_nothing_is_bounded_delays_nobody_and_loads_anew() {
    let mut cluster = Cluster::start(Kind::Local, 1).await;
    let mut stalled = Stream::over_a_narrow_socket(&cluster, 0).await;
    let _never = Stream::over_a_narrow_socket(&cluster, 0).await;
    let mut other = Stream::of(&cluster, 0, None).await;
    let (mut shown, mut copy) = (Copy::default(), Copy::default());
    shown.apply(&other.next().await);

    let mut peer = Peer {
        bus: cluster.service().await,
        seq: 0,
    };
    // More than the kernel and the node together keep for one that does not read, then more than
    // the node keeps for all.
    let (mut rounds, mut enough) = (0, usize::MAX);
    while rounds < enough {
        let kinds = [Kinds::WS, Kinds::NONE][rounds % 2];
        peer.says(USERS, kinds).await;
        let there = [USERS, 0][rounds % 2];
        while shown.0.len() != there {
            shown.apply(&other.next().await);
        }
        rounds += 1;
        if other.read > kernel_keeps() + NODE_KEEPS && enough == usize::MAX {
            enough = rounds + 50;
        }
    }
    peer.says(7, Kinds::WS).await;
    while shown.0.len() != 7 {
        shown.apply(&other.next().await);
    }

    let behind = metric(&cluster, 0, "tengen_online_streams_behind_total").await;
    assert_eq!(behind, 0, "nobody has begun to read again");
    let mut resets = 0;
    while copy.0 != shown.0 || resets < 2 {
        let told = stalled.next().await;
        if told.data["reset"] == true {
            resets += 1;
        }
        // The first one is its beginning.
        if resets < 2 {
            let most = kernel_keeps() + NODE_KEEPS;
            assert!(stalled.read <= most, "{} of {most}", stalled.read);
        }
        copy.apply(&told);
    }
    let behind = metric(&cluster, 0, "tengen_online_streams_behind_total").await;
    assert_eq!(behind, 1, "it was shown everybody anew");
    println!(
        "read {} of {} bytes in {rounds} rounds",
        stalled.read, other.read
    );

    // Nor does the node's end wait for the one that still reads nothing.
    soon("the node's end", cluster.take(0).stop()).await;
}
