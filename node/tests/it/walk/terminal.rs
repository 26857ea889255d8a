//! A program in a terminal of its own, into which a test types and from which it reads.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long a line may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Terminal {
    process: Child,
    keyboard: ChildStdin,
    screen: Receiver<String>,
}

impl Terminal {
    /// Runs a WebSocket terminal's `command` and waits until it is connected.
    pub(crate) fn start(command: &str) -> Terminal {
        // `script` gives it a terminal, without which it does not say that it is connected. Wide
        // enough that no line is broken.
        let command = format!("stty cols 4000; exec {command}");
        let mut process = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` of util-linux");
        let keyboard = process.stdin.take().expect("piped");
        let mut output = process.stdout.take().expect("piped");
        let (lines, screen) = channel();
        // Ends with the program, whose output it reads.
        thread::spawn(move || {
            let mut line = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                for byte in &buffer[..count] {
                    if matches!(byte, b'\r' | b'\n') {
                        let text = plain(&String::from_utf8_lossy(&line));
                        line.clear();
                        if lines.send(text).is_err() {
                            return;
                        }
                    } else {
                        line.push(*byte);
                    }
                }
            }
        });
        let terminal = Terminal {
            process,
            keyboard,
            screen,
        };
        terminal.wait(|line| line.starts_with("Connected").then_some(()));
        terminal
    }

    /// Types a line and the return key.
    pub(crate) fn type_line(&mut self, text: &str) {
        writeln!(self.keyboard, "{text}").expect("the terminal takes it");
        self.keyboard.flush().expect("the terminal takes it");
    }

    /// What the server said next, its acks and pings left out.
    pub(crate) fn said(&mut self) -> String {
        self.wait(|line| {
            let said = line.strip_prefix("< ")?;
            (!said.starts_with("[4,") && !said.starts_with("[5")).then(|| said.to_owned())
        })
    }

    fn wait<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let mut seen = Vec::new();
        loop {
            match self.screen.recv_timeout(PATIENCE) {
                Ok(line) => match wanted(&line) {
                    Some(found) => return found,
                    None => seen.push(line),
                },
                Err(error) => panic!("{error} on the terminal, which shows {seen:#?}"),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // As a person would: Ctrl-C. The terminal may be gone already.
        let _ = self.keyboard.write_all(b"\x03");
        let _ = self.keyboard.flush();
        let _ = self.process.wait();
    }
}

/// `text` without the escape sequences that colour it and move the cursor (ECMA-48, CSI).
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        out.push_str(before);
        let end = after.find(|c: char| ('\u{40}'..='\u{7e}').contains(&c));
        rest = end.map_or("", |end| &after[end + 1..]);
    }
    out.push_str(rest);
    out
}
