//! One nats-server process for a test.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::ports::port_to_keep;

const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often another port is tried, when somebody was quicker to take the one that was free.
const START_TRIES: usize = 5;
/// The cluster address that stands for a port of the server's own.
pub(super) const ANY_CLUSTER_PORT: &str = "nats://127.0.0.1:-1";
const POLL: Duration = Duration::from_millis(10);

/// A real nats-server on 127.0.0.1, on a port of its own, killed when dropped.
#[derive(Debug)]
pub struct NatsServer {
    folder: TempDir,
    arguments: Vec<String>,
    port: u16,
    cluster_port: Option<u16>,
    monitor_port: Option<u16>,
    process: Option<Child>,
}

impl NatsServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// Without a nats-server in `$NATS_SERVER`, on the `PATH` or in `target/tools/bin`, and when
    /// it does not start: a test without it would prove nothing.
    pub async fn start() -> NatsServer {
        NatsServer::start_with(&[]).await
    }

    /// The same with further command-line arguments or a configuration (`-c file`).
    ///
    /// # Panics
    /// As [`NatsServer::start`].
    pub async fn start_with(arguments: &[&str]) -> NatsServer {
        let arguments = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        let folder = tempfile::Builder::new()
            .prefix("nats-")
            .tempdir_in(scratch())
            .expect("a folder for the server below target/");
        let mut server = NatsServer {
            folder,
            arguments,
            port: 0,
            cluster_port: None,
            monitor_port: None,
            process: None,
        };
        server.run().await;
        server
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The client port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port for other servers, if it was started with `--cluster`.
    #[must_use]
    pub fn cluster_port(&self) -> Option<u16> {
        self.cluster_port
    }

    /// Kills the server: connections break without a goodbye. It can be started again.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself; waiting for it reaps it in both cases.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Whether it was started and not stopped since.
    pub(super) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Makes the server hang: connections stay open and nothing answers.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Ends a [`NatsServer::pause`].
    ///
    /// # Panics
    /// When it does not run.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self
            .process
            .as_ref()
            .expect("the server runs")
            .id()
            .to_string();
        let status = Command::new("kill").args([signal, &pid]).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "kill {signal} {pid}"
        );
    }

    /// Starts a stopped server again, on the same ports.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&mut self) {
        self.run().await;
    }

    /// Kills the server and starts it again on the same ports.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.stop();
        self.run().await;
    }

    /// What the server says to a new client: its INFO line, as JSON.
    ///
    /// # Errors
    /// Not reachable, or no NATS server.
    pub async fn info(&self) -> io::Result<Value> {
        let mut line = String::new();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        BufReader::new(stream).read_line(&mut line).await?;
        let text = line
            .strip_prefix("INFO ")
            .ok_or(io::ErrorKind::InvalidData)?;
        Ok(serde_json::from_str(text)?)
    }

    /// Changes what the next start is given.
    pub fn change_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
    }

    /// How many clients are connected. Needs monitoring: start it with `-m -1`.
    ///
    /// # Panics
    /// Without monitoring.
    pub async fn connections(&self) -> u64 {
        let port = self.monitor_port.expect("started with -m -1");
        let mut stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("monitoring answers");
        let request = b"GET /varz HTTP/1.0\r\n\r\n";
        stream.write_all(request).await.expect("monitoring answers");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("monitoring answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let varz: Value = serde_json::from_str(body).expect("monitoring speaks JSON");
        varz["connections"]
            .as_u64()
            .expect("a number of connections")
    }

    async fn run(&mut self) {
        let again = self.port != 0;
        for tries_left in (0..START_TRIES).rev() {
            let (port, cluster_port) = match self.cluster_port {
                _ if !again => (port_to_keep(), port_to_keep()),
                Some(cluster_port) => (self.port, cluster_port),
                None => (self.port, port_to_keep()),
            };
            let Err(why) = self.try_run(port, cluster_port).await else {
                return;
            };
            let taken = why.contains("address already in use");
            assert!(
                taken && !again && tries_left > 0,
                "nats-server did not start: {why}"
            );
        }
    }

    /// One start; what the server logged when it ends instead of answering.
    async fn try_run(&mut self, port: u16, cluster_port: u16) -> Result<(), String> {
        let cluster = format!("nats://127.0.0.1:{cluster_port}");
        let log = self.folder.path().join("log");
        let mut command = Command::new(binary());
        command
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .arg("--ports_file_dir")
            .arg(self.folder.path())
            .arg("--log")
            .arg(&log)
            .args(self.arguments.iter().map(|argument| {
                if argument == ANY_CLUSTER_PORT {
                    &cluster
                } else {
                    argument
                }
            }))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = command.spawn().expect("nats-server starts");
        let pid = process.id();
        self.process = Some(process);
        let begun = Instant::now();
        while !self.is_ready(pid).await {
            let ended = self
                .process
                .as_mut()
                .and_then(|process| process.try_wait().ok().flatten());
            if ended.is_some() || begun.elapsed() > START_TIMEOUT {
                self.stop();
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("{ended:?}: {log}"));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Reads the ports that the server chose, and sees whether it answers there.
    async fn is_ready(&mut self, pid: u32) -> bool {
        let path = self.folder.path().join(format!("nats-server_{pid}.ports"));
        let Ok(text) = fs::read_to_string(path) else {
            return false;
        };
        // Read while it was being written: next time.
        let Ok(ports) = serde_json::from_str::<Value>(&text) else {
            return false;
        };
        let port_of = |what: &str| {
            let url = ports.get(what)?.get(0)?.as_str()?;
            url.rsplit_once(':')?.1.parse::<u16>().ok()
        };
        let Some(port) = port_of("nats") else {
            return false;
        };
        self.port = port;
        self.cluster_port = port_of("cluster");
        self.monitor_port = port_of("monitoring");
        self.info().await.is_ok()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Below the build folder: what a killed test leaves behind goes with `cargo clean`.
fn scratch() -> PathBuf {
    let folder = target().join("nats");
    fs::create_dir_all(&folder).expect("a folder below target/");
    folder
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    )
}

fn binary() -> PathBuf {
    let named = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| {
        std::env::split_paths(&path)
            .map(|folder| folder.join("nats-server"))
            .collect::<Vec<_>>()
    });
    let fetched = target().join("tools/bin/nats-server");
    named
        .into_iter()
        .chain(on_path)
        .chain([fetched])
        .find(|candidate| candidate.is_file())
        .expect(
            "no nats-server in $NATS_SERVER, on the PATH or in target/tools/bin: \
             run `cargo xtask test`, which fetches it",
        )
}
