//! The commands of the README that ask who is online, typed as they are written there.

use std::process::Command;

use serde_json::Value;
use tengen_client::Client;

use super::{Node, is_like};
use crate::cluster::eventually;

const README: &str = include_str!("../../../../README.md");

/// Commands, each with the lines that it is to print.
fn commands(name: &str) -> Vec<(&'static str, Vec<&'static str>)> {
    let mark = format!("<!-- run: {name} -->\n```console\n");
    let (_, after) = README.split_once(&mark).expect("the README has it");
    let (block, _) = after.split_once("\n```").expect("a fence has an end");
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command, Vec::new())),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => panic!("what prints {line:?}?"),
        }
    }
    commands
}

fn run(command: &str) -> String {
    let done = Command::new("sh").args(["-c", command]).output();
    let done = done.expect("sh");
    // 28: the time was over, which is how a stream without an end has to end here.
    let in_time = done.status.success() || done.status.code() == Some(28);
    assert!(in_time, "{command}: {done:?}");
    String::from_utf8(done.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_the_readmes_questions_who_is_online_are_answered_as_written() {
    let node = Node::start(&["--demo"]);
    let alice = Client::builder(format!("ws://{}/chsk", node.public));
    let alice = alice.connect().await.expect("the client connects");
    let login = alice.http("/login").method("POST").param("uid", "alice");
    assert!(login.await.expect("answered").is_success());
    alice.reconnect().await.expect("it reconnects");
    // The visitor that alice was before her login is gone when the grace is over.
    let counts = format!("http://{}/v1/connected-uids?count=true", node.admin);
    eventually("alice alone is online", async || {
        let answer = reqwest::get(&counts).await.expect("answered");
        let answer: Value = answer.json().await.expect("json");
        answer["any"] == 1 && answer["anonymous"]["ws"] == 0
    })
    .await;

    let mut lines = 0;
    for (command, expected) in commands("online").into_iter().chain(commands("watch")) {
        let here = node.here(command).replace("-sN", "-sN --max-time 2");
        let said = run(&here);
        let mut said = said.lines();
        for pattern in expected {
            let line = said.next().unwrap_or_default();
            assert!(is_like(line, pattern), "{command}\n{pattern}\ngot: {line}");
            lines += 1;
        }
    }
    assert!(lines >= 7, "the README shows only {lines} lines");
}
