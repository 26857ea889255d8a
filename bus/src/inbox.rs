//! Answers on their way back: one inbox per handle, one token per request.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::message::{Message, Subject};

/// What came for a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Message(Message),
    NoResponders,
}

/// The requests of one handle that wait for their answer.
///
/// Kept here and not in the client library, because that one never forgets a request that
/// timed out (async-nats 0.51 keeps its token for the life of the connection).
pub(crate) struct Inbox {
    /// `_INBOX.<128 random bits>.`
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    ignored: AtomicU64,
}

impl Inbox {
    pub(crate) fn new() -> Arc<Inbox> {
        Arc::new(Inbox {
            prefix: format!("_INBOX.{:032x}.", rand::random::<u128>()),
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            ignored: AtomicU64::new(0),
        })
    }

    /// What this inbox subscribes to.
    pub(crate) fn pattern(&self) -> String {
        format!("{}*", self.prefix)
    }

    /// Opens a place for one answer.
    pub(crate) fn expect(self: &Arc<Inbox>) -> Expected {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(token, sender);
        let mut subject = String::with_capacity(self.prefix.len() + 16);
        subject.push_str(&self.prefix);
        // Writing to a string cannot fail.
        let _ = write!(subject, "{token:x}");
        Expected {
            inbox: Arc::clone(self),
            token,
            subject: subject.into(),
            answer,
        }
    }

    /// Hands an answer to whoever waits for it; an answer nobody waits for is counted.
    pub(crate) fn resolve(&self, subject: &str, answer: Answer) {
        let waiting = subject
            .strip_prefix(&self.prefix)
            .and_then(|token| u64::from_str_radix(token, 16).ok())
            .and_then(|token| self.waiting.lock().remove(&token));
        if waiting.is_none_or(|sender| sender.send(answer).is_err()) {
            self.ignored.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Answers that found nobody waiting: second ones and late ones.
    pub(crate) fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }
}

/// A place for one answer, given back when dropped.
pub(crate) struct Expected {
    inbox: Arc<Inbox>,
    token: u64,
    pub(crate) subject: Subject,
    pub(crate) answer: oneshot::Receiver<Answer>,
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.inbox.waiting.lock().remove(&self.token);
    }
}
