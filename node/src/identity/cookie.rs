//! The session cookie: encrypted, read from a request, written at a login, taken back at a logout.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header, uri::Scheme};
use sha2::{Digest, Sha256};
use tengen_protocol::Uid;
use tower_cookies::cookie::SameSite;
use tower_cookies::cookie::time::Duration as CookieDuration;
use tower_cookies::{Cookie, Cookies, Key};

use super::session_map::SessionMap;
use super::unix_seconds;

/// Browsers drop a cookie whose name, value and attributes exceed this (RFC 6265bis §5.6).
const MAX_COOKIE_BYTES: usize = 4096;

/// The key that encrypts session cookies; every node of a cluster needs the same one.
#[derive(Clone)]
pub struct CookieKey(Key);

impl CookieKey {
    /// A key from a secret of at least 32 bytes, for instance `openssl rand -base64 48`.
    ///
    /// # Errors
    /// [`ShortKey`] if it is shorter: such a secret could be guessed.
    pub fn from_secret(secret: &[u8]) -> Result<CookieKey, ShortKey> {
        if secret.len() < 32 {
            return Err(ShortKey {
                bytes: secret.len(),
            });
        }
        // Key::derive_from does the same with HKDF but sits behind a feature that tower-cookies
        // does not pass on; two hashes under different labels give the 64 bytes as well.
        let mut material = Vec::with_capacity(64);
        for label in [&b"tengen cookie key 1\0"[..], b"tengen cookie key 2\0"] {
            let half = Sha256::new()
                .chain_update(label)
                .chain_update(secret)
                .finalize();
            material.extend_from_slice(&half);
        }
        Ok(CookieKey(Key::from(&material)))
    }

    /// A random key: cookies last as long as this process and are read by no other node.
    pub fn random() -> CookieKey {
        CookieKey(Key::generate())
    }

    /// Eight bytes that are equal on nodes with the same key and tell nothing about it.
    pub fn fingerprint(&self) -> u64 {
        let digest = Sha256::new()
            .chain_update(b"tengen cookie fingerprint 1\0")
            .chain_update(self.0.master())
            .finalize();
        digest
            .iter()
            .take(8)
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CookieKey({:016x})", self.fingerprint())
    }
}

/// A cookie secret is too short to be safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cookie key has {bytes} bytes; it needs at least 32")]
pub struct ShortKey {
    bytes: usize,
}

/// A session map too large for a cookie.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session cookie would have {bytes} bytes; browsers keep at most 4096")]
pub struct CookieTooLarge {
    bytes: usize,
}

/// Name, life and attributes of the session cookie.
#[derive(Clone, Debug)]
pub struct CookieSettings {
    /// The cookie's name; `tengen` by default.
    pub name: String,
    /// How long a login lasts; 30 days by default. In the cookie and, encrypted, in the map.
    pub max_age: Duration,
    /// Proxies whose `X-Forwarded-Proto` says whether the page is https. From anybody else the
    /// header is ignored.
    pub trusted_proxies: Vec<IpAddr>,
    /// Mark the cookie `Secure` whatever the request looks like.
    pub always_secure: bool,
}

impl Default for CookieSettings {
    fn default() -> CookieSettings {
        CookieSettings {
            name: "tengen".into(),
            max_age: Duration::from_secs(30 * 24 * 3600),
            trusted_proxies: Vec::new(),
            always_secure: false,
        }
    }
}

/// Reads and writes session cookies. Cheap to clone.
///
/// The cookie is HttpOnly, SameSite=Lax, Path=/, with Max-Age, and Secure when the page is https.
#[derive(Clone, Debug)]
pub struct SessionCookies {
    settings: Arc<CookieSettings>,
    key: CookieKey,
}

impl SessionCookies {
    pub fn new(settings: CookieSettings, key: CookieKey) -> SessionCookies {
        SessionCookies {
            settings: Arc::new(settings),
            key,
        }
    }

    pub fn key(&self) -> &CookieKey {
        &self.key
    }

