//! Which message of a peer goes to whom: a bounded door for questions, an orderly one for what is only told.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tengen_bus::Message;
use tengen_protocol::{ErrorCode, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The answer to a question, in the making; `None` = keep silent.
pub(crate) type Answering = BoxFuture<'static, Option<Bytes>>;

/// Reads a question and says what answers it. Must not wait or take long: the messages behind it
/// wait. An error is a message that cannot be read; it is counted, and its sender told.
type Question = Box<dyn Fn(&Message) -> Result<Answering, Refusal> + Send + Sync>;

/// Takes what is only told, in the order it was sent. Must not wait.
type Told = Box<dyn Fn(&Message) -> Result<(), Refusal> + Send + Sync>;

/// What a question holds while it is being answered.
pub(super) type Room = OwnedSemaphorePermit;

struct Door {
    question: Question,
    /// Questions that may be under way at once; a further one is refused with `rate`.
    room: Arc<Semaphore>,
}

/// All doors of a node. Made by the composition root, then given to
/// [`Peers::listen`](super::Peers::listen).
#[derive(Default)]
pub(crate) struct Doors {
    asked: HashMap<&'static str, Door>,
    told: HashMap<&'static str, Told>,
    everybodys: Vec<Door>,
}

impl Doors {
    /// Answers what is sent to `<prefix>.node.<this>.<what>`, up to `max_under_way` at once.
    pub(crate) fn on_question(
        &mut self,
        what: &'static str,
        max_under_way: usize,
        question: impl Fn(&Message) -> Result<Answering, Refusal> + Send + Sync + 'static,
    ) {
        let door = Door::new(max_under_way, question);
        let before = self.asked.insert(what, door);
        debug_assert!(before.is_none(), "two doors named {what}");
    }

    /// Takes what is sent to `<prefix>.node.<this>.<what>` and wants no answer, one after another.
    pub(crate) fn on_told(
        &mut self,
        what: &'static str,
        told: impl Fn(&Message) -> Result<(), Refusal> + Send + Sync + 'static,
    ) {
        let before = self.told.insert(what, Box::new(told));
        debug_assert!(before.is_none(), "two doors named {what}");
    }

    /// Answers, or keeps silent to, what is asked of all nodes. Of several doors the first one that
    /// can read the message takes it.
    pub(crate) fn on_everyones_question(
        &mut self,
        max_under_way: usize,
        question: impl Fn(&Message) -> Result<Answering, Refusal> + Send + Sync + 'static,
    ) {
        self.everybodys.push(Door::new(max_under_way, question));
    }

    pub(super) fn mine(
        &self,
        what: &str,
        message: &Message,
    ) -> Result<Option<(Room, Answering)>, Refusal> {
        if let Some(told) = self.told.get(what) {
            return told(message).map(|()| None);
        }
        match self.asked.get(what) {
            Some(door) => door.enter(message).map(Some),
            None => Err(Refusal::new(ErrorCode::NO_HANDLER, "no such door")),
        }
    }

    pub(super) fn everybodys(
        &self,
        message: &Message,
    ) -> Result<Option<(Room, Answering)>, Refusal> {
        let mut refusal = Refusal::new(ErrorCode::NO_HANDLER, "no such door");
        for door in &self.everybodys {
            match door.enter(message) {
                Ok(entered) => return Ok(Some(entered)),
                Err(error) if error.code == ErrorCode::RATE => return Err(error),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

impl Door {
    fn new(
        max_under_way: usize,
        question: impl Fn(&Message) -> Result<Answering, Refusal> + Send + Sync + 'static,
    ) -> Door {
        Door {
            question: Box::new(question),
            room: Arc::new(Semaphore::new(max_under_way.max(1))),
        }
    }

    fn enter(&self, message: &Message) -> Result<(Room, Answering), Refusal> {
        let answering = (self.question)(message)?;
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(room) => Ok((room, answering)),
            Err(_) => Err(Refusal::new(ErrorCode::RATE, "too many questions")),
        }
    }
}
