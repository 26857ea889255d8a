//! Requests beside the channel socket: to the same server, with the same headers and cookies; for logins and large transfers.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::de::DeserializeOwned;
use url::{Url, form_urlencoded};

use crate::{exchange::exchange, shared::Shared};

/// Until the caller names another.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A request about to be made; from [`Client::http`](crate::Client::http).
///
/// It carries the client's headers and cookies, and cookies that the answer sets go with the
/// client's later requests and connections: after a login, [`reconnect`](crate::Client::reconnect)
/// makes the channel socket the new user's. Redirects are not followed.
#[must_use = "nothing is requested before this is awaited"]
pub struct Http {
    shared: Arc<Shared>,
    path: String,
    method: String,
    params: Vec<(String, String)>,
    headers: HeaderMap,
    body: Option<(String, Bytes)>,
    timeout: Duration,
    wrong: Option<String>,
}

/// What was answered, whatever its status says.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: u16,
    pub headers: HeaderMap,
    /// The body as it came; at most 65 MiB.
    pub content: Bytes,
}

impl HttpResponse {
    /// Whether the status is one of 200–299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The content as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    /// The content read as JSON.
    ///
    /// # Errors
    /// It is no JSON, or not of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.content).map_err(|error| HttpError::Content(error.to_string()))
    }
}

/// Why there is no answer, or none that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The request itself cannot be made: nothing was sent.
    #[error("{0}")]
    Request(String),
    /// No answer in time. The request may have been carried out.
    #[error("no answer in time")]
    Timeout,
    /// The connection failed. The request may have been carried out.
    #[error("{0}")]
    Transport(String),
    /// The answer is there, and not what was expected.
    #[error("{0}")]
    Content(String),
}

impl Http {
    pub(crate) fn new(shared: Arc<Shared>, path: &str) -> Http {
        Http {
            shared,
            path: path.to_owned(),
            method: "GET".to_owned(),
            params: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            timeout: TIMEOUT,
            wrong: None,
        }
    }

    /// `GET` if not said.
    pub fn method(mut self, method: &str) -> Http {
        method.clone_into(&mut self.method);
        self
    }

    /// One parameter: in the query of a `GET`, `HEAD` or `DELETE` or beside a body, else as a form
    /// field.
    pub fn param(mut self, name: &str, value: &str) -> Http {
        self.params.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A header besides the client's own.
    pub fn header(mut self, name: &str, value: &str) -> Http {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            // The value may be a credential: it is not repeated.
            _ => {
                self.wrong = Some(format!(
                    "header {name}: not a name or value a header can have"
                ))
            }
        }
        self
    }

    /// A body of this content type.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Http {
        self.body = Some((content_type.to_owned(), body.into()));
        self
    }

    /// How long the whole may take; 30 s if not said.
    pub fn timeout(mut self, timeout: Duration) -> Http {
        self.timeout = timeout;
        self
    }

    fn request(self) -> Result<(Url, Request<Full<Bytes>>), HttpError> {
        if let Some(wrong) = self.wrong {
            return Err(HttpError::Request(wrong));
        }
        let socket = self.shared.route.url();
        let mut url = socket
            .join(&self.path)
            .map_err(|error| HttpError::Request(format!("{}: {error}", self.path)))?;
        if url.origin() != socket.origin() {
            // The client's cookies and tokens are not for others.
            let text = format!("{} is another server than the client's", self.path);
            return Err(HttpError::Request(text));
        }
        url.set_fragment(None);
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| HttpError::Request(format!("{:?} is no method", self.method)))?;
        let params = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.params)
            .finish();
        let in_query =
            self.body.is_some() || matches!(method, Method::GET | Method::HEAD | Method::DELETE);
        if in_query && !params.is_empty() {
            let query = match url.query() {
                Some(query) => format!("{query}&{params}"),
                None => params.clone(),
            };
            url.set_query(Some(&query));
        }
        let form = (!in_query).then(|| {
            let content_type = "application/x-www-form-urlencoded".to_owned();
            (content_type, Bytes::from(params))
        });
        let mut request = Request::builder()
            .method(method)
            .uri(&url[url::Position::BeforePath..]);
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.shared.headers_of(url.path()));
            headers.extend(self.headers);
        }
        let body = self.body.or(form);
        if let Some((content_type, _)) = &body {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let body = Full::new(body.map(|(_, body)| body).unwrap_or_default());
        let request = request
            .body(body)
            .map_err(|error| HttpError::Request(error.to_string()))?;
        Ok((url, request))
    }

    async fn run(self) -> Result<HttpResponse, HttpError> {
        let (shared, timeout) = (Arc::clone(&self.shared), self.timeout);
        let (url, request) = self.request()?;
        let heard = AtomicBool::new(false);
        // The limit is the whole's, however the answer trickles.
        let asked = exchange(&shared.route, None, request, Duration::MAX, &heard);
        let (answer, _) = tokio::time::timeout(timeout, asked)
            .await
            .map_err(|_| HttpError::Timeout)?
            .map_err(HttpError::Transport)?;
        shared.learn_of(url.path(), &answer.headers);
        Ok(HttpResponse {
            status: answer.status.as_u16(),
            headers: answer.headers,
            content: answer.body,
        })
    }
}

impl IntoFuture for Http {
    type Output = Result<HttpResponse, HttpError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// # Cancel safety
    /// Dropped midway, the connection is closed; the request may have been carried out.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither params nor headers: they carry credentials.
        f.debug_struct("Http")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
