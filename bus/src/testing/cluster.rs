//! Several nats-servers that know each other.

use std::time::{Duration, Instant};

use super::server::{ANY_CLUSTER_PORT, NatsServer};

const FORM_TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// A full mesh of nats-servers, killed when dropped.
#[derive(Debug)]
pub struct NatsCluster {
    /// The servers, in the order they were started.
    pub servers: Vec<NatsServer>,
}

impl NatsCluster {
    /// Starts `count` servers and waits until each knows all the others.
    ///
    /// # Panics
    /// As [`NatsServer::start`], and when the cluster does not form.
    pub async fn start(count: usize) -> NatsCluster {
        let mut servers: Vec<NatsServer> = Vec::with_capacity(count);
        for _ in 0..count {
            let mut arguments = vec!["--cluster_name", "test", "--cluster", ANY_CLUSTER_PORT];
            // The first one is enough: servers tell each other whom else they know.
            let routes = servers
                .first()
                .and_then(NatsServer::cluster_port)
                .map(|port| format!("nats://127.0.0.1:{port}"));
            if let Some(routes) = &routes {
                arguments.extend(["--routes", routes]);
            }
            servers.push(NatsServer::start_with(&arguments).await);
        }
        let cluster = NatsCluster { servers };
        cluster.formed().await;
        cluster
    }

    /// Kills all servers: connections break without a goodbye.
    pub fn stop(&mut self) {
        // Killed one after the other, a client of the first would be back at the next for a moment.
        let running = self.servers.iter().filter(|server| server.is_running());
        running.for_each(NatsServer::pause);
        self.servers.iter_mut().for_each(NatsServer::stop);
    }

    /// Starts all servers again, on the same ports, and waits until each knows all the others.
    ///
    /// # Panics
    /// As [`NatsCluster::start`].
    pub async fn start_again(&mut self) {
        for server in &mut self.servers {
            server.start_again().await;
        }
        self.formed().await;
    }

    async fn formed(&self) {
        let begun = Instant::now();
        while !self.is_formed().await {
            assert!(
                begun.elapsed() < FORM_TIMEOUT,
                "the servers did not find each other"
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Where clients connect: one URL per server.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(NatsServer::url).collect()
    }

    /// Each server names the client addresses of all servers to new clients.
    async fn is_formed(&self) -> bool {
        for server in &self.servers {
            let Ok(info) = server.info().await else {
                return false;
            };
            let known = info
                .get("connect_urls")
                .and_then(|urls| urls.as_array())
                .map_or(0, Vec::len);
            if known < self.servers.len() {
                return false;
            }
        }
        true
    }
}
