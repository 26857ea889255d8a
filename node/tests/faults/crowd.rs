//! Thousands of clients in processes of their own, for a process may have no more than 20,000 files.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tengen_client::{Client, TransportChoice};
use tokio::sync::watch;
use tokio::time::Instant;

/// Set in a process that is a crowd and nothing else.
const ROLE: &str = "TENGEN_TEST_CROWD";
/// What a line about the clients begins with; the rest of the output is the test harness's.
const OPEN: &str = "crowd: open ";
/// How often a crowd says how many of its clients are open.
const REPORT: Duration = Duration::from_millis(50);
/// Clients that a crowd opens in one go, before it looks whether they are.
const WAVE: usize = 100;

/// One client to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Guest {
    pub uid: String,
    pub cookie: String,
    pub poll: bool,
    pub address: SocketAddr,
}

/// Whether this process is a crowd: then its test is to be [`run`], and nothing else.
pub(crate) fn is_this() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// Reads guests, a line each, opens them and keeps them until the input ends.
pub(crate) async fn run() {
    let (names, mut guests) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            let guest: Guest = serde_json::from_str(&line).expect("a guest");
            if names.send(guest).is_err() {
                return;
            }
        }
    });
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    let reporting = tokio::spawn(async move {
        let mut said = usize::MAX;
        loop {
            let now = count.load(Ordering::Relaxed);
            if now != said {
                said = now;
                println!("{OPEN}{now}");
            }
            tokio::time::sleep(REPORT).await;
        }
    });
    let mut clients = Vec::new();
    while let Some(guest) = guests.recv().await {
        clients.push(open_one(&guest, &open));
        if clients.len().is_multiple_of(WAVE) {
            let (enough, since) = (clients.len() * 9 / 10, Instant::now());
            while open.load(Ordering::Relaxed) < enough && since.elapsed() < Duration::from_secs(5)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    reporting.abort();
}

fn open_one(guest: &Guest, open: &Arc<AtomicUsize>) -> Client {
    let transport = match guest.poll {
        true => TransportChoice::Poll,
        false => TransportChoice::Ws,
    };
    let client = Client::builder(format!("ws://{}/chsk", guest.address))
        .header("cookie", &guest.cookie)
        .transport(transport)
        .options(|options| {
            // It is presence that is measured, not how long a client waits before it tries again.
            options.backoff_cap_ms = 2_000;
            options.grace_ms = 5_000;
        })
        .spawn()
        .expect("good settings");
    let (mut state, open) = (client.state(), Arc::clone(open));
    tokio::spawn(async move {
        let mut was_open = false;
        loop {
            let is_open = state.borrow_and_update().open;
            if is_open != was_open {
                was_open = is_open;
                match is_open {
                    true => open.fetch_add(1, Ordering::Relaxed),
                    false => open.fetch_sub(1, Ordering::Relaxed),
                };
            }
            if state.changed().await.is_err() {
                return;
            }
        }
    });
    client
}

/// A crowd at work; its process is killed when dropped.
pub(crate) struct Crowd {
    child: Child,
    input: Option<ChildStdin>,
    open: watch::Receiver<usize>,
}

impl Crowd {
    /// Starts a process for `guests`, which is this program again, doing nothing but the test
    /// `name`; that calls [`run`] when it [`is_this`].
    pub(crate) fn start(name: &str, guests: &[Guest]) -> Crowd {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args([name, "--exact", "--nocapture", "--test-threads", "1"])
            .env(ROLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("this program starts once more");
        let mut input = child.stdin.take().expect("it is piped");
        let lines: String = guests
            .iter()
            .map(|guest| serde_json::to_string(guest).expect("a guest") + "\n")
            .collect();
        // From a thread: the pipe holds less than all of them.
        let input = std::thread::spawn(move || {
            input
                .write_all(lines.as_bytes())
                .expect("the crowd reads its guests");
            input
        });
        let output = child.stdout.take().expect("it is piped");
        let (said, open) = watch::channel(0);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                if let Some(count) = line.strip_prefix(OPEN) {
                    said.send_replace(count.parse().expect("a count"));
                }
            }
        });
        Crowd {
            child,
            input: Some(input.join().expect("the guests are named")),
            open,
        }
    }

    /// How many of its clients are open.
    pub(crate) fn open(&self) -> usize {
        *self.open.borrow()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.input.take());
        // It may have ended by itself; waiting reaps it in both cases.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
