//! Services that keep a copy of who is online, in Rust and in Python, while users come and go and the node that tells dies.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tengen_bus::presence::Follow;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Duration, sleep, timeout};

use super::Eavesdropper;
use crate::cluster::{Cluster, Kind, PATIENCE};

/// A copy of who is online, as its owner says it.
#[derive(Clone, Default)]
struct Copy(Arc<Mutex<(BTreeSet<String>, bool)>>);

impl Copy {
    /// What came is new, what went was there: else it is no copy.
    fn change(&self, opens: &[String], closes: &[String], whole: bool) {
        let mut copy = self.0.lock();
        for uid in opens {
            assert!(copy.0.insert(uid.clone()), "{uid} came twice");
        }
        for uid in closes {
            assert!(copy.0.remove(uid), "{uid} went twice");
        }
        copy.1 = whole;
    }

    /// Several patiences: a teller that died is missed after six seconds, its users wait the grace
    /// out, the next one waits two more, and followers load the base again.
    async fn becomes(&self, whose: &str, expected: &BTreeSet<String>) {
        let reached = async {
            loop {
                {
                    let copy = self.0.lock();
                    if copy.1 && copy.0 == *expected {
                        return;
                    }
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(5 * PATIENCE, reached).await.is_err() {
            let copy = self.0.lock().clone();
            panic!("{whose} has {copy:?}, not {expected:?}");
        }
    }
}

/// `node/examples/online.py`, as it is.
struct Python {
    copy: Copy,
    process: Child,
}

impl Python {
    fn start(url: &str) -> Python {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/online.py");
        let mut process = Command::new("python3")
            .args([script, url])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3 is there: `cargo xtask tools` installs it");
        let copy = Copy::default();
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let told = copy.clone();
        tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.expect("text") {
                let line: Value = serde_json::from_str(&line).expect("a line of json");
                let uids = |key: &str| -> Vec<String> {
                    serde_json::from_value(line[key].clone()).expect("a list of users")
                };
                told.change(&uids("opens"), &uids("closes"), line["whole"] == true);
                let online = told.0.lock().0.len();
                assert_eq!(line["online"], online, "it counts");
            }
        });
        Python { copy, process }
    }

    fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("it can be asked").is_none()
    }
}

async fn rust(cluster: &Cluster) -> Copy {
    let bus = cluster.net.bus().await;
    let mut online = Follow::start(&bus, &cluster.subjects())
        .await
        .expect("subscribed");
    let copy = Copy::default();
    let told = copy.clone();
    tokio::spawn(async move {
        while let Some(change) = online.next().await {
            let texts = |uids: &[tengen_protocol::Uid]| -> Vec<String> {
                uids.iter().map(ToString::to_string).collect()
            };
            let (opens, closes) = (texts(&change.opens), texts(&change.closes));
            told.change(&opens, &closes, online.is_whole());
            assert_eq!(online.len(), told.0.lock().0.len());
        }
    });
    copy
}

fn set(uids: &[&str]) -> BTreeSet<String> {
    uids.iter().map(|&uid| uid.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f52_f53_copies_of_services_equal_the_truth_after_joins_leaves_outages_and_a_dead_teller() {
    let mut cluster = Cluster::start(Kind::Nats, 3).await;
    let feed = Eavesdropper::start(&cluster).await;
    let early = rust(&cluster).await;
    let mut python = Python::start(&cluster.net.nats().url());
    let odd = "Zoë 🦀 \"a.b.*.>\"\\";
    let alice = cluster.client(1, Some("alice")).await;
    let also = cluster.client(2, Some("alice")).await;
    let zoe = cluster.client(2, Some(odd)).await;
    let both = async |python: &Python, early: &Copy, expected: &[&str]| {
        early.becomes("rust", &set(expected)).await;
        python.copy.becomes("python", &set(expected)).await;
    };
    both(&python, &early, &["alice", odd]).await;
    alice.close().await;
    zoe.close().await;
    let bob = cluster.client(1, Some("bob")).await;
    both(&python, &early, &["alice", "bob"]).await;

    // The one that tells dies without a word, and so do its users.
    let teller = feed.teller().strip_prefix('n').and_then(|n| n.parse().ok());
    let teller: usize = teller.expect("a node of the test");
    let carol = cluster.client(teller, Some("carol")).await;
    both(&python, &early, &["alice", "bob", "carol"]).await;
    let survivors: Vec<usize> = (0..3).filter(|&number| number != teller).collect();
    let dave = cluster.client(survivors[0], Some("dave")).await;
    drop(cluster.take(teller));
    let late = rust(&cluster).await;
    let mut expected = set(&["dave"]);
    for (uid, on) in [("alice", 2), ("bob", 1)] {
        if on != teller {
            expected.insert(uid.to_owned());
        }
    }
    drop(carol);
    early.becomes("rust", &expected).await;
    late.becomes("rust that came late", &expected).await;
    python.copy.becomes("python", &expected).await;

    // Everybody's bus goes away, and a user with it.
    cluster.stop_nats();
    dave.close().await;
    expected.remove("dave");
    cluster.start_nats().await;
    early.becomes("rust", &expected).await;
    python.copy.becomes("python", &expected).await;
    assert!(python.is_running());
    drop((also, bob));
}
