//! A WebSocket client made of bytes: it sends what a test writes, right or wrong, and hides nothing of what comes.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const FIN: u8 = 0x80;

/// Longer than any silence that a test may meet; then the test has failed.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    /// The socket was closed or reset.
    End,
}

/// One end of a WebSocket after its handshake.
pub(crate) struct Raw<S> {
    socket: S,
    received: Vec<u8>,
}

/// A masked frame with a true length.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64);
    let mask = [0x0f, 0xa5, 0x3c, 0x77];
    frame.extend(mask);
    frame.extend(
        payload
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ mask[at % 4]),
    );
    frame
}

/// The header of a masked frame, up to its mask, with whatever length a test claims.
pub(crate) fn header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..=125 => header.push(0x80 | length as u8),
        126..=65_535 => {
            header.push(0x80 | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend(length.to_be_bytes());
        }
    }
    header
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// `received` is what came behind the handshake's answer.
    pub(crate) fn new(socket: S, received: Vec<u8>) -> Raw<S> {
        Raw { socket, received }
    }

    pub(crate) fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Sends bytes as they are. A server that has closed meanwhile may not take them.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).await;
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.send_bytes(&frame(FIN | TEXT, text.as_bytes())).await;
    }

    pub(crate) async fn send_close(&mut self, code: u16) {
        self.send_bytes(&frame(FIN | CLOSE, &code.to_be_bytes()))
            .await;
    }

    /// The next frame, control frames included.
    pub(crate) async fn next(&mut self) -> Seen {
        timeout(PATIENCE, self.read_frame())
            .await
            .expect("the server says something")
    }

    /// The next frame, which is text.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Seen::Text(text) => text,
            other => panic!("text expected, got {other:?}"),
        }
    }

    /// Reads on to the first text that begins with `start`, over anything else but the end.
    pub(crate) async fn text_that_begins(&mut self, start: &str) -> String {
        loop {
            match self.next().await {
                Seen::Text(text) if text.starts_with(start) => return text,
                Seen::Close(..) | Seen::End => panic!("ended before {start}"),
                _ => {}
            }
        }
    }

    /// Says hello and returns the server's.
    pub(crate) async fn hello(&mut self, client: &str, attempt: u64) -> String {
        self.send(&format!(
            r#"[0,{{"client":"{client}","attempt":{attempt}}}]"#
        ))
        .await;
        self.text_that_begins("[0,").await
    }

    /// Expects `bye` with this code, a Close with the same, and after our answer the end: no
    /// second Close, nothing else. Returns the reason.
    pub(crate) async fn refused(&mut self, code: u16) -> String {
        let bye = self.text_that_begins("[7,").await;
        assert!(bye.starts_with(&format!("[7,{code},")), "{bye}");
        self.closed(code).await
    }

    /// Expects a Close with this code and, after our answer, the end.
    pub(crate) async fn closed(&mut self, code: u16) -> String {
        let Seen::Close(Some(seen), reason) = self.next().await else {
            panic!("no close")
        };
        assert_eq!(seen, code, "{reason}");
        self.send_close(code).await;
        assert_eq!(self.next().await, Seen::End);
        reason
    }

    async fn read_frame(&mut self) -> Seen {
        loop {
            if let Some(seen) = self.take_frame() {
                return seen;
            }
            match self.socket.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return Seen::End,
                Ok(_) => {}
            }
        }
    }

    fn take_frame(&mut self) -> Option<Seen> {
        let (&first, rest) = self.received.split_first()?;
        let (&short, rest) = rest.split_first()?;
        assert!(short < 0x80, "a server masks nothing");
        assert_eq!(first & 0x70, 0, "no extension was negotiated");
        let (extended, length) = match short {
            126 => (2, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
            127 => (8, u64::from_be_bytes(*rest.first_chunk()?)),
            _ => (0, u64::from(short)),
        };
        let end = 2 + extended + length as usize;
        if self.received.len() < end {
            return None;
        }
        let payload = self.received[2 + extended..end].to_vec();
        self.received.drain(..end);
        assert_eq!(first & FIN, FIN, "a server fragments nothing");
        Some(match first & 0x0f {
            TEXT => Seen::Text(String::from_utf8(payload).expect("text is UTF-8")),
            BINARY => Seen::Binary(payload),
            CLOSE => match payload.split_first_chunk() {
                None => Seen::Close(None, String::new()),
                Some((code, reason)) => Seen::Close(
                    Some(u16::from_be_bytes(*code)),
                    String::from_utf8(reason.to_vec()).expect("a reason is UTF-8"),
                ),
            },
            0xa => Seen::Pong(payload),
            opcode => panic!("a server does not send opcode {opcode}"),
        })
    }
}
