//! One task per subscription: moves what arrives out of the client library into our own queue.

use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use async_nats::Subscriber;
use futures_util::Stream as _;
use parking_lot::Mutex;
use tokio::{sync::Notify, task::unconstrained};
use tokio_util::sync::CancellationToken;

use super::convert;
use crate::{message::Message, queue::Queue};

/// Messages moved under one lock.
const CHUNK: usize = 256;

/// A subscription as its pump and the supervisor see it.
pub(super) struct Entry {
    pub(super) pattern: String,
    pub(super) group: Option<String>,
    queue: Arc<Queue>,
    /// The library's end of the subscription, newly made by the supervisor.
    source: Mutex<Option<Subscriber>>,
    interrupted: AtomicBool,
    draining: AtomicBool,
    news: Notify,
    end: CancellationToken,
}

impl Entry {
    pub(super) fn new(pattern: &str, group: Option<String>, queue: Arc<Queue>) -> Entry {
        Entry {
            pattern: pattern.to_owned(),
            group,
            queue,
            source: Mutex::new(None),
            interrupted: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            news: Notify::new(),
            end: CancellationToken::new(),
        }
    }

    /// From here on messages come from `source`.
    pub(super) fn feed(&self, source: Subscriber) {
        *self.source.lock() = Some(source);
        self.news.notify_one();
    }

    /// Marks the stream behind everything that has arrived so far.
    pub(super) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        self.news.notify_one();
    }

    /// Takes the interest back, hands on what still arrives, ends.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.news.notify_one();
    }

    /// Resolves when the pump has ended.
    pub(super) async fn ended(&self) {
        self.end.cancelled().await;
    }
}

/// Runs until the subscription is dropped or drained.
pub(super) async fn run(entry: Arc<Entry>, stop: CancellationToken) {
    let _ended = entry.end.clone().drop_guard();
    let mut source: Option<Subscriber> = None;
    let mut chunk = Vec::new();
    loop {
        // A pump that always finds messages yields here and not in the middle of them, where
        // it would take the forced pause for the end and put a marker in front of the rest.
        tokio::task::coop::consume_budget().await;
        // Biased: a marker stands behind all that arrived before it.
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            more = unconstrained(next_chunk(source.as_mut(), &mut chunk)) => {
                entry.queue.push_many(chunk.drain(..));
                if !more {
                    source = None;
                    if entry.draining.load(Ordering::SeqCst) {
                        break;
                    }
                }
            }
            () = entry.news.notified() => {
                let new = entry.source.lock().take();
                if let Some(new) = new {
                    source = Some(new);
                }
                if entry.interrupted.swap(false, Ordering::SeqCst) {
                    entry.queue.interrupted();
                }
                if entry.draining.load(Ordering::SeqCst) {
                    match &mut source {
                        // An error means that the connection is gone: then the stream ends too.
                        Some(source) => { let _ = source.drain().await; }
                        None => break,
                    }
                }
            }
        }
    }
    drop(mem::take(&mut source));
    entry.queue.close();
}

/// Fills `chunk` with what is there, at least one message; `false` when the source has ended.
/// Never resolves without a source. Cancel safe: what was taken is in `chunk`.
async fn next_chunk(mut source: Option<&mut Subscriber>, chunk: &mut Vec<Message>) -> bool {
    poll_fn(|cx| match &mut source {
        Some(source) => poll_chunk(source, chunk, cx),
        None => Poll::Pending,
    })
    .await
}

fn poll_chunk(
    source: &mut Subscriber,
    chunk: &mut Vec<Message>,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    while chunk.len() < CHUNK {
        match Pin::new(&mut *source).poll_next(cx) {
            // A status is the server's own word (nobody listens to a reply), not a message.
            Poll::Ready(Some(message)) if message.status.is_some() => {}
            Poll::Ready(Some(message)) => chunk.push(convert::inbound(message)),
            Poll::Ready(None) => return Poll::Ready(false),
            Poll::Pending if chunk.is_empty() => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    Poll::Ready(true)
}
