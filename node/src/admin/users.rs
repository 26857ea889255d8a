//! Who is online, over HTTP: the same questions and answers as over the bus.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query as Fields, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tengen_protocol::{ErrorCode, Refusal, Uid};

use super::Admin;
use super::refusal::refused;
use crate::online::Online;
use crate::online::query::{Asked, Query, bad, of, page_limit};
use crate::online::said::{Session, Sessions};

/// `GET /v1/connected-uids`: a page, the counts, or one user.
pub(super) async fn connected_uids(
    State(admin): State<Arc<Admin>>,
    Parameters(asked): Parameters<Asked>,
) -> Response {
    let query = asked.and_then(Query::try_from);
    answer(&admin, query).await
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AskedOfOne {
    clients: bool,
}

/// `GET /v1/connected-uids/{uid}`: is this user online, and where?
pub(super) async fn connected_uid(
    State(admin): State<Arc<Admin>>,
    uid: Result<Path<String>, PathRejection>,
    Parameters(asked): Parameters<AskedOfOne>,
) -> Response {
    let query = asked.and_then(|asked| {
        let uid = uid_of(uid)?;
        Query::try_from(Asked {
            uid: Some(uid),
            clients: asked.clients,
            ..Asked::default()
        })
    });
    answer(&admin, query).await
}

async fn answer(admin: &Admin, query: Result<Query, Refusal>) -> Response {
    match query {
        Ok(query) => json(&admin.shared.handle.online.answer(query).await),
        Err(refusal) => refused(&refusal),
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AskedSessions {
    uid: Option<String>,
    cursor: Option<String>,
    limit: Option<u64>,
}

/// Sessions of this node, in the order in which they came.
#[derive(Serialize)]
struct Page {
    sessions: Vec<Session>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `GET /v1/sessions`: a user's sessions on all nodes, or, in pages, those of this node.
pub(super) async fn sessions(
    State(admin): State<Arc<Admin>>,
    Parameters(asked): Parameters<AskedSessions>,
) -> Response {
    let online = &admin.shared.handle.online;
    match asked.and_then(SessionsQuery::try_from) {
        Ok(SessionsQuery::Of(uid)) => {
            let sessions: Sessions = online.sessions_of(&uid).await;
            json(&online.says(sessions))
        }
        Ok(SessionsQuery::Here { after, limit }) => json(&online.says(page(online, after, limit))),
        Err(refusal) => refused(&refusal),
    }
}

enum SessionsQuery {
    Of(Uid),
    Here { after: Option<u64>, limit: usize },
}

impl TryFrom<AskedSessions> for SessionsQuery {
    type Error = Refusal;

    fn try_from(asked: AskedSessions) -> Result<SessionsQuery, Refusal> {
        match asked {
            AskedSessions {
                uid: Some(uid),
                cursor: None,
                limit: None,
            } => {
                let uid = Uid::parse(&uid).map_err(|refusal| of("uid", &refusal))?;
                Ok(SessionsQuery::Of(uid))
            }
            AskedSessions { uid: Some(_), .. } => Err(bad("uid goes alone")),
            AskedSessions {
                uid: None,
                cursor,
                limit,
            } => {
                let after = cursor.map(|cursor| cursor.parse()).transpose();
                Ok(SessionsQuery::Here {
                    after: after.map_err(|_| bad("cursor: the next of a page of this node"))?,
                    limit: page_limit(limit)?,
                })
            }
        }
    }
}

fn page(online: &Online, after: Option<u64>, limit: usize) -> Page {
    // One more says whether there is a next page.
    let mut listed = online.hub.list(after, limit + 1);
    let more = listed.len() > limit;
    listed.truncate(limit);
    let last = listed.last().map(|last| last.number.to_string());
    let sessions = listed
        .into_iter()
        .map(|listed| Session::new(&online.node, listed.uid.as_ref(), listed.client));
    Page {
        sessions: sessions.collect(),
        next: last.filter(|_| more),
    }
}

/// The query of a call, or why it is none.
pub(super) struct Parameters<T>(Result<T, Refusal>);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        // Read as it is, what is no UTF-8 would become U+FFFD, and so the name of another user.
        if percent_decode_str(query).decode_utf8().is_err() {
            let why = "the query is not UTF-8";
            return Ok(Parameters(Err(Refusal::new(ErrorCode::UNDECODABLE, why))));
        }
        let fields = Fields::<T>::try_from_uri(&parts.uri);
        let fields = fields.map(|Fields(fields)| fields);
        // Numbered as over the bus, where a field that is unknown or of another type has no reading.
        let undecodable = |why| Refusal::new(ErrorCode::UNDECODABLE, why);
        Ok(Parameters(
            fields.map_err(|error| undecodable(error.body_text())),
        ))
    }
}

/// The uid in a path, percent-decoded, which may be none yet.
pub(super) fn uid_of(path: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    let uid = path.map(|Path(uid)| uid);
    uid.map_err(|error| Refusal::new(ErrorCode::BAD_ID, error.body_text()))
}

fn json(answer: &impl Serialize) -> Response {
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    (no_store, axum::Json(answer)).into_response()
}
