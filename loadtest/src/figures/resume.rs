//! `resume`: how soon a client is back on the same node, on another node, and with a new session, in turn.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tengen_protocol::Codec;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue},
};

use super::Run;
use crate::{
    compare::{self, Way},
    lean::Books,
    ledger::Ledger,
    push::To,
    report::{Outcome, Report, Resume},
};

/// A client that says hello by hand, so that nothing but the way back is measured.
struct Tab {
    socket: Option<WebSocketStream<TcpStream>>,
    attempt: u64,
    session: Option<String>,
    received: u64,
    ledger: Ledger,
}

impl Tab {
    fn new() -> Tab {
        Tab {
            socket: None,
            attempt: 0,
            session: None,
            received: 0,
            ledger: Ledger::default(),
        }
    }

    /// Connects and says hello; how long until the node's.
    async fn come(&mut self, address: SocketAddr, path: &str) -> Result<Duration> {
        self.attempt += 1;
        let mut hello = serde_json::json!({"client": "load", "attempt": self.attempt});
        if let Some(session) = &self.session {
            hello["session"] = session.as_str().into();
            hello["received"] = self.received.into();
        }
        let begin = Instant::now();
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        let protocol = HeaderValue::from_static(Codec::Json.subprotocol());
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol);
        let (mut socket, _) = client_async(request, stream).await?;
        let frame = serde_json::json!([0, hello]).to_string();
        socket.send(Message::text(frame)).await?;
        let answer = socket.next().await.context("no hello")??;
        let took = begin.elapsed();
        let answer: Value = serde_json::from_str(answer.to_text()?)?;
        ensure!(answer[0] == 0, "{answer} instead of a hello");
        let session = answer[1]["session"].as_str().context("a session")?;
        if let Some(before) = &self.session {
            ensure!(
                answer[1]["resumed"] == true && session == before,
                "not resumed: {answer}"
            );
        }
        self.session = Some(session.to_owned());
        self.socket = Some(socket);
        Ok(took)
    }

    /// The connection breaks.
    fn go(&mut self) {
        self.socket = None;
    }

    /// Reads until `count` items have come, and acknowledges nothing: the next hello does.
    async fn read(&mut self, count: u64) -> Result<()> {
        let socket = self.socket.as_mut().context("connected")?;
        let wanted = self.received + count;
        while self.received < wanted {
            let message = socket.next().await.context("more items")??;
            let Message::Text(text) = message else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text)?;
            match (frame[0].as_u64(), frame[1].as_str()) {
                (Some(1), Some(crate::item::ID)) => {
                    self.received += 1;
                    self.ledger.book(frame[2][0].as_u64().unwrap_or(0));
                }
                (Some(1 | 7 | 8), _) => bail!("told {frame}"),
                _ => {}
            }
        }
        Ok(())
    }
}

pub(super) async fn measure(run: &Run, rounds: u32, items: u32) -> Result<Report> {
    let other = run.others.first();
    let mut ways = vec![
        Way::new("new session", "new session"),
        Way::new("resume, same node", "new session"),
    ];
    if other.is_some() {
        ways.push(Way::new("takeover, other node", "new session"));
    }
    let path = run.target.path.clone();
    let mut here = run.target.address;
    let mut there = other.map(|node| node.target.address);
    let mut tab = Tab::new();
    let begin = Instant::now();
    timeout(run.stall, tab.come(here, &path)).await??;
    let connect_time = begin.elapsed();
    let mut number = 0;
    for _ in 0..rounds {
        let mut stranger = Tab::new();
        ways[0].took(timeout(run.stall, stranger.come(here, &path)).await??);
        // It leaves for good, so that what follows is not pushed to it as well.
        if let Some(mut socket) = stranger.socket.take() {
            socket.send(Message::text(r#"[7,1000,"done"]"#)).await?;
            while socket.next().await.is_some_and(|message| message.is_ok()) {}
        }
        for way in &mut ways[1..] {
            tab.go();
            let mut pushes = Vec::new();
            for _ in 0..items {
                number += 1;
                pushes.push((To::All, run.item(number)?));
            }
            run.pusher.push(pushes).await?;
            if way.is("takeover, other node")
                && let Some(there) = &mut there
            {
                std::mem::swap(&mut here, there);
            }
            way.took(timeout(run.stall, tab.come(here, &path)).await??);
            timeout(run.stall, tab.read(u64::from(items))).await??;
        }
    }
    let mut books = Books::default();
    books.verdict.add(tab.ledger.close(number));
    let outcome = Outcome::Resume(Resume {
        rows: compare::rows(&ways),
    });
    Ok(run.report("resume", 1, connect_time, outcome, books))
}
