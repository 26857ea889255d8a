//! Starts a node of its own for a measurement, and ends it with the measurement.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::{Rng as _, RngExt as _};

use crate::target::Target;

/// Of all nodes that are started here: those of one cluster must share it.
static KEY: LazyLock<[u8; 64]> = LazyLock::new(|| {
    let mut key = [0; 64];
    rand::rng().fill_bytes(&mut key);
    key
});

/// A node that was started here; dropping it ends it.
pub(crate) struct NodeProcess {
    child: Child,
    pub(crate) target: Target,
}

impl NodeProcess {
    /// Starts `binary` with the demo's login, on ports of its own, and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started, or is not ready within 20 s.
    pub(crate) async fn start(
        binary: &Path,
        nats_url: Option<&str>,
        prefix: &str,
    ) -> Result<NodeProcess> {
        let (address, admin) = (free_address()?, free_address()?);
        let mut command = Command::new(binary);
        // Settings that happen to stand in our own environment are not this node's.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"TENGEN_") {
                command.env_remove(name);
            }
        }
        command
            .arg("--demo")
            .env("TENGEN_LISTEN", address.to_string())
            .env("TENGEN_ADMIN_LISTEN", admin.to_string())
            .env("TENGEN_PREFIX", prefix)
            .env("TENGEN_COOKIE_KEY", STANDARD.encode(*KEY))
            .env("TENGEN_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        if let Some(url) = nats_url {
            command.env("TENGEN_NATS_URL", url);
        }
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let target = Target {
            address,
            path: "/chsk".to_owned(),
            admin: Some(admin),
            pid: Some(child.id()),
        };
        let node = NodeProcess { child, target };
        node.target.ready(Duration::from_secs(20)).await?;
        Ok(node)
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // An error means that it has ended already, which the measurement has told by then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nobody listens on, below the ports that a system gives to connections by itself
/// (Linux from 32768, others from 49152): whoever connects meanwhile would take one of those.
fn free_address() -> Result<SocketAddr> {
    let mut random = rand::rng();
    (0..1_000)
        .map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, random.random_range(10_000..32_000))))
        .find(|address| TcpListener::bind(address).is_ok())
        .context("no port below the system's own is free")
}