    /// The session map of a request, or `None`: no cookie, not ours, tampered with, or expired at
    /// `now` (seconds since 1970). All of these are the same to the caller: anonymous.
    pub(crate) fn read(&self, headers: &HeaderMap, now: u64) -> Option<SessionMap> {
        // A request may carry several cookies of our name (another path, a parent domain). The
        // first that decrypts wins, so a foreign one cannot log a user out.
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| Cookie::parse_encoded(pair.trim().to_owned()).ok())
            .filter(|cookie| cookie.name() == self.settings.name)
            .find_map(|cookie| {
                let jar = Cookies::default();
                jar.add(cookie);
                let plain = jar.private(&self.key.0).get(&self.settings.name)?;
                SessionMap::parse(plain.value(), now)
            })
    }

    /// The session map of a request as the wall clock sees it.
    pub fn session(&self, headers: &HeaderMap) -> Option<SessionMap> {
        self.read(headers, unix_seconds())
    }

    /// A new map for `uid`, not yet in any cookie.
    pub(crate) fn begin(&self, uid: &Uid, now: u64) -> SessionMap {
        SessionMap::begin(uid, now, self.settings.max_age.as_secs())
    }

    /// Logs `uid` in: puts a fresh session map into the response's cookie and returns it.
    ///
    /// `cookies` is the extractor of tower-cookies; its `CookieManagerLayer` must be around the
    /// route. A fresh map has a fresh id, so tokens of an earlier login end here.
    ///
    /// # Errors
    /// [`CookieTooLarge`] with a cookie name of some kilobytes.
    pub fn log_in(
        &self,
        cookies: &Cookies,
        parts: &Parts,
        uid: &Uid,
    ) -> Result<SessionMap, CookieTooLarge> {
        let session = self.begin(uid, unix_seconds());
        self.store(cookies, parts, &session)?;
        Ok(session)
    }

    /// Writes a changed map back into the response's cookie.
    ///
    /// # Errors
    /// [`CookieTooLarge`] if the app put too much into it; the cookie stays as it was.
    pub fn store(
        &self,
        cookies: &Cookies,
        parts: &Parts,
        session: &SessionMap,
    ) -> Result<(), CookieTooLarge> {
        let cookie = self.encrypted(session, self.is_https(parts))?;
        cookies.add(cookie);
        Ok(())
    }

    /// Logs out: the browser forgets the cookie. Connections that stand keep their identity until
    /// they reconnect.
    pub fn log_out(&self, cookies: &Cookies) {
        let mut gone = Cookie::new(self.settings.name.clone(), "");
        gone.set_path("/");
        cookies.remove(gone);
    }

    /// The `Set-Cookie` value for `session`, for answers that no cookie layer sees.
    pub(crate) fn set_cookie(
        &self,
        session: &SessionMap,
        https: bool,
    ) -> Result<HeaderValue, CookieTooLarge> {
        let text = self.encrypted(session, https)?.encoded().to_string();
        let bytes = text.len();
        // Everything in it is percent-encoded, base64 or our own settings; a name with controls
        // is refused when the settings are read.
        HeaderValue::try_from(text).map_err(|_| CookieTooLarge { bytes })
    }

    fn encrypted(
        &self,
        session: &SessionMap,
        https: bool,
    ) -> Result<Cookie<'static>, CookieTooLarge> {
        let left = session.expires().saturating_sub(session.issued());
        let mut cookie = Cookie::new(self.settings.name.clone(), session.to_json());
        cookie.set_path("/");
        cookie.set_http_only(true);
        cookie.set_same_site(SameSite::Lax);
        cookie.set_max_age(CookieDuration::seconds(
            i64::try_from(left).unwrap_or(i64::MAX),
        ));
        cookie.set_secure(https || self.settings.always_secure);
        let jar = Cookies::default();
        jar.private(&self.key.0).add(cookie);
        let cookie = jar
            .get(&self.settings.name)
            .unwrap_or_else(|| Cookie::new(self.settings.name.clone(), ""));
        let bytes = cookie.encoded().to_string().len();
        if bytes > MAX_COOKIE_BYTES {
            return Err(CookieTooLarge { bytes });
        }
        Ok(cookie.into_owned())
    }

    /// Whether the page behind this request is https: the request itself says so, or a trusted
    /// proxy that ended the TLS.
    pub fn is_https(&self, parts: &Parts) -> bool {
        if parts.uri.scheme() == Some(&Scheme::HTTPS) {
            return true;
        }
        let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() else {
            return false;
        };
        self.settings
            .trusted_proxies
            .contains(&peer.ip().to_canonical())
            && parts
                .headers
                .get("x-forwarded-proto")
                .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
    }
}
