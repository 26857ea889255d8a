//! Which handler takes which event: by id, by namespace, or whatever no other took.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use tengen_protocol::{Data, EventId, Refusal};

use super::event::Event;
use super::extract::FromEvent;
use super::reply::{IntoAnswer, Reply};

/// A handler on its way. It resolves to what its sender was told instead of an answer, if so.
pub(crate) type Running = Pin<Box<dyn Future<Output = Option<Refusal>> + Send>>;

/// An async function of up to eight [`FromEvent`] arguments that returns [`IntoAnswer`].
///
/// Implemented for every such function and closure; not to be implemented otherwise.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is an async fn of up to 8 arguments that implement `FromEvent`, returning `()`, `Answer<T>`, `Data` or `Result<_, AppError>`"
)]
pub trait Handler<Arguments>: Send + Sync + 'static {
    #[doc(hidden)]
    const TAKES_REPLY: bool;

    #[doc(hidden)]
    fn call(&self, event: Event, reply: Option<Reply>) -> Running;
}

macro_rules! handler {
    ($($argument:ident)*) => {
        impl<F, Fut, R, $($argument,)*> Handler<($($argument,)*)> for F
        where
            F: Fn($($argument,)*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = R> + Send + 'static,
            R: IntoAnswer,
            $($argument: FromEvent,)*
        {
            const TAKES_REPLY: bool = false $(|| $argument::TAKES_REPLY)*;

            #[allow(unused_mut, non_snake_case)]
            fn call(&self, event: Event, mut reply: Option<Reply>) -> Running {
                const {
                    assert!(
                        !(R::ANSWERS && (false $(|| $argument::TAKES_REPLY)*)),
                        "a handler that takes `Reply` cannot also return an answer"
                    );
                }
                $(let $argument = match $argument::from_event(&event, &mut reply) {
                    Ok(argument) => argument,
                    // Told before the arguments are dropped: a Reply among them would say less.
                    Err(refusal) => return refused(&event, refusal),
                };)*
                let codec = event.codec();
                let position = reply.is_none().then_some(event);
                let running = self($($argument,)*);
                Box::pin(async move { finish(running.await.into_answer(codec), reply, position) })
            }
        }
    };
}

handler!();
handler!(A1);
handler!(A1 A2);
handler!(A1 A2 A3);
handler!(A1 A2 A3 A4);
handler!(A1 A2 A3 A4 A5);
handler!(A1 A2 A3 A4 A5 A6);
handler!(A1 A2 A3 A4 A5 A6 A7);
handler!(A1 A2 A3 A4 A5 A6 A7 A8);

fn refused(event: &Event, refusal: Refusal) -> Running {
    event.refuse(refusal.clone());
    Box::pin(ready(Some(refusal)))
}

/// Gives the answer to whoever waits for it. Without a reply there is only an error to tell.
fn finish(
    answer: Option<Result<Data, Refusal>>,
    reply: Option<Reply>,
    event: Option<Event>,
) -> Option<Refusal> {
    let refusal = answer
        .as_ref()
        .and_then(|answer| answer.as_ref().err().cloned());
    match (answer, reply) {
        (Some(outcome), Some(reply)) => {
            // A caller that no longer waits has been told why.
            let _ = reply.settle(outcome);
        }
        (Some(Err(refusal)), None) => {
            if let Some(event) = event {
                event.refuse(refusal);
            }
        }
        // Nobody asked, or the Reply went another way; an unused one says so as it is dropped.
        (_, _) => {}
    }
    refusal
}

/// One registered handler.
pub(crate) struct Route {
    call: Box<dyn Fn(Event, Option<Reply>) -> Running + Send + Sync>,
    pub(crate) concurrent: bool,
    pub(crate) takes_reply: bool,
}

impl Route {
    fn new<A, H: Handler<A>>(handler: H, concurrent: bool) -> Arc<Route> {
        Arc::new(Route {
            call: Box::new(move |event, reply| handler.call(event, reply)),
            concurrent,
            takes_reply: H::TAKES_REPLY,
        })
    }

    pub(crate) fn call(&self, event: Event, reply: Option<Reply>) -> Running {
        (self.call)(event, reply)
    }
}

/// A handler that cannot be registered: the program is wrong, so the node is not built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// Neither `ns/name` nor `ns/*`.
    #[error("{pattern:?} is no event id: {cause}")]
    BadPattern { pattern: String, cause: Refusal },
    /// Under `chsk/`, which is the library's: a client cannot send it, and the only hooks there are
    /// `chsk/uidport-open` and `chsk/uidport-close`.
    #[error("{pattern:?}: ids under chsk/ belong to the library")]
    Reserved { pattern: String },
    /// The pattern has a handler already.
    #[error("{pattern:?} has a handler already")]
    Twice { pattern: String },
}

