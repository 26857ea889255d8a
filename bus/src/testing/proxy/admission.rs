//! Who is let through, and what the others get instead.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// A head that is longer, or takes longer, is let through as it is.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// Which connections an [`Admission`] is for; the others pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// All of them.
    Everybody,
    /// Those whose first request asks for a WebSocket.
    Upgrades,
}

/// What a new connection meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The target.
    Pass,
    /// A reset, once its request has been read.
    Reset,
    /// Silence: everything is taken and nothing comes back.
    Swallow,
    /// These bytes, and the end.
    Answer(Bytes),
}

impl Admission {
    /// An HTTP answer as a proxy gives it that knows nothing of WebSockets.
    #[must_use]
    pub fn status(status: u16) -> Admission {
        let body = "a proxy's page";
        let answer = format!(
            "HTTP/1.1 {status} As A Proxy\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        Admission::Answer(answer.into())
    }
}

/// What was read of a connection that passes; `None` for one that was dealt with here.
pub(super) async fn decide(
    client: &mut TcpStream,
    whom: Whom,
    admission: &Admission,
) -> Option<Bytes> {
    if *admission == Admission::Pass {
        return Some(Bytes::new());
    }
    let head = read_head(client).await;
    if whom == Whom::Upgrades && !asks_for_upgrade(&head) {
        return Some(head);
    }
    match admission {
        Admission::Pass => return Some(head),
        // What was sent is told of by the drop that follows.
        Admission::Reset => drop(client.set_zero_linger()),
        Admission::Swallow => {
            let mut sink = [0; 4096];
            while client.read(&mut sink).await.is_ok_and(|bytes| bytes > 0) {}
        }
        Admission::Answer(answer) => {
            if client.write_all(answer).await.is_ok() && client.shutdown().await.is_ok() {
                // Closing with unread bytes would be a reset, and might overtake the answer.
                let mut sink = [0; 4096];
                while client.read(&mut sink).await.is_ok_and(|bytes| bytes > 0) {}
            }
        }
    }
    None
}

async fn read_head(client: &mut TcpStream) -> Bytes {
    let mut head = BytesMut::new();
    let reading = async {
        while head.len() < MAX_HEAD_BYTES && !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if !client
                .read_buf(&mut head)
                .await
                .is_ok_and(|bytes| bytes > 0)
            {
                return;
            }
        }
    };
    // Whatever came by then is what there is.
    let _ = timeout(HEAD_LIMIT, reading).await;
    head.freeze()
}

fn asks_for_upgrade(head: &[u8]) -> bool {
    String::from_utf8_lossy(head).lines().any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("upgrade") && value.trim().eq_ignore_ascii_case("websocket")
        })
    })
}
