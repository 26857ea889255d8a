//! What is kept of the request that opened a connection, for the handlers of its events.

use std::fmt;
use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header,
};
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use tengen_protocol::{Codec, Data, Limits, Transport};

use crate::identity::Identified;
use crate::identity::session_map::SessionMap;
use crate::identity::unix_seconds;

/// The request parts of a connection, its identity and its params, in as few bytes as they need.
///
/// hyper's header values are slices of the 8 KiB buffer they were read into, so keeping `Parts`
/// would keep that buffer for every idle connection. Here the head is one exact allocation;
/// handlers that ask for `Parts` or headers pay for building them (about a microsecond).
pub(crate) struct Connected {
    head: Head,
    peer: SocketAddr,
    transport: Transport,
    extensions: Extensions,
    /// The decrypted session map as JSON; a parsed map takes five times as much.
    session: Option<Box<str>>,
    params: Option<Data>,
    handshake: Option<Data>,
}

impl Connected {
    /// Keeps what handlers may ask about the request behind `parts`. `handshake` is the hello's
    /// `data`.
    pub(crate) fn new(
        parts: Parts,
        peer: SocketAddr,
        transport: Transport,
        identified: &Identified,
        handshake: &Data,
    ) -> Connected {
        let head = Head::of(&parts);
        let mut extensions = parts.extensions;
        // What servers and routers leave behind is of no use after the handshake; what the app's
        // layers put there stays.
        extensions.remove::<OnUpgrade>();
        extensions.remove::<tower_cookies::Cookies>();
        extensions.remove::<ConnectInfo<SocketAddr>>();
        extensions.remove::<axum::extract::MatchedPath>();
        extensions.remove::<axum::extract::OriginalUri>();
        if extensions.is_empty() {
            extensions = Extensions::new();
        }
        Connected {
            head,
            peer,
            transport,
            extensions,
            session: identified
                .session()
                .map(|session| session.to_json().into_boxed_str()),
            params: None,
            handshake: compact(handshake),
        }
    }

    /// Of what no client sent: there is no request behind it.
    pub(crate) fn none() -> Connected {
        let (parts, ()) = Request::new(()).into_parts();
        let peer = SocketAddr::from(([0, 0, 0, 0], 0));
        let null = Data::null(Codec::Cbor);
        Connected::new(parts, peer, Transport::Ws, &Identified::default(), &null)
    }

    /// Keeps a POST's own request, and of its session's `hello` what it said: params, handshake
    /// data, and, if this request has none, the extensions. They cannot travel to another node, and
    /// what the app's layers put there at the hello is still true of the client.
    pub(crate) fn of_post(
        parts: Parts,
        peer: SocketAddr,
        identified: &Identified,
        hello: &Connected,
    ) -> Connected {
        let null = Data::null(Codec::Cbor);
        let mut connected = Connected::new(parts, peer, Transport::Poll, identified, &null);
        connected.params.clone_from(&hello.params);
        connected.handshake.clone_from(&hello.handshake);
        if connected.extensions.is_empty() {
            connected.extensions.clone_from(&hello.extensions);
        }
        connected
    }

    /// Adds the hello's `params`.
    #[must_use]
    pub(crate) fn with_params(mut self, params: Option<&Data>) -> Connected {
        self.params = params.and_then(compact);
        self
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The hello's params; null when there were none.
    pub(crate) fn params(&self) -> Data {
        self.params
            .clone()
            .unwrap_or_else(|| Data::null(Codec::Cbor))
    }

    /// What the hello told this client.
    pub(crate) fn handshake(&self) -> Data {
        self.handshake
            .clone()
            .unwrap_or_else(|| Data::null(Codec::Cbor))
    }

    /// The session map the request came with, `None` without one or once it has expired.
    pub(crate) fn session_map(&self) -> Option<SessionMap> {
        SessionMap::parse(self.session.as_deref()?, unix_seconds())
    }

    /// One header's first value.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        self.head
            .headers()
            .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// All headers, built anew.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in self.head.headers() {
            // Both were valid when they were stored.
            if let (Ok(name), Ok(mut value)) =
                (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            {
                value.set_sensitive(name == header::COOKIE || name == header::AUTHORIZATION);
                map.append(name, value);
            }
        }
        map
    }

    /// The request's parts, built anew, with the app's extensions and the session map among them.
    pub(crate) fn parts(&self) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = self.head.method.clone();
        parts.version = self.head.version;
        parts.uri = Uri::try_from(self.head.uri()).unwrap_or_default();
        parts.headers = self.headers();
        parts.extensions = self.extensions.clone();
        if let Some(session) = self.session_map() {
            parts.extensions.insert(session);
        }
        parts
    }
}

impl fmt::Debug for Connected {
    /// Without headers, params and cookies: they hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected")
            .field("peer", &self.peer)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// A value that outlives its frame: copied out of the read buffer, and nothing at all for null.
fn compact(data: &Data) -> Option<Data> {
    if data.bytes() == Data::null(data.codec()).bytes() {
        return None;
    }
    // The value was within the limits of whoever let it in; a second opinion could only lose it.
    let any = Limits {
        max_bytes: usize::MAX,
        max_depth: usize::MAX,
        max_elements: usize::MAX,
    };
    Data::checked(data.codec(), Bytes::copy_from_slice(data.bytes()), &any).ok()
}

/// Method, URI and headers in one allocation: `[uri length, uri, (name length, name, value length,
/// value)…]`, lengths as little-endian u32.
struct Head {
    method: Method,
    version: Version,
    bytes: Box<[u8]>,
}

impl Head {
    fn of(parts: &Parts) -> Head {
        let uri = parts.uri.to_string();
        let headers = || {
            parts
                .headers
                .iter()
                .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
        };
        let size = 4
            + uri.len()
            + headers()
                .map(|(name, value)| 8 + name.len() + value.len())
                .sum::<usize>();
        let mut bytes = Vec::with_capacity(size);
        put(&mut bytes, uri.as_bytes());
        for (name, value) in headers() {
            put(&mut bytes, name);
            put(&mut bytes, value);
        }
        Head {
            method: parts.method.clone(),
            version: parts.version,
            bytes: bytes.into_boxed_slice(),
        }
    }

    fn uri(&self) -> &[u8] {
        take(&mut &*self.bytes).unwrap_or_default()
    }

    fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &*self.bytes;
        take(&mut rest);
        std::iter::from_fn(move || Some((take(&mut rest)?, take(&mut rest)?)))
    }
}

fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    // A request head is far below 4 GiB: hyper refuses it beyond its buffer.
    let length = u32::try_from(field.len()).unwrap_or(0);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&field[..length as usize]);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (field, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    Some(field)
}
