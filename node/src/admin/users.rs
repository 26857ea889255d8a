//! Who is online, over HTTP: the same questions and answers as over the bus.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query as Parameters, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
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
    asked: Result<Parameters<Asked>, QueryRejection>,
) -> Response {
    let query = parameters(asked).and_then(Query::try_from);
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
    asked: Result<Parameters<AskedOfOne>, QueryRejection>,
) -> Response {
    let query = parameters(asked).and_then(|asked| {
        let Path(uid) = uid.map_err(|error| bad(&error.body_text()))?;
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
    asked: Result<Parameters<AskedSessions>, QueryRejection>,
) -> Response {
    let online = &admin.shared.handle.online;
    match parameters(asked).and_then(SessionsQuery::try_from) {
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

fn parameters<T>(asked: Result<Parameters<T>, QueryRejection>) -> Result<T, Refusal> {
    asked
        .map(|Parameters(asked)| asked)
        .map_err(|error| Refusal::new(ErrorCode::BAD_EVENT, error.body_text()))
}

fn json(answer: &impl Serialize) -> Response {
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    (no_store, axum::Json(answer)).into_response()
}
