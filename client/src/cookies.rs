//! The headers that go with every request of a client, and the cookies that servers set.

use std::time::{Duration, SystemTime};

use cookie::Cookie;
use tokio_tungstenite::tungstenite::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};

/// Cookies kept for one channel socket; the oldest goes when there is one more (RFC 6265 §6.1
/// asks for 50 of a domain at least).
const MAX_COOKIES: usize = 64;

/// Headers and cookies of one client. Cookies are kept in memory only, for the origin of its
/// channel socket alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers {
    plain: HeaderMap,
    cookies: Vec<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    name: String,
    value: String,
    /// Only requests to this path and below carry it.
    path: String,
    until: Option<SystemTime>,
    secure: bool,
}

impl Headers {
    /// One more header; a name given twice is sent twice, except for `Cookie`, whose cookies are
    /// put together.
    pub(crate) fn append(&mut self, name: HeaderName, value: HeaderValue) {
        if name == COOKIE {
            self.add_cookies(&value);
        } else {
            self.plain.append(name, value);
        }
    }

    /// Replaces a header. Another `Cookie` replaces all cookies, those of the server included.
    pub(crate) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        if name == COOKIE {
            self.cookies.clear();
            self.add_cookies(&value);
        } else {
            self.plain.insert(name, value);
        }
    }

    fn add_cookies(&mut self, header: &HeaderValue) {
        // What is no text is no cookie that a server of ours could have set.
        for pair in header.to_str().unwrap_or_default().split(';') {
            if let Some((name, value)) = pair.trim().split_once('=') {
                self.keep(Kept {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    path: "/".to_owned(),
                    until: None,
                    secure: false,
                });
            }
        }
    }

    /// What a request to `path` carries.
    pub(crate) fn of(&self, path: &str, secure: bool) -> HeaderMap {
        let now = SystemTime::now();
        let mut headers = self.plain.clone();
        let cookies = self
            .cookies
            .iter()
            .filter(|cookie| secure || !cookie.secure)
            .filter(|cookie| cookie.until.is_none_or(|until| until > now))
            .filter(|cookie| covers(&cookie.path, path))
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect::<Vec<_>>()
            .join("; ");
        if !cookies.is_empty()
            && let Ok(value) = HeaderValue::try_from(cookies)
        {
            headers.insert(COOKIE, value);
        }
        headers
    }

    /// Takes the cookies that the answer to a request of `path` sets.
    pub(crate) fn learn(&mut self, answer: &HeaderMap, path: &str, secure: bool) {
        for value in answer.get_all(SET_COOKIE) {
            let Some(cookie) = value.to_str().ok().and_then(|it| Cookie::parse(it).ok()) else {
                continue;
            };
            let is_secure = cookie.secure() == Some(true);
            if is_secure && !secure {
                continue;
            }
            let default = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let path = cookie.path().filter(|path| path.starts_with('/'));
            self.keep(Kept {
                name: cookie.name().to_owned(),
                value: cookie.value().to_owned(),
                path: path.unwrap_or(default).to_owned(),
                until: until(&cookie),
                secure: is_secure,
            });
        }
    }

    fn keep(&mut self, new: Kept) {
        self.cookies
            .retain(|kept| kept.name != new.name || kept.path != new.path);
        if new.until.is_some_and(|until| until <= SystemTime::now()) {
            return;
        }
        if self.cookies.len() == MAX_COOKIES {
            self.cookies.remove(0);
        }
        self.cookies.push(new);
    }
}

/// When a cookie ends: `Max-Age` goes before `Expires` (RFC 6265 §5.3).
fn until(cookie: &Cookie<'_>) -> Option<SystemTime> {
    if let Some(age) = cookie.max_age() {
        // A negative age is the past.
        let age = Duration::try_from(age).unwrap_or_default();
        return SystemTime::now().checked_add(age);
    }
    cookie.expires_datetime().map(SystemTime::from)
}

/// RFC 6265 §5.1.4.
fn covers(cookie: &str, path: &str) -> bool {
    let Some(rest) = path.strip_prefix(cookie) else {
        return false;
    };
    rest.is_empty() || cookie.ends_with('/') || cookie.is_empty() || rest.starts_with('/')
}

#[cfg(test)]
mod tests;
