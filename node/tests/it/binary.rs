//! The binary itself: what it refuses to start with, what it says, how it waits for NATS, how it ends.

use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::time::Duration;

use tengen_bus::testing::NatsServer;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::cluster::{eventually, soon};

const KEY: &str = "a cookie key of more than thirty-two characters";

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tengen-node"));
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn output(flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let run = command()
        .args(flags)
        .envs(variables.iter().copied())
        .output();
    soon("the binary ends", run).await.expect("it starts")
}

/// A node that listens on free ports, and where.
async fn listening(flags: &[&str]) -> (Child, SocketAddr) {
    let ports = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
    let mut child = command()
        .args(ports)
        .args(flags)
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let line = soon("it says where it listens", lines.next_line())
        .await
        .expect("its output can be read")
        .expect("a line");
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("listening"), "{line}");
    assert!(
        words
            .next()
            .is_some_and(|word| word.starts_with("public=127.0.0.1:")),
        "{line}"
    );
    let admin = words
        .next()
        .and_then(|word| word.strip_prefix("admin="))
        .expect("the admin address");
    (child, admin.parse().expect("an address"))
}

async fn readyz(admin: SocketAddr) -> (u16, String) {
    let response = reqwest::get(format!("http://{admin}/readyz"))
        .await
        .expect("the admin port answers");
    (
        response.status().as_u16(),
        response.text().await.expect("a body"),
    )
}

async fn terminated(mut child: Child) -> (Option<i32>, String) {
    let pid = i32::try_from(child.id().expect("it runs")).expect("a pid");
    // SAFETY: kill(2) touches no memory of ours, and the child has not been waited for, so the pid is its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    let status = soon("it ends", child.wait())
        .await
        .expect("it can be waited for");
    let mut log = String::new();
    child
        .stderr
        .take()
        .expect("it is piped")
        .read_to_string(&mut log)
        .await
        .expect("UTF-8");
    (status.code(), log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_settings_end_with_64_and_name_key_value_and_range_before_anything_listens() {
    for (flags, variables, parts) in [
        (
            vec!["--ping=99s"],
            vec![],
            vec!["ping", "99s", "--ping", "1s to 60s"],
        ),
        (
            vec![],
            vec![("TENGEN_MAX_BYTES", "lots")],
            vec!["max_bytes", "lots", "TENGEN_MAX_BYTES", "1KiB to 64MiB"],
        ),
        (
            vec![],
            vec![("TENGEN_NODE_ID", "No Good")],
            vec!["node_id", "No Good"],
        ),
        (
            vec![],
            vec![("TENGEN_NATS_URL", "nats://127.0.0.1:1")],
            vec!["cookie_key", "TENGEN_COOKIE_KEY"],
        ),
        (
            vec![],
            vec![("TENGEN_COOKIE_KEY", "short")],
            vec!["cookie_key", "32"],
        ),
        (vec!["--no-such-flag"], vec![], vec!["--no-such-flag"]),
        (
            vec!["--config=/no/such/file.toml"],
            vec![],
            vec!["/no/such/file.toml"],
        ),
        (vec!["--log=info,=="], vec![], vec!["log"]),
    ] {
        let output = output(&flags, &variables).await;
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(
            output.status.code(),
            Some(64),
            "{flags:?} {variables:?}: {said}"
        );
        assert!(output.stdout.is_empty(), "{flags:?}: it listened");
        for part in parts {
            assert!(
                said.contains(part),
                "{flags:?} {variables:?}: {said:?} lacks {part:?}"
            );
        }
        assert!(!said.contains("\"short\""), "a secret was shown: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let output = output(&["--listen", &address, "--admin-listen=127.0.0.1:0"], &[]).await;
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(&format!("listen = {address}")), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_config_print_writes_is_a_file_that_config_check_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tengen.toml");
    let printed = output(&["config", "print", "--ping=20s"], &[]).await;
    assert_eq!(printed.status.code(), Some(0));
    std::fs::write(&file, &printed.stdout).expect("it can be written");
    let file = file.to_str().expect("UTF-8");
    assert_eq!(
        output(&["config", "check", "--config", file], &[])
            .await
            .status
            .code(),
        Some(0)
    );
    let again = output(&["config", "print", "--config", file], &[]).await;
    assert_eq!(again.stdout, printed.stdout);
    assert!(
        String::from_utf8(again.stdout)
            .expect("UTF-8")
            .contains("ping = \"20s\"")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_a_node_in_order() {
    let (child, admin) = listening(&[]).await;
    eventually("it is ready", async || readyz(admin).await.0 == 200).await;
    let (code, log) = terminated(child).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopping"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_nats_it_says_so_keeps_trying_and_is_not_ready_until_it_is_there() {
    let mut server = NatsServer::start().await;
    server.stop();
    let (url, key) = (
        format!("--nats-url={}", server.url()),
        format!("--cookie-key={KEY}"),
    );
    let (child, admin) = listening(&[&url, &key]).await;
    let (status, why) = readyz(admin).await;
    assert_eq!(status, 503);
    assert!(why.contains("bus"), "{why}");
    // Longer than a few tries.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(readyz(admin).await.0, 503);

    server.start_again().await;
    eventually("it found NATS", async || readyz(admin).await.0 == 200).await;
    let (code, log) = terminated(child).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("WARN") && log.contains("bus"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_with_one_node_id_one_ends_with_78_and_says_why() {
    let server = NatsServer::start().await;
    let (url, key) = (
        format!("--nats-url={}", server.url()),
        format!("--cookie-key={KEY}"),
    );
    let flags = [url.as_str(), key.as_str(), "--node-id=twin"];
    let (mut first, _) = listening(&flags).await;
    let (mut second, _) = listening(&flags).await;
    let ended = soon("one of them ends", async {
        tokio::select! {
            ended = first.wait() => (ended, &mut first),
            ended = second.wait() => (ended, &mut second),
        }
    });
    let (status, child) = ended.await;
    assert_eq!(status.expect("it can be waited for").code(), Some(78));
    let (mut said, mut stderr) = (String::new(), child.stderr.take().expect("it is piped"));
    let read = stderr.read_to_string(&mut said).await;
    read.expect("UTF-8");
    assert!(said.contains("node_id") && said.contains("id"), "{said}");
}
