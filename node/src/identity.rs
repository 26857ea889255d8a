//! Decides who a request is (session cookie or the app's own `user_id`) and what its handshake is told.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use serde::Serialize;
use tengen_protocol::{Codec, Data, Uid};

pub(crate) mod cookie;
pub(crate) mod refused;
pub(crate) mod session_map;
#[cfg(test)]
mod tests;

use cookie::SessionCookies;
use refused::Refused;
use session_map::SessionMap;

/// How long `user_id` and `handshake_data` may each take. As long as a client may take for its
/// hello: a handshake that hangs must not hold a place in the handshake semaphore for ever.
const HOOK_TIMEOUT: Duration = Duration::from_secs(5);

type Hook<A, T> =
    Arc<dyn Fn(A) -> Pin<Box<dyn Future<Output = Result<T, Refused>> + Send>> + Send + Sync>;

/// Where a uid comes from when the app gives no `user_id` function of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewVisitors {
    /// A request without a valid session cookie is anonymous: it has no uid.
    #[default]
    Anonymous,
    /// It gets a cookie with a random uid at once, so the tabs of one browser are one user.
    RandomUid,
}

/// The node's answer to "who is this?". Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    cookies: SessionCookies,
    new_visitors: NewVisitors,
    user_id: Option<Hook<Parts, Option<Uid>>>,
    handshake: Option<Hook<(Parts, Option<Uid>), Data>>,
    hook_timeout: Duration,
}

/// Who a request turned out to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identified {
    uid: Option<Uid>,
    session: Option<SessionMap>,
    set_cookie: Option<HeaderValue>,
}

impl Identified {
    /// Whom another node took the sender of a request for, with what its cookie says.
    pub(crate) fn told(
        uid: Option<Uid>,
        cookies: &SessionCookies,
        headers: &HeaderMap,
    ) -> Identified {
        Identified {
            uid,
            session: cookies.session(headers),
            set_cookie: None,
        }
    }

    pub(crate) fn uid(&self) -> Option<&Uid> {
        self.uid.as_ref()
    }

    /// The decrypted session map: the request's own, or the one just made for it.
    pub(crate) fn session(&self) -> Option<&SessionMap> {
        self.session.as_ref()
    }

    /// The `Set-Cookie` that the answer to this request must carry, a 101 included.
    pub(crate) fn set_cookie(&self) -> Option<&HeaderValue> {
        self.set_cookie.as_ref()
    }
}

impl Identity {
    pub fn new(cookies: SessionCookies, new_visitors: NewVisitors) -> Identity {
        Identity {
            cookies,
            new_visitors,
            user_id: None,
            handshake: None,
            hook_timeout: HOOK_TIMEOUT,
        }
    }

    /// Lets `decide` name the uid of every request instead of the cookie.
    ///
    /// It sees the request's parts with the app's extensions and, as an extension, the decrypted
    /// [`SessionMap`] if there is one. `Ok(None)` is an anonymous client, `Err` refuses the
    /// handshake for good. It has 5 s; then the client is told to come back (503).
    #[must_use]
    pub fn with_user_id<F, Fut>(mut self, decide: F) -> Identity
    where
        F: Fn(Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Uid>, Refused>> + Send + 'static,
    {
        self.user_id = Some(Arc::new(move |parts| Box::pin(decide(parts))));
        self
    }

    /// Lets `tell` say what each hello carries as `data`, or refuse the handshake.
    ///
    /// It runs on every connect, after the uid is known, and has 5 s; then the client is told to
    /// come back (503).
    #[must_use]
    pub fn with_handshake_data<F, Fut, T>(mut self, tell: F) -> Identity
    where
        F: Fn(Parts, Option<Uid>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, Refused>> + Send + 'static,
        T: Serialize,
    {
        self.handshake = Some(Arc::new(move |(parts, uid)| {
            let told = tell(parts, uid);
            Box::pin(async move {
                let told = told.await?;
                Data::from(Codec::Cbor, &told).map_err(|refusal| {
                    tracing::error!(error = %refusal.message, "handshake data has no encoding");
                    Refused::unavailable("the handshake data has no encoding")
                })
            })
        }));
        self
    }

    /// The cookies that log users in and out.
    pub fn cookies(&self) -> &SessionCookies {
        &self.cookies
    }

    /// Says who sent this request.
    ///
    /// # Errors
    /// What the app's `user_id` refused, or 503 if it took longer than 5 s.
    ///
    /// # Cancel safety
    /// May be dropped at any await; nothing is kept.
    pub(crate) async fn identify(&self, parts: &Parts) -> Result<Identified, Refused> {
        let now = unix_seconds();
        let session = self.cookies.read(&parts.headers, now);
        if let Some(decide) = &self.user_id {
            let uid = self
                .in_time(decide(with_session(parts, session.as_ref())))
                .await?;
            return Ok(Identified {
                uid,
                session,
                set_cookie: None,
            });
        }
        if let Some(session) = session {
            let uid = session.uid();
            return Ok(Identified {
                uid,
                session: Some(session),
                set_cookie: None,
            });
        }
        match self.new_visitors {
            NewVisitors::Anonymous => Ok(Identified::default()),
            NewVisitors::RandomUid => self.welcome(parts, now),
        }
    }

    /// Gives a first-time visitor a cookie with a uid nobody else has.
    fn welcome(&self, parts: &Parts, now: u64) -> Result<Identified, Refused> {
        let no_cookie = |error: &dyn fmt::Display| {
            tracing::error!(%error, "session cookie cannot be made");
            Refused::unavailable("no session cookie could be made")
        };
        let uid = uuid::Uuid::new_v4().to_string();
        let uid = Uid::try_from(uid.as_str()).map_err(|refusal| no_cookie(&refusal.message))?;
        let session = self.cookies.begin(&uid, now);
        let set_cookie = self
            .cookies
            .set_cookie(&session, self.cookies.is_https(parts))
            .map_err(|error| no_cookie(&error))?;
        Ok(Identified {
            uid: Some(uid),
            session: Some(session),
            set_cookie: Some(set_cookie),
        })
    }

    /// What the hello of this connection carries as `data`; null without a hook.
    ///
    /// # Errors
    /// What the app's hook refused, or 503 if it took longer than 5 s.
    ///
    /// # Cancel safety
    /// May be dropped at any await; nothing is kept.
    pub(crate) async fn handshake(
        &self,
        parts: &Parts,
        identified: &Identified,
    ) -> Result<Data, Refused> {
        let Some(tell) = &self.handshake else {
            return Ok(Data::null(Codec::Cbor));
        };
        let parts = with_session(parts, identified.session());
        self.in_time(tell((parts, identified.uid.clone()))).await
    }

    async fn in_time<T>(
        &self,
        hook: impl Future<Output = Result<T, Refused>>,
    ) -> Result<T, Refused> {
        match tokio::time::timeout(self.hook_timeout, hook).await {
            Ok(outcome) => outcome,
            Err(_) => {
                tracing::warn!("handshake hook took longer than its limit");
                Err(Refused::unavailable("the handshake took too long"))
            }
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("new_visitors", &self.new_visitors)
            .field("user_id", &self.user_id.is_some())
            .field("handshake_data", &self.handshake.is_some())
            .finish_non_exhaustive()
    }
}

fn with_session(parts: &Parts, session: Option<&SessionMap>) -> Parts {
    let mut parts = parts.clone();
    if let Some(session) = session {
        parts.extensions.insert(session.clone());
    }
    parts
}

/// Wall clock in whole seconds since 1970; 0 on a clock set before that, so every cookie is valid
/// until the clock is right.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
