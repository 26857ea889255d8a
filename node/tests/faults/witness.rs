//! Whether the nodes of a test answered in time: what they promise of a session that moves holds while they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tengen_protocol::takeover::RELEASE_TIMEOUT_MS;
use tokio::task::JoinHandle;

use crate::visitors::{Report, assert_all};
use crate::world::World;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// A node that takes longer may leave another one's question about a session unanswered, which asks
/// twice: the machine is too busy to show more than that nothing is missing untold.
const IN_TIME: Duration = Duration::from_millis(RELEASE_TIMEOUT_MS / 2);

/// Asks every node all the time how it is.
pub(crate) struct Witness {
    /// The longest that a node took to answer, in milliseconds.
    longest: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Witness {
    pub(crate) fn of(world: &World) -> Witness {
        let longest = Arc::new(AtomicU64::new(0));
        let urls: Vec<_> = world
            .nodes
            .iter()
            .map(|node| format!("http://{}/healthz", node.admin))
            .collect();
        let seen = Arc::clone(&longest);
        let http = reqwest::Client::new();
        let task = tokio::spawn(async move {
            loop {
                let asked = Instant::now();
                join_all(urls.iter().map(|url| http.get(url).send())).await;
                seen.fetch_max(asked.elapsed().as_millis() as u64, Ordering::Relaxed);
                tokio::time::sleep(PAUSE).await;
            }
        });
        Witness { longest, task }
    }

    /// Fails the test unless everything is whole in both directions; where nodes did not answer in
    /// time, unless whatever is missing was told, and nothing came twice or out of order.
    pub(crate) fn assert_whole(&self, reports: &[Report]) {
        let longest = Duration::from_millis(self.longest.load(Ordering::Relaxed));
        if longest <= IN_TIME {
            assert_all("whole in both directions", reports, Report::is_whole);
        } else {
            eprintln!("a node took {longest:?} to answer: what was told as missing is forgiven");
            assert_all("told of all that is missing", reports, Report::is_honest);
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}
