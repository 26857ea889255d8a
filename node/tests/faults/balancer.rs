//! A real balancer before the nodes of a test: nginx or haproxy, with the configuration that stands beside this file.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tengen_bus::testing::port_to_keep;
use tokio::net::TcpStream;

use crate::world::{World, eventually, scratch};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Haproxy,
}

/// A balancer of its own process, killed when dropped.
pub(crate) struct Balancer {
    kind: Kind,
    binary: PathBuf,
    /// Where everything passes.
    pub address: SocketAddr,
    /// Where WebSockets do not.
    pub no_upgrades: SocketAddr,
    folder: TempDir,
    child: Option<Child>,
}

impl Balancer {
    /// Starts one before all nodes; `None`, with the reason printed, where it is not installed.
    ///
    /// # Panics
    /// With `CI` set, instead of leaving anything out.
    pub(crate) async fn start(kind: Kind, world: &World) -> Option<Balancer> {
        let Some(binary) = find(kind) else {
            let missing = format!("no {}: `cargo xtask tools` installs it", kind.name());
            assert!(std::env::var_os("CI").is_none(), "{missing}");
            eprintln!("left out: {missing}");
            return None;
        };
        let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, port_to_keep()));
        let (public, no_upgrades) = (address(), address());
        let folder = scratch();
        let mut text = match kind {
            Kind::Nginx => include_str!("nginx.conf"),
            Kind::Haproxy => include_str!("haproxy.cfg"),
        }
        .replace("@LISTEN@", &public.to_string())
        .replace("@NO_UPGRADES@", &no_upgrades.to_string());
        for (number, node) in world.nodes.iter().enumerate() {
            text = text.replace(&format!("@NODE{number}@"), &node.address.to_string());
        }
        fs::write(folder.path().join("conf"), text).expect("a configuration");
        let mut balancer = Balancer {
            kind,
            binary,
            address: public,
            no_upgrades,
            folder,
            child: None,
        };
        balancer.start_again().await;
        Some(balancer)
    }

    /// Ends it without a word to anybody.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; waiting reaps it in both cases.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it, on the same ports as before, and waits until it listens.
    pub(crate) async fn start_again(&mut self) {
        let folder = self.folder.path();
        let log = File::create(folder.join("log")).expect("a log");
        let mut command = Command::new(&self.binary);
        match self.kind {
            // One process in the foreground, so that killing it leaves nothing behind.
            Kind::Nginx => command
                .args(["-g", "daemon off; master_process off;", "-c", "conf", "-p"])
                .arg(folder),
            Kind::Haproxy => command.args(["-db", "-f"]).arg(folder.join("conf")),
        };
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the balancer starts");
        self.child = Some(child);
        eventually("the balancer listens", async || {
            let ended = self.child.as_mut().map(Child::try_wait);
            if let Some(Ok(Some(status))) = ended {
                let log = fs::read_to_string(self.folder.path().join("log"));
                panic!("{} ended with {status}: {log:?}", self.kind.name());
            }
            TcpStream::connect(self.address).await.is_ok()
        })
        .await;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
        }
    }
}

fn find(kind: Kind) -> Option<PathBuf> {
    let named = std::env::var_os(kind.name().to_uppercase()).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    // Debian keeps servers where the `PATH` of ordinary users does not lead.
    let folders = folders.into_iter().chain([PathBuf::from("/usr/sbin")]);
    named
        .into_iter()
        .chain(folders.map(|folder| folder.join(kind.name())))
        .find(|candidate| candidate.is_file())
}
