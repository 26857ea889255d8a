//! Runs `cargo xtask demo --nodes 3` and reads what it tells the person who started it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running demo; ended politely, by its id, when dropped.
pub(crate) struct Demo {
    child: Child,
    text: String,
}

/// One node, as the demo names it.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

impl Demo {
    /// Starts three nodes on free ports and waits until it says that all is running.
    pub(crate) fn start() -> Demo {
        Demo::with("3", &[])
    }

    /// Starts one node with the embedded bus.
    pub(crate) fn alone() -> Demo {
        Demo::alone_with(&[])
    }

    /// The same, with settings of the node in place of its defaults.
    pub(crate) fn alone_with(settings: &[(&str, &str)]) -> Demo {
        Demo::with("1", settings)
    }

    fn with(nodes: &str, settings: &[(&str, &str)]) -> Demo {
        let mut command = match std::env::var_os("TENGEN_XTASK") {
            Some(xtask) => Command::new(xtask),
            None => {
                let mut cargo = Command::new(env!("CARGO"));
                cargo.args(["run", "--quiet", "--package", "xtask", "--"]);
                cargo
            }
        };
        command
            .args(["demo", "--nodes", nodes, "--port", "0", "--no-build"])
            .current_dir(root())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.contains("Ctrl-C ends everything") {
            let read = lines.read_line(&mut text).unwrap();
            assert!(read > 0, "the demo ended before it was running:\n{text}");
        }
        // What it says later, such as that a node was killed, must not fill the pipe.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Demo { child, text }
    }

    /// The address it tells people to open.
    pub(crate) fn url(&self) -> &str {
        let line = self
            .text
            .lines()
            .find_map(|line| line.trim().strip_prefix("open  "));
        line.unwrap()
    }

    /// The same as a socket address, for a proxy.
    pub(crate) fn address(&self) -> SocketAddr {
        let url = self.url();
        let rest = url.trim_start_matches("http://").trim_end_matches('/');
        rest.parse().unwrap()
    }

    /// Where the first node listens for operators.
    pub(crate) fn admin_url(&self) -> &str {
        let (_, after) = self.text.split_once("admin ").unwrap();
        after.split_whitespace().next().unwrap()
    }

    pub(crate) fn nats_url(&self) -> String {
        let (_, after) = self.text.split_once("nats -s ").unwrap();
        after.split(' ').next().unwrap().to_owned()
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        let nodes = self.text.lines().filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let ["node", name, .., "pid", pid] = words[..] else {
                return None;
            };
            Some(Node {
                name: name.to_owned(),
                pid: pid.parse().unwrap(),
            })
        });
        nodes.collect()
    }

    /// The command that it prints below `heading`, to the letter.
    pub(crate) fn command(&self, heading: &str) -> &str {
        let (_, after) = self.text.split_once(heading).unwrap();
        after.split("\n\n").nth(1).unwrap().trim()
    }

    /// Kills a node as a crash would, without a word.
    pub(crate) fn kill(&self, name: &str) {
        let node = self
            .nodes()
            .into_iter()
            .find(|node| node.name == name)
            .unwrap();
        run("kill", &["-9", &node.pid.to_string()]);
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        run("kill", &["-TERM", &self.child.id().to_string()]);
        let deadline = Instant::now() + Duration::from_secs(30);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                eprintln!("the demo does not end by itself");
                let _killed = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Executes a command as it was printed, as if pasted into a shell.
pub(crate) fn paste(command: &str) -> String {
    let out = Command::new("sh")
        .args(["-c", command])
        .current_dir(root())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{command}\n{text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    text
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(program: &str, arguments: &[&str]) {
    assert!(
        Command::new(program)
            .args(arguments)
            .status()
            .unwrap()
            .success()
    );
}