/// The handlers of a node, fixed before it serves anybody.
#[derive(Default)]
pub(crate) struct Registry {
    exact: HashMap<Box<str>, Arc<Route>>,
    namespaces: HashMap<Box<str>, Arc<Route>>,
    any: Option<Arc<Route>>,
    error: Option<RegistrationError>,
}

impl Registry {
    /// Registers `handler` for `ns/name`, or for what else is in a namespace with `ns/*`.
    ///
    /// A mistake is kept and told by [`Registry::check`], so that a builder can be chained.
    pub(crate) fn on<A, H: Handler<A>>(&mut self, pattern: &str, handler: H) {
        self.add(pattern, Route::new(handler, false));
    }

    /// The same for a handler that may overlap with others of its session.
    pub(crate) fn concurrent<A, H: Handler<A>>(&mut self, pattern: &str, handler: H) {
        self.add(pattern, Route::new(handler, true));
    }

    /// Registers what takes every event that no other handler took, before services are asked.
    pub(crate) fn on_any<A, H: Handler<A>>(&mut self, handler: H) {
        if self.any.replace(Route::new(handler, false)).is_some() {
            self.note(RegistrationError::Twice {
                pattern: "on_any".into(),
            });
        }
    }

    /// # Errors
    /// The first mistake that was made while registering.
    pub(crate) fn check(&mut self) -> Result<(), RegistrationError> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// The handler that takes `id`: its own, else its namespace's, else the catch-all.
    pub(crate) fn find(&self, id: &EventId) -> Option<&Arc<Route>> {
        self.exact
            .get(id.as_str())
            .or_else(|| self.namespaces.get(id.namespace()))
            .or(self.any.as_ref())
    }

    /// The handler of this very id.
    pub(crate) fn exact(&self, id: &str) -> Option<Arc<Route>> {
        self.exact.get(id).cloned()
    }

    fn add(&mut self, pattern: &str, route: Arc<Route>) {
        let (map, key) = match pattern.strip_suffix("/*") {
            // Any name will do to have the namespace checked.
            Some(namespace) => match legal(pattern, &format!("{namespace}/any")) {
                Ok(()) => (&mut self.namespaces, namespace),
                Err(error) => return self.note(error),
            },
            None => match legal(pattern, pattern) {
                Ok(()) => (&mut self.exact, pattern),
                Err(error) => return self.note(error),
            },
        };
        match map.entry(key.into()) {
            Entry::Vacant(vacant) => {
                vacant.insert(route);
            }
            Entry::Occupied(_) => self.note(RegistrationError::Twice {
                pattern: pattern.into(),
            }),
        }
    }

    fn note(&mut self, error: RegistrationError) {
        self.error.get_or_insert(error);
    }
}

fn legal(pattern: &str, id: &str) -> Result<(), RegistrationError> {
    let id = EventId::parse(id).map_err(|cause| RegistrationError::BadPattern {
        pattern: pattern.into(),
        cause,
    })?;
    let is_uidport = [EventId::UIDPORT_OPEN, EventId::UIDPORT_CLOSE].contains(&id.as_str());
    if id.is_reserved() && !is_uidport {
        return Err(RegistrationError::Reserved {
            pattern: pattern.into(),
        });
    }
    Ok(())
}
