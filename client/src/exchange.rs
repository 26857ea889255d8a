//! One HTTP exchange: a request written and its answer read, over a connection that may be kept for the next.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::{
    Request, StatusCode,
    body::{Body as _, Incoming},
    client::conn::http1::{Connection, SendRequest, handshake},
    header::{HOST, HeaderMap, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::{route::Route, socket::Socket};

/// A larger answer is an error: more than any server of ours can be set to send (64 MiB), with
/// room for what stands around the largest value.
pub(crate) const MAX_ANSWER_BYTES: usize = 65 << 20;

/// A connection between two exchanges.
pub(crate) struct Kept {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<Socket>, Full<Bytes>>>>,
}

impl Kept {
    async fn open(route: &Route) -> Result<Kept, String> {
        let socket = route.connect().await.map_err(|error| error.to_string())?;
        let (sender, connection) = handshake(TokioIo::new(socket))
            .await
            .map_err(|error| error.to_string())?;
        Ok(Kept {
            sender,
            connection: Box::pin(connection),
        })
    }

    /// Whether the server has closed it. To be asked while nothing is under way, or a server that
    /// hangs up would be found out only by the next request.
    pub(crate) fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.connection.as_mut().poll(context).map(|_| ())
    }
}

/// What was answered, whatever it says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Writes `request`, reads the answer, and returns the connection if it can be used again.
///
/// `heard` is set whenever something of the answer has come. The error is for people.
///
/// # Errors
/// No connection; `silence` passed without a byte of the answer; an answer that is none, breaks
/// off, or is larger than [`MAX_ANSWER_BYTES`].
///
/// # Cancel safety
/// Dropped midway, the connection is closed; the request may or may not have arrived.
pub(crate) async fn exchange(
    route: &Route,
    kept: Option<Kept>,
    mut request: Request<Full<Bytes>>,
    silence: Duration,
    heard: &AtomicBool,
) -> Result<(Answer, Option<Kept>), String> {
    let host = HeaderValue::try_from(route.host()).map_err(|error| error.to_string())?;
    request.headers_mut().insert(HOST, host);
    let silent = || "no answer".to_owned();
    if let Some(kept) = kept {
        match timeout(silence, head(kept, request)).await {
            Ok(Ok(begun)) => return rest(begun, silence, heard).await,
            // The server hung up before it saw anything of the request.
            Ok(Err(Unbegun::NotSent(again))) => request = *again,
            Ok(Err(Unbegun::Failed(error))) => return Err(error),
            Err(_) => return Err(silent()),
        }
    }
    let begin = async {
        match head(Kept::open(route).await?, request).await {
            Ok(begun) => Ok(begun),
            Err(Unbegun::NotSent(_)) => Err("the server hung up at once".to_owned()),
            Err(Unbegun::Failed(error)) => Err(error),
        }
    };
    let begun = timeout(silence, begin).await.map_err(|_| silent())??;
    rest(begun, silence, heard).await
}

/// The head of an answer has come.
struct Begun {
    /// `None`: the connection has ended; what it has read is still to be had.
    kept: Option<Kept>,
    answer: hyper::Response<Incoming>,
}

enum Unbegun {
    /// Nothing of it was written: it may be repeated without a second thought.
    NotSent(Box<Request<Full<Bytes>>>),
    Failed(String),
}

async fn head(kept: Kept, request: Request<Full<Bytes>>) -> Result<Begun, Unbegun> {
    let Kept {
        mut sender,
        mut connection,
    } = kept;
    let (answer, connection) = {
        let mut asked = pin!(sender.try_send_request(request));
        let first = tokio::select! {
            biased;
            answer = &mut asked => Some(answer),
            _ = &mut connection => None,
        };
        match first {
            Some(answer) => (answer, Some(connection)),
            None => {
                // The connection is what moves the request. Only when it is gone, not when it has
                // ended, is a request given back that it never took: waiting for that one with
                // the connection at hand would be for ever.
                drop(connection);
                (asked.await, None)
            }
        }
    };
    match answer {
        Ok(answer) => Ok(Begun {
            kept: connection.map(|connection| Kept { sender, connection }),
            answer,
        }),
        Err(mut error) => Err(match error.take_message() {
            Some(request) => Unbegun::NotSent(Box::new(request)),
            None => Unbegun::Failed(error.into_error().to_string()),
        }),
    }
}

async fn rest(
    begun: Begun,
    silence: Duration,
    heard: &AtomicBool,
) -> Result<(Answer, Option<Kept>), String> {
    let Begun { mut kept, answer } = begun;
    heard.store(true, Ordering::Relaxed);
    let (head, mut body) = answer.into_parts();
    let mut whole = BytesMut::new();
    loop {
        let next = poll_fn(|context| {
            kept.take_if(|kept| kept.poll_closed(context).is_ready());
            Pin::new(&mut body).poll_frame(context)
        });
        let frame = timeout(silence, next)
            .await
            .map_err(|_| "the answer broke off".to_owned())?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| error.to_string())?;
        heard.store(true, Ordering::Relaxed);
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > MAX_ANSWER_BYTES {
                return Err("the answer is too large".to_owned());
            }
            whole.extend_from_slice(&data);
        }
    }
    // One more turn lets the connection see that the exchange is complete.
    poll_fn(|context| {
        kept.take_if(|kept| kept.poll_closed(context).is_ready());
        Poll::Ready(())
    })
    .await;
    let answer = Answer {
        status: head.status,
        headers: head.headers,
        body: whole.freeze(),
    };
    Ok((answer, kept.filter(|kept| !kept.sender.is_closed())))
}
