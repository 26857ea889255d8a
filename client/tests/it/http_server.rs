//! An HTTP server that says what a test tells it to: every request comes to the test, which answers it, breaks it off or leaves it.

use std::{collections::HashMap, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use bytes::Bytes;
use tengen_client::{Builder, Client};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::server::soon;

/// A socket of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Boxed = Box<dyn Stream>;
/// What is done to a connection before it speaks HTTP.
type Accept =
    Arc<dyn Fn(TcpStream) -> Pin<Box<dyn Future<Output = Option<Boxed>> + Send>> + Send + Sync>;

pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Asked>,
    accepting: JoinHandle<()>,
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One request, which waits for what the test does with it. Dropped, its connection is reset.
pub(crate) struct Asked {
    /// Which connection it came over, from 1.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    /// Names are in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Bytes,
    answer: oneshot::Sender<(Vec<u8>, After)>,
    /// Resolves when the client hung up while the request waited.
    pub(crate) gone: oneshot::Receiver<()>,
}

/// What becomes of the connection behind an answer.
enum After {
    Keep,
    Close,
}

impl HttpServer {
    pub(crate) async fn start() -> HttpServer {
        HttpServer::with(Arc::new(|stream| {
            Box::pin(async { Some(Box::new(stream) as Boxed) })
        }))
        .await
    }

    pub(crate) async fn with(accept: Accept) -> HttpServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (tell, asked) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            for connection in 1.. {
                let (stream, _) = listener.accept().await.expect("the listener lives");
                stream.set_zero_linger().expect("an option");
                let (tell, accept) = (tell.clone(), Arc::clone(&accept));
                serving.spawn(async move {
                    if let Some(stream) = accept(stream).await {
                        serve(stream, connection, &tell).await;
                    }
                });
            }
        });
        HttpServer {
            address,
            asked,
            accepting,
        }
    }

    pub(crate) fn client(&self) -> Builder {
        Client::builder(format!("http://{}/chsk", self.address))
    }

    /// The next request.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Asked> {
        let next = soon(self.asked.recv());
        async { next.await.expect("the server lives") }
    }
}

impl Asked {
    /// Answers whole, and keeps the connection.
    pub(crate) fn answer(self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let bytes = response(status, headers, body, body.len());
        // A client that is gone hears nothing.
        let _ = self.answer.send((bytes, After::Keep));
    }

    /// Announces a longer body than it sends, and hangs up.
    pub(crate) fn cut(self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let bytes = response(status, headers, body, body.len() + 10);
        let _ = self.answer.send((bytes, After::Close));
    }

    /// Hangs up without a word.
    pub(crate) fn lose(self) {
        drop(self);
    }

    /// A WebSocket handshake: what a client asks first when it may choose.
    pub(crate) fn is_upgrade(&self) -> bool {
        self.headers
            .get("upgrade")
            .is_some_and(|it| it == "websocket")
    }
}

fn response(status: u16, headers: &[(&str, &str)], body: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

async fn serve(mut stream: Boxed, connection: usize, tell: &mpsc::UnboundedSender<Asked>) {
    let mut unread = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut unread).await {
        let (answer, mut answered) = oneshot::channel();
        let (gone_tell, gone) = oneshot::channel();
        if tell
            .send(parse(connection, &head, body, answer, gone))
            .is_err()
        {
            return;
        }
        let mut byte = [0];
        let answered = tokio::select! {
            answered = &mut answered => answered,
            // Nothing is pipelined, so what comes now is the end.
            _ = stream.read(&mut byte) => {
                let _ = gone_tell.send(());
                return;
            }
        };
        let Ok((bytes, after)) = answered else { return };
        if stream.write_all(&bytes).await.is_err() || matches!(after, After::Close) {
            return;
        }
    }
}

/// Reads one request, head and body.
async fn request(stream: &mut Boxed, unread: &mut Vec<u8>) -> Option<(String, Bytes)> {
    let end = loop {
        if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(unread[..end].to_vec()).expect("a head is text");
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.parse::<usize>().expect("a length"));
    while unread.len() < end + length {
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
    let body = Bytes::copy_from_slice(&unread[end..end + length]);
    unread.drain(..end + length);
    Some((head, body))
}

fn parse(
    connection: usize,
    head: &str,
    body: Bytes,
    answer: oneshot::Sender<(Vec<u8>, After)>,
    gone: oneshot::Receiver<()>,
) -> Asked {
    let mut lines = head.lines();
    let mut first = lines.next().expect("a request line").split(' ');
    let method = first.next().expect("a method").to_owned();
    let target = first.next().expect("a target");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = url::form_urlencoded::parse(query.as_bytes());
    let headers = lines.filter_map(|line| line.split_once(": "));
    Asked {
        connection,
        method,
        path: path.to_owned(),
        query: query.into_owned().collect(),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
        body,
        answer,
        gone,
    }
}
