//! The parked swarm: thousands of hand-written polls that wait at the node, each on a connection of its own.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tengen_protocol::{ClientFrame, ClientHello, ClientId, Codec, Limits, ServerFrame, sequence};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::{
    item,
    lean::{Books, Login, Opening, Progress},
    ledger::Ledger,
    sockets::{self, Sources},
};

/// Handshakes under way at once.
const OPENERS: usize = 64;
/// Longer than any answer to what this tool asks.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Sessions that poll, one parked GET each.
pub(crate) struct ParkedSwarm {
    polls: Vec<Parked>,
    progress: Arc<Progress>,
}

struct Parked {
    task: JoinHandle<Result<()>>,
    ledger: Arc<Mutex<Ledger>>,
}

impl ParkedSwarm {
    /// Opens one session per login, each with its first poll under way.
    ///
    /// # Errors
    /// The first that fails ends it: a load test with holes measures nothing.
    pub(crate) async fn connect(opening: &Opening, logins: &[Login]) -> Result<ParkedSwarm> {
        let progress = Arc::new(Progress::new());
        let mut sources = Sources::default();
        let opened = logins.iter().map(|login| {
            let source = sources.next();
            let (opening, progress) = (opening.clone(), Arc::clone(&progress));
            let cookie = login.cookie.clone();
            async move {
                let target = opening.address;
                let stream =
                    tokio::task::spawn_blocking(move || sockets::connect(target, source)).await??;
                stream.set_nonblocking(true)?;
                let mut poll = Poll {
                    stream: TcpStream::from_std(stream)?,
                    opening,
                    cookie,
                    session: String::new(),
                    received: 0,
                    rest: BytesMut::new(),
                };
                poll.hello().await?;
                let ledger = Arc::<Mutex<Ledger>>::default();
                let books = Arc::clone(&ledger);
                let task = tokio::spawn(poll.run(books, progress));
                Ok(Parked { task, ledger })
            }
        });
        let polls = stream::iter(opened).buffered(OPENERS);
        let polls: Result<Vec<_>> = polls.try_collect().await;
        Ok(ParkedSwarm {
            polls: polls?,
            progress,
        })
    }

    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Ends all polls and closes their books; each should have seen items 1 to `expected`.
    pub(crate) async fn finish(self, expected: u64) -> Books {
        let mut books = Books::default();
        for Parked { task, ledger } in self.polls {
            task.abort();
            if let Ok(Err(error)) = task.await {
                *books.told.entry(format!("{error:#}")).or_default() += 1;
            }
            let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            books.verdict.add(ledger.close(expected));
        }
        books
    }
}

struct Poll {
    stream: TcpStream,
    opening: Opening,
    cookie: Option<String>,
    session: String,
    received: u64,
    rest: BytesMut,
}

impl Poll {
    async fn hello(&mut self) -> Result<()> {
        let codec = self.opening.codec;
        let hello = ClientFrame::Hello(ClientHello {
            client: ClientId::parse("parked")?,
            attempt: 1,
            session: None,
            received: None,
            params: None,
        });
        let mut body = hello.encode(codec).to_vec();
        if codec == Codec::Json {
            body.push(b'\n');
        }
        let head = format!(
            "POST {} HTTP/1.1\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            self.opening.path,
            codec.poll_content_type(),
            body.len()
        );
        let answer = self.ask(head, &body).await?;
        let frame = sequence::split(codec, &answer, &Limits::default()).next();
        let frame = frame.context("an empty answer to hello")?;
        let ServerFrame::Hello(hello) = ServerFrame::decode(codec, frame, &Limits::default())?
        else {
            anyhow::bail!("no hello for a hello");
        };
        self.session = hello.session.as_str().to_owned();
        Ok(())
    }

    /// Polls for as long as it lives.
    async fn run(mut self, ledger: Arc<Mutex<Ledger>>, progress: Arc<Progress>) -> Result<()> {
        let codec = self.opening.codec;
        for n in 1_u64.. {
            let head = format!(
                "GET {}?received={}&n={n} HTTP/1.1\r\nAccept: {}\r\nTengen-Session: {}\r\nTengen-Attempt: 1\r\n",
                self.opening.path,
                self.received,
                codec.poll_content_type(),
                self.session
            );
            let answer = self.ask(head, &[]).await?;
            for frame in sequence::split(codec, &answer, &Limits::default()) {
                if let Some(number) = item::number(codec, &frame) {
                    self.received += 1;
                    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
                    ledger.book(number);
                    progress.add(1);
                }
            }
        }
        Ok(())
    }

    async fn ask(&mut self, mut head: String, body: &[u8]) -> Result<Bytes> {
        head += &format!("Host: {}\r\n", self.opening.address);
        if let Some(cookie) = &self.cookie {
            head += &format!("Cookie: {cookie}\r\n");
        }
        head += "\r\n";
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).await?;
        let head = loop {
            if let Some(end) = self.rest.windows(4).position(|end| end == b"\r\n\r\n") {
                break self.rest.split_to(end + 4);
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&head);
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let named = name.eq_ignore_ascii_case("content-length");
            named.then(|| value.trim().parse::<usize>().ok())?
        });
        let length = length.context("an answer without a length")?;
        while self.rest.remaining() < length {
            self.more().await?;
        }
        let body = self.rest.split_to(length).freeze();
        // Thousands of empty buffers would cost what the node is measured for.
        if self.rest.is_empty() {
            self.rest = BytesMut::new();
        }
        Ok(body)
    }

    async fn more(&mut self) -> Result<()> {
        ensure!(
            self.rest.len() < MAX_ANSWER_BYTES,
            "an answer without an end"
        );
        let read = self.stream.read_buf(&mut self.rest).await?;
        ensure!(read > 0, "the node closed the connection");
        Ok(())
    }
}
