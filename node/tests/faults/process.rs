//! One `tengen-node` process of a test: started, stopped in every way there is, ended by its id.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tengen_bus::testing::port_to_keep;

use crate::world::eventually;

/// The same on all nodes of a test.
const KEY: &str = "a cookie key of more than thirty-two characters";

/// A node of its own process, killed when dropped.
pub(crate) struct NodeProcess {
    pub id: String,
    /// Where clients connect. Kept over a restart.
    pub address: SocketAddr,
    pub admin: SocketAddr,
    settings: Vec<(&'static str, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl NodeProcess {
    /// Starts a node on ports that it can have again.
    pub(crate) fn start(
        id: &str,
        folder: &Path,
        settings: &[(&'static str, String)],
    ) -> NodeProcess {
        let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, port_to_keep()));
        let mut node = NodeProcess {
            id: id.to_owned(),
            address: address(),
            admin: address(),
            settings: settings.to_vec(),
            log: folder.join(format!("{id}.log")),
            child: None,
        };
        node.run();
        node
    }

    fn run(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_tengen-node"))
            .env_clear()
            .arg("--demo")
            .env("TENGEN_LISTEN", self.address.to_string())
            .env("TENGEN_ADMIN_LISTEN", self.admin.to_string())
            .env("TENGEN_NODE_ID", &self.id)
            .env("TENGEN_COOKIE_KEY", KEY)
            .envs(self.settings.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the node starts");
        self.child = Some(child);
    }

    /// Starts a stopped node again, on the same ports and under the same id.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.id);
        self.run();
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node runs").id()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; waiting reaps it in both cases.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGSTOP: everything stays open and nothing moves.
    pub(crate) fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.pid()).expect("a pid");
        // SAFETY: kill(2) touches no memory of ours, and the child has not been waited for, so the pid is its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "{} runs", self.id);
    }

    /// Waits until the node says that it is ready.
    pub(crate) async fn ready(&self) {
        let url = format!("http://{}/readyz", self.admin);
        eventually("the node is ready", async || {
            reqwest::get(&url)
                .await
                .is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    /// The cookie of a user who logged in here; it holds on every node.
    pub(crate) async fn log_in(&self, uid: &str) -> String {
        let response = reqwest::Client::new()
            .post(format!("http://{}/login", self.address))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("uid={uid}"))
            .send()
            .await
            .expect("the node answers");
        assert!(response.status().is_success(), "{}", response.status());
        let cookies = response.headers().get_all("set-cookie").iter();
        let cookies = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
        cookies.collect::<Vec<_>>().join("; ")
    }

    /// What `/metrics` say of one name without labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let url = format!("http://{}/metrics", self.admin);
        let response = reqwest::get(url).await.expect("the admin port answers");
        let text = response.text().await.expect("a body");
        let value = text.lines().find_map(|line| {
            let (key, value) = line.split_once(' ')?;
            (key == name).then(|| value.parse().ok())?
        });
        value.unwrap_or_else(|| panic!("{name} is not in /metrics"))
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(15)..];
            eprintln!("the log of {} ends:\n{}", self.id, tail.join("\n"));
        }
    }
}
