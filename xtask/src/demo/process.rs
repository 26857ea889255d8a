//! One process of the demo: started, waited for until it serves, ended by its id when dropped.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A server that starts slower than this on two busy cores is broken.
const START: Duration = Duration::from_secs(60);
/// After a polite SIGTERM; then it is killed.
const END: Duration = Duration::from_secs(5);

pub(super) struct Process {
    name: String,
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
    url: String,
}

impl Process {
    /// Starts a node and waits until it is ready.
    pub(super) fn node(
        target: &Path,
        logs: &Path,
        name: &str,
        listen: SocketAddr,
        settings: &[(&str, String)],
    ) -> Result<Self> {
        let binary = target.join("debug/tengen-node");
        let mut command = Command::new(&binary);
        command
            .args([
                "--demo",
                "--listen",
                &listen.to_string(),
                "--admin-listen",
                "127.0.0.1:0",
            ])
            .env("TENGEN_NODE_ID", name)
            .envs(settings.iter().map(|(key, value)| (key, value.as_str())))
            .stdout(Stdio::piped());
        let mut child = spawn(&mut command, logs, name)?;
        let stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut process = Self {
            name: format!("node {name}"),
            child,
            public: listen,
            admin: listen,
            url: String::new(),
        };
        let Some((public, admin, rest)) = addresses(stdout) else {
            bail!(
                "{binary} did not start; see {logs}",
                binary = binary.display(),
                logs = logs.display()
            );
        };
        process.name = name.to_owned();
        process.public = public;
        process.admin = admin;
        // What it prints later goes nowhere, but must be read: a full pipe would stop the node.
        std::thread::spawn(move || std::io::copy(&mut { rest }, &mut std::io::sink()));
        process.until("ready", |node| is_ready(node.admin))?;
        Ok(process)
    }

    /// Starts a nats-server on its usual port, or on any other when that is taken.
    pub(super) fn nats(binary: &Path, logs: &Path) -> Result<Self> {
        let usual = TcpListener::bind(("127.0.0.1", 4222)).is_ok();
        let mut command = Command::new(binary);
        command
            .args([
                "-a",
                "127.0.0.1",
                "-p",
                if usual { "4222" } else { "-1" },
                "--ports_file_dir",
            ])
            .arg(logs);
        let child = spawn(&mut command, logs, "nats")?;
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Self {
            name: "nats-server".to_owned(),
            child,
            public: unknown,
            admin: unknown,
            url: String::new(),
        };
        let ports = logs.join(format!("nats-server_{}.ports", process.id()));
        process.until("listening", |nats| {
            // Written in one go, but seen by us perhaps half: then it does not parse, and we look again.
            let text = std::fs::read_to_string(&ports).unwrap_or_default();
            let url = serde_json::from_str::<serde_json::Value>(&text).ok();
            let url = url.and_then(|ports| ports["nats"][0].as_str().map(str::to_owned));
            url.map(|url| nats.url = url).is_some()
        })?;
        Ok(process)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where the page and the socket are served.
    pub(super) fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where the HTTP API is served.
    pub(super) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// How to reach a nats-server.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.child
            .try_wait()
            .ok()
            .flatten()
            .map(|status| status.to_string())
    }

    fn until(&mut self, what: &str, mut reached: impl FnMut(&mut Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + START;
        while !reached(self) {
            if let Some(how) = self.ended() {
                bail!("{} ended before it was {what}: {how}", self.name);
            }
            if Instant::now() > deadline {
                bail!("{} is not {what} after {START:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        if let Ok(id) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: a plain system call; the process is ours and not yet waited for, so its id is its own.
            unsafe { libc::kill(id, libc::SIGTERM) };
        }
        let deadline = Instant::now() + END;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                let _gone = self.child.kill();
                let _status = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A key for signed and private cookies, as `TENGEN_COOKIE_KEY` wants it: hexadecimal, 64 bytes.
pub(super) fn random_key() -> Result<String> {
    let mut bytes = [0; 64];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn spawn(command: &mut Command, logs: &Path, name: &str) -> Result<Child> {
    let log = File::create(logs.join(format!("{name}.log")))?;
    command.stdin(Stdio::null()).stderr(log);
    // A group of its own, so that Ctrl-C reaches only us and we end things in order.
    command.process_group(0);
    #[cfg(target_os = "linux")]
    // SAFETY: prctl is a plain system call and allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            // Even if we are killed without warning, nothing of the demo stays behind.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        })
    };
    command
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Reads up to the line in which a node says where it listens.
fn addresses<R: Read>(mut stdout: BufReader<R>) -> Option<(SocketAddr, SocketAddr, BufReader<R>)> {
    let mut line = String::new();
    while stdout.read_line(&mut line).ok()? > 0 {
        if let Some(rest) = line.trim().strip_prefix("listening ") {
            let value = |key: &str| {
                rest.split(' ')
                    .find_map(|word| word.strip_prefix(key)?.parse().ok())
            };
            return Some((value("public=")?, value("admin=")?, stdout));
        }
        line.clear();
    }
    None
}

fn is_ready(admin: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&admin, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(
            stream,
            "GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200 "))
    };
    ask().unwrap_or(false)
}
