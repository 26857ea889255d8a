//! One HTTP connection: hyper's as long as something is said, and kept without hyper while a request waits.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, Version, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::{Either, Ready, ready};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::patience::{Answer, Lent, Patience, Shelf};
use super::replayed::Replayed;
use super::stall::{Stall, Stalls};

/// What all connections of a listener share.
pub(super) struct Kit {
    pub(super) http: http1::Builder,
    pub(super) router: Router,
    pub(super) shutdown: CancellationToken,
    pub(super) stalls: Arc<Stalls>,
}

/// Hyper keeps 16 KiB of buffers for a connection, half of it resident once it has been used. A
/// request that waits, a held poll, does so without them: hyper is dropped, and when the answer is
/// there another one is made to write it, as if it had just been asked for it.
const ASKED_AGAIN: &[u8] = b"GET / HTTP/1.1\r\nhost: -\r\n\r\n";
/// The same when the connection is to end with it.
const ASKED_AT_LAST: &[u8] = b"GET / HTTP/1.1\r\nhost: -\r\nconnection: close\r\n\r\n";
/// How much is read ahead of a client that says something before it has its answer.
const AHEAD: usize = 512;

/// Serves a connection to its end; `permit` is given back with the first request head.
///
/// # Errors
/// What ended it before its time: there is nothing to do about it.
pub(super) async fn converse(
    kit: Arc<Kit>,
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> Result<(), hyper::Error> {
    let shelf = Arc::new(Shelf::default());
    let mut io = Replayed {
        unread: Bytes::new(),
        stream,
        shelf: Arc::clone(&shelf),
        stall: Stall::new(&kit.stalls),
    };
    let mut begun = Begun {
        permit: Some(permit),
        answer: None,
    };
    loop {
        // Boxed, to be gone while a request waits.
        let speaking = Box::pin(speak(&kit, io, peer, &shelf, begun));
        let Some((left, answer)) = speaking.await? else {
            return Ok(());
        };
        io = left;
        let Some(answer) = wait(&io.stream, &mut io.unread, answer).await else {
            return Ok(());
        };
        let last = kit.shutdown.is_cancelled();
        let asked = if last { ASKED_AT_LAST } else { ASKED_AGAIN };
        io.unread = [asked, &io.unread].concat().into();
        begun = Begun {
            permit: None,
            answer: Some(answer),
        };
    }
}

/// What a connection has when hyper gets it.
struct Begun {
    /// Of one that has said nothing yet.
    permit: Option<OwnedSemaphorePermit>,
    /// To the request that is read first.
    answer: Option<Response>,
}

/// Lets hyper serve the connection; gives it back with the answer that it waits for.
async fn speak(
    kit: &Kit,
    io: Replayed,
    peer: SocketAddr,
    shelf: &Arc<Shelf>,
    begun: Begun,
) -> Result<Option<(Replayed, Answer)>, hyper::Error> {
    let service = service(kit.router.clone(), peer, Arc::clone(shelf), begun);
    let connection = kit.http.serve_connection(TokioIo::new(io), service);
    let mut connection = connection.with_upgrades();
    let mut ending = false;
    let answer = loop {
        let served = std::future::poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended.map(|()| None)),
            Poll::Pending => match shelf.take_from_hyper() {
                Some(answer) => Poll::Ready(Ok(Some(answer))),
                None => Poll::Pending,
            },
        });
        tokio::select! {
            // First: one that is told to end before it has read anything just closes.
            biased;
            served = served => match served? {
                Some(answer) => break answer,
                None => return Ok(None),
            },
            () = kit.shutdown.cancelled(), if !ending => {
                ending = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let Some(parts) = connection.into_parts() else {
        return Ok(None);
    };
    let mut io = parts.io.into_inner();
    // Copied out: a slice would keep hyper's buffer for as long as it lives.
    io.unread = [&parts.read_buf[..], &io.unread].concat().into();
    Ok(Some((io, answer)))
}

/// Waits for an answer; `None` if the peer is gone before.
async fn wait(stream: &TcpStream, unread: &mut Bytes, mut answer: Answer) -> Option<Response> {
    std::future::poll_fn(|cx| {
        if let Poll::Ready(Ok(answer)) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        // What it says ahead may wait; one that says nothing more is heard going.
        while unread.is_empty() {
            match stream.poll_read_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Ready(Ok(())) => {}
            }
            let mut ahead = [0; AHEAD];
            match stream.try_read(&mut ahead) {
                Ok(0) => return Poll::Ready(None),
                Ok(length) => *unread = Bytes::copy_from_slice(&ahead[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(None),
            }
        }
        Poll::Pending
    })
    .await
}

/// What hyper calls for each request of a connection.
fn service(
    router: Router,
    peer: SocketAddr,
    shelf: Arc<Shelf>,
    begun: Begun,
) -> impl HttpService + Unpin {
    let begun = Mutex::new(begun);
    hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let Begun { permit, answer } = &mut *begun.lock();
        // A parked or long request is no handshake.
        permit.take();
        if let Some(answer) = answer.take() {
            return Either::Left(Either::Left(ready(Ok(answer))));
        }
        let may_wait = may_wait(&request);
        request.extensions_mut().insert(ConnectInfo(peer));
        // A router is always ready, so it may be called at once.
        let mut router = router.clone();
        if !may_wait {
            return Either::Right(router.call(request));
        }
        request.extensions_mut().insert(Patience::new(&shelf));
        let lent = shelf.lend(Box::pin(router.call(request)));
        Either::<Either<Ready<_>, Lent>, _>::Left(Either::Right(lent))
    })
}

/// Whether nothing about a request ties its connection to hyper: all of it is here, and afterwards
/// the connection goes on.
fn may_wait(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    let plain = !headers.contains_key(header::UPGRADE)
        && headers
            .get(header::CONNECTION)
            .is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"keep-alive"));
    plain
        && request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && request.body().is_end_stream()
}

/// What hyper drives for one connection.
trait HttpService:
    hyper::service::Service<
        Request<Incoming>,
        Response = Response,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + 'static
{
}

impl<S> HttpService for S where
    S: hyper::service::Service<
            Request<Incoming>,
            Response = Response,
            Error = Infallible,
            Future: Send + 'static,
        > + Send
        + 'static
{
}

#[cfg(test)]
mod tests;
