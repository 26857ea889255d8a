//! The answer to a request: given once, now or later, or its absence told to the caller.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tengen_protocol::{Codec, Data, ErrorCode, Refusal};

use super::event::Place;
use crate::hub::port::Port;

/// The right to answer one request, once.
///
/// It may be kept, sent to another task and used after the handler returned, as long as the
/// request's deadline has not passed. Dropping it unused tells the caller `handler-failed` at
/// once, so no caller waits for an answer that nobody can give any more.
#[must_use = "dropping it tells the caller that the handler failed"]
pub struct Reply {
    port: Arc<Port>,
    place: Arc<Place>,
    request: u32,
    open: bool,
}

impl Reply {
    pub(crate) fn new(port: Arc<Port>, place: Arc<Place>, request: u32) -> Reply {
        Reply {
            port,
            place,
            request,
            open: true,
        }
    }

    /// The codec of the caller's session, for a value that is encoded elsewhere.
    pub fn codec(&self) -> Codec {
        self.port.codec
    }

    /// Answers with any value; null and false are answers like all others.
    ///
    /// # Errors
    /// [`Unanswered`] if the value has no encoding (the caller is told `handler-failed`), or if
    /// the caller was told something else already: its deadline passed, or its session ended.
    pub fn answer<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unanswered> {
        match Data::from(self.codec(), value) {
            Ok(data) => self.settle(Ok(data)),
            Err(refusal) => {
                let refusal = no_encoding(&refusal);
                self.settle(Err(refusal)).and(Err(Unanswered::NoEncoding))
            }
        }
    }

    /// Answers with a value that is encoded already, in either codec.
    ///
    /// # Errors
    /// As [`Reply::answer`].
    pub fn answer_data(self, data: &Data) -> Result<(), Unanswered> {
        match data.transcode(self.codec()) {
            Ok(data) => self.settle(Ok(data)),
            Err(refusal) => {
                let refusal = no_encoding(&refusal);
                self.settle(Err(refusal)).and(Err(Unanswered::NoEncoding))
            }
        }
    }

    /// Answers with an error of the application's.
    ///
    /// # Errors
    /// [`Unanswered::TooLate`] if the caller was told something else already.
    pub fn error(self, error: AppError) -> Result<(), Unanswered> {
        self.settle(Err(error.into()))
    }

    pub(crate) fn settle(mut self, outcome: Result<Data, Refusal>) -> Result<(), Unanswered> {
        self.open = false;
        if self.place.reply(&self.port, self.request, outcome) {
            Ok(())
        } else {
            Err(Unanswered::TooLate)
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.open {
            let refusal = failed("the handler gave no answer");
            self.place.reply(&self.port, self.request, Err(refusal));
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("ref", &self.request)
            .finish_non_exhaustive()
    }
}

/// The answer reached nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The caller was told something else before: `timeout`, or its session ended.
    #[error("the caller no longer waits for this answer")]
    TooLate,
    /// The value cannot be encoded; the caller was told `handler-failed`.
    #[error("the answer has no encoding")]
    NoEncoding,
}

/// An error of the application's own, told to the caller as it is.
///
/// Its numbers begin at 1000, so no caller can take it for a timeout, a closed session or any
/// other failure of the library's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AppError {
    code: u32,
    message: String,
}

impl AppError {
    /// The smallest code an application may use.
    pub const FIRST: u32 = 1000;

    /// An error with the application's `code` and a text for the caller.
    ///
    /// # Panics
    /// If `code` is below 1000, which the library keeps for itself. In a handler that is a
    /// panic like any other: contained, counted, and the caller is told `handler-failed`.
    #[track_caller]
    pub fn new(code: u32, message: impl Into<String>) -> AppError {
        assert!(
            code >= AppError::FIRST,
            "an application's error codes begin at 1000, not {code}"
        );
        AppError {
            code,
            message: message.into(),
        }
    }

    pub fn code(&self) -> u32 {
        self.code
    }

    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<AppError> for Refusal {
    fn from(error: AppError) -> Refusal {
        Refusal {
            code: ErrorCode(error.code),
            message: error.message,
        }
    }
}

/// A handler's return value that answers the request. For an event nobody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<T>(pub T);

/// What a handler may return.
///
/// `()` answers nothing: a request then needs a [`Reply`] among the arguments. [`Answer`], or an
/// encoded [`Data`], answers it. `Result<_, AppError>` answers with either; for an event the error
/// is told to its sender as `chsk/error`.
///
/// A handler answers in one way. One that takes the [`Reply`] and returns an answer as well does
/// not compile:
///
/// ```compile_fail,E0080
/// use tengen_node::{Answer, Node, Reply};
///
/// let _ = Node::builder().on("chat/echo", async |reply: Reply| {
///     let _ = reply.answer("once");
///     Answer("twice")
/// });
/// ```
pub trait IntoAnswer {
    /// Whether this may answer. Such a handler cannot take the [`Reply`] as well.
    const ANSWERS: bool;

    /// The answer in `codec`, or `None` to give none.
    fn into_answer(self, codec: Codec) -> Option<Result<Data, Refusal>>;
}

impl IntoAnswer for () {
    const ANSWERS: bool = false;

    fn into_answer(self, _: Codec) -> Option<Result<Data, Refusal>> {
        None
    }
}

impl<T: Serialize> IntoAnswer for Answer<T> {
    const ANSWERS: bool = true;

    fn into_answer(self, codec: Codec) -> Option<Result<Data, Refusal>> {
        Some(Data::from(codec, &self.0).map_err(|refusal| no_encoding(&refusal)))
    }
}

impl IntoAnswer for Data {
    const ANSWERS: bool = true;

    fn into_answer(self, codec: Codec) -> Option<Result<Data, Refusal>> {
        Some(
            self.transcode(codec)
                .map_err(|refusal| no_encoding(&refusal)),
        )
    }
}

impl<R: IntoAnswer> IntoAnswer for Result<R, AppError> {
    const ANSWERS: bool = true;

    fn into_answer(self, codec: Codec) -> Option<Result<Data, Refusal>> {
        match self {
            Ok(value) => value.into_answer(codec),
            Err(error) => Some(Err(error.into())),
        }
    }
}

fn failed(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::HANDLER_FAILED, message)
}

fn no_encoding(cause: &Refusal) -> Refusal {
    failed(format!("the answer has no encoding: {}", cause.message))
}
