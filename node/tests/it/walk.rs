//! The walk of the protocol's specification, typed into a terminal as it is written there.

mod readme;
mod terminal;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use terminal::Terminal;

const SPECIFICATION: &str = include_str!("../../../protocol/README.md");

/// Everything inside the `console` fences of a walk.
fn walk(title: &str) -> Vec<&'static str> {
    let title = format!("\n## {title}\n");
    let section = SPECIFICATION.split(&title).nth(1).expect("a walk");
    let section = section.split("\n## ").next().unwrap_or(section);
    let mut inside = false;
    let lines = section.lines().filter(|line| {
        let fence = line.starts_with("```");
        if fence {
            inside = *line == "```console";
        }
        inside && !fence
    });
    lines.collect()
}

/// The node that the walk starts, on ports of its own.
struct Node {
    process: Child,
    public: String,
    admin: String,
}

impl Node {
    fn start(arguments: &[&str]) -> Node {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tengen-node"))
            .args(arguments)
            .env("TENGEN_LISTEN", "127.0.0.1:0")
            .env("TENGEN_ADMIN_LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the node starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("piped");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("readable");
        let address = |name: &str| {
            let told = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix(name));
            told.unwrap_or_else(|| panic!("no {name} in {line:?}"))
                .to_owned()
        };
        Node {
            public: address("public="),
            admin: address("admin="),
            process,
        }
    }

    /// A command of the walk, with this node's addresses in it.
    fn here(&self, command: &str) -> String {
        command
            .replace("127.0.0.1:8080", &self.public)
            .replace("127.0.0.1:9090", &self.admin)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether `said` is `pattern`, in which `…` stands for anything.
fn is_like(said: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|start| said.strip_prefix(start)) else {
        return false;
    };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// The executable `wscat`: where `cargo xtask test` says, else the one in `PATH`.
fn wscat() -> Option<PathBuf> {
    if let Some(told) = std::env::var_os("WSCAT") {
        return Some(PathBuf::from(told));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("wscat"))
        .find(|tool| tool.is_file())
}

#[test]
fn c7_the_walk_of_the_specification_works_as_written() {
    let Some(wscat) = wscat() else {
        assert!(std::env::var_os("CI").is_none(), "wscat is missing");
        println!("not walked: wscat is missing; `cargo xtask test` installs it");
        return;
    };
    let mut node = None;
    let mut terminal: Option<Terminal> = None;
    let mut session = String::from("SESSION");
    let mut heard = 0;
    for line in walk("A walk") {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (
            mark,
            rest.split_once(' ').map_or(rest, |(command, _)| command),
        ) {
            ("$", "tengen-node") => {
                let arguments: Vec<&str> = rest.split_whitespace().skip(1).collect();
                node = Some(Node::start(&arguments));
            }
            ("$", "wscat") => {
                let node = node.as_ref().expect("a node first");
                let command = node.here(rest).replacen("wscat", &quoted(&wscat), 1);
                terminal = Some(Terminal::start(&command));
            }
            ("$", _) => {
                let command = node.as_ref().expect("a node first").here(rest);
                let done = Command::new("sh")
                    .args(["-c", &command])
                    .output()
                    .expect("sh");
                assert!(done.status.success(), "{line}: {done:?}");
            }
            (">", _) => {
                let terminal = terminal.as_mut().expect("a terminal first");
                terminal.type_line(&rest.replace("SESSION", &session));
            }
            ("<", _) => {
                let said = terminal.as_mut().expect("a terminal first").said();
                let pattern = match session.as_str() {
                    "SESSION" => rest.replace("SESSION", "…"),
                    known => rest.replace("SESSION", known),
                };
                assert!(is_like(&said, &pattern), "{line}\ngot: {said}");
                if let Some(id) = said
                    .split("\"session\":\"")
                    .nth(1)
                    .and_then(|rest| rest.split('"').next())
                {
                    id.clone_into(&mut session);
                }
                heard += 1;
            }
            ("^C", _) => terminal = None,
            _ => panic!("what is {line:?} in the walk?"),
        }
    }
    assert!(heard >= 8, "the walk says only {heard} things");
}

#[test]
fn c7_the_walk_over_long_poll_works_as_written() {
    let mut node = None;
    let mut session = String::from("SESSION");
    let mut said = Vec::new().into_iter();
    let mut heard = 0;
    for line in walk("A walk over long-poll") {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            "$" if rest.starts_with("tengen-node ") => {
                let arguments: Vec<&str> = rest.split_whitespace().skip(1).collect();
                node = Some(Node::start(&arguments));
            }
            "$" => {
                assert_eq!(
                    said.as_slice(),
                    [""; 0],
                    "more than is written before {line}"
                );
                let command = node.as_ref().expect("a node first").here(rest);
                let command = command.replace("SESSION", &session);
                let done = Command::new("sh")
                    .args(["-c", &command])
                    .output()
                    .expect("sh");
                assert!(done.status.success(), "{line}: {done:?}");
                let text = String::from_utf8_lossy(&done.stdout).into_owned();
                let lines: Vec<String> = text.lines().map(str::to_owned).collect();
                said = lines.into_iter();
            }
            "<" => {
                let got = said.next().unwrap_or_default();
                let pattern = match session.as_str() {
                    "SESSION" => rest.replace("SESSION", "…"),
                    known => rest.replace("SESSION", known),
                };
                assert!(is_like(&got, &pattern), "{line}\ngot: {got}");
                if let Some(id) = got
                    .split("\"session\":\"")
                    .nth(1)
                    .and_then(|rest| rest.split('"').next())
                {
                    id.clone_into(&mut session);
                }
                heard += 1;
            }
            _ => panic!("what is {line:?} in the walk?"),
        }
    }
    assert!(heard >= 14, "the walk says only {heard} things");
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

#[test]
fn patterns_match_what_they_should() {
    for (said, pattern, like) in [
        ("[6]", "[6]", true),
        ("[6] ", "[6]", false),
        ("[6]", "…", true),
        ("[8,1,\"x\"]", "[8,1,\"…\"]", true),
        ("[8,1,\"x\"", "[8,1,\"…\"]", false),
        ("{\"a\":1,\"b\":2}", "{\"a\":…,\"b\":…}", true),
        ("{\"a\":1,\"c\":2}", "{\"a\":…,\"b\":…}", false),
    ] {
        assert_eq!(is_like(said, pattern), like, "{said} {pattern}");
    }
}
