//! What may be asked about who is online, over the bus and over HTTP alike.

use serde::Deserialize;
use tengen_protocol::{ErrorCode, Refusal, Transport, Uid};

/// Users in a page if nobody says how many.
const DEFAULT_LIMIT: usize = 100;
/// Users in a page at most: with the longest uids half of what NATS carries in a message.
const MAX_LIMIT: usize = 1_000;

/// The body of a request to `<prefix>.connected-uids`, the query of `GET /v1/connected-uids`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Asked {
    /// Users behind this one: the `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// At most so many users.
    pub(crate) limit: Option<u64>,
    /// Only users who are there by this transport, `ws` or `poll`.
    pub(crate) transport: Option<String>,
    /// How many there are, instead of who.
    pub(crate) count: bool,
    /// This user alone: is it there, and where?
    pub(crate) uid: Option<String>,
    /// And with which clients? Asks the nodes that have them.
    pub(crate) clients: bool,
}

/// A question that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// Users in order.
    Page {
        after: Option<Uid>,
        limit: usize,
        only: Option<Transport>,
    },
    /// How many.
    Count,
    /// One user.
    One { uid: Uid, clients: bool },
}

impl TryFrom<Asked> for Query {
    type Error = Refusal;

    fn try_from(asked: Asked) -> Result<Query, Refusal> {
        let page = asked.cursor.is_some() || asked.limit.is_some() || asked.transport.is_some();
        match asked {
            Asked { uid: Some(_), .. } if page || asked.count => {
                Err(bad("uid goes with clients alone"))
            }
            Asked {
                uid: Some(uid),
                clients,
                ..
            } => {
                let uid = Uid::parse(&uid).map_err(|refusal| of("uid", &refusal))?;
                Ok(Query::One { uid, clients })
            }
            Asked { clients: true, .. } => Err(bad("clients goes with uid alone")),
            Asked { count: true, .. } if page => Err(bad("count goes alone")),
            Asked { count: true, .. } => Ok(Query::Count),
            Asked {
                cursor,
                limit,
                transport,
                ..
            } => {
                let after = cursor.map(|cursor| Uid::parse(&cursor)).transpose();
                Ok(Query::Page {
                    after: after.map_err(|refusal| of("cursor", &refusal))?,
                    limit: page_limit(limit)?,
                    only: transport.map(|name| transport_named(&name)).transpose()?,
                })
            }
        }
    }
}

/// How many to list.
///
/// # Errors
/// [`ErrorCode::BAD_EVENT`] if that is none, or too many.
pub(crate) fn page_limit(limit: Option<u64>) -> Result<usize, Refusal> {
    let limit = limit.map_or(Some(DEFAULT_LIMIT), |limit| usize::try_from(limit).ok());
    limit
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| bad("limit: a number from 1 to 1000"))
}

fn transport_named(name: &str) -> Result<Transport, Refusal> {
    [Transport::Ws, Transport::Poll]
        .into_iter()
        .find(|transport| transport.name() == name)
        .ok_or_else(|| bad("transport: ws or poll"))
}

pub(crate) fn bad(what: &str) -> Refusal {
    Refusal::new(ErrorCode::BAD_EVENT, what)
}

/// Says of which field a refusal speaks.
pub(crate) fn of(field: &str, refusal: &Refusal) -> Refusal {
    Refusal::new(refusal.code, format!("{field}: {}", refusal.message))
}
