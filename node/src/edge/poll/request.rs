//! What a poll request says in its headers and its query, read strictly: anything odd is a 400.

#[cfg(test)]
mod tests;

use axum::http::{HeaderMap, header};
use tengen_protocol::{Codec, SessionId};

use super::refusal::Refusal;

pub(crate) const SESSION: &str = "tengen-session";
pub(crate) const ATTEMPT: &str = "tengen-attempt";

/// The session and the attempt that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) session: SessionId,
    pub(crate) attempt: u64,
}

impl Named {
    /// `None` if the request names neither: it is a hello, or a plain question.
    ///
    /// # Errors
    /// 400 if it names one of them alone, one twice, or what is none.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Named>, Refusal> {
        let session = single(headers, SESSION, "Tengen-Session must be one session id")?;
        let attempt = single(headers, ATTEMPT, "Tengen-Attempt must be one number")?;
        match (session, attempt) {
            (None, None) => Ok(None),
            (Some(session), Some(attempt)) => Ok(Some(Named {
                session: SessionId::parse(session)
                    .map_err(|_| Refusal::malformed("Tengen-Session is no session id"))?,
                attempt: number(attempt)
                    .ok_or_else(|| Refusal::malformed("Tengen-Attempt is no number"))?,
            })),
            _ => Err(Refusal::malformed(
                "Tengen-Session and Tengen-Attempt belong together",
            )),
        }
    }
}

/// The query of a GET: what the client has received, and the number of this GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asks {
    pub(crate) received: u64,
    pub(crate) n: u64,
}

impl Asks {
    const NAMES: [&str; 2] = ["received", "n"];

    /// Whether the query says anything of a poll, right or wrong.
    pub(crate) fn any(query: Option<&str>) -> bool {
        let pairs = query.unwrap_or_default().split('&');
        pairs
            .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
            .any(|name| Asks::NAMES.contains(&name))
    }

    /// # Errors
    /// 400 without either, or with one that is no number, or twice.
    pub(crate) fn read(query: Option<&str>) -> Result<Asks, Refusal> {
        let [received, n] = numbers(query, Asks::NAMES)?;
        match (received, n) {
            (Some(received), Some(n)) => Ok(Asks { received, n }),
            _ => Err(Refusal::malformed("the query must be received=…&n=…")),
        }
    }
}

/// The position of a POST's first item.
///
/// # Errors
/// 400 without `first`, or with one that is no number from 1, or twice.
pub(crate) fn first(query: Option<&str>) -> Result<u64, Refusal> {
    let [first] = numbers(query, ["first"])?;
    first
        .filter(|first| *first > 0)
        .ok_or_else(|| Refusal::malformed("the query must be first=…, a position from 1"))
}

/// The codec that the content type stands for; its parameters do not matter.
///
/// # Errors
/// 400 without one, with several, or with another.
pub(crate) fn codec(headers: &HeaderMap) -> Result<Codec, Refusal> {
    let unknown =
        || Refusal::codec("the content type must be application/cbor-seq or application/x-ndjson");
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(unknown());
    };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next());
    let essence = essence.unwrap_or_default().trim();
    Codec::ALL
        .into_iter()
        .find(|codec| codec.poll_content_type().eq_ignore_ascii_case(essence))
        .ok_or_else(unknown)
}

fn single<'h>(
    headers: &'h HeaderMap,
    name: &str,
    wrong: &'static str,
) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(Some)
            .map_err(|_| Refusal::malformed(wrong)),
        _ => Err(Refusal::malformed(wrong)),
    }
}

/// The numbers under these names. Names we do not know are a proxy's or a later version's.
fn numbers<const N: usize>(
    query: Option<&str>,
    names: [&'static str; N],
) -> Result<[Option<u64>; N], Refusal> {
    let mut found = [None; N];
    for pair in query.unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(at) = names.iter().position(|wanted| *wanted == name) else {
            continue;
        };
        let value = number(value).filter(|_| found[at].is_none());
        found[at] = Some(value.ok_or_else(|| {
            Refusal::malformed(format!("{name} must stand in the query once, as a number"))
        })?);
    }
    Ok(found)
}

/// Digits alone: a sign or a space is none of ours, whatever `parse` thinks of it.
fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}
