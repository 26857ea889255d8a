//! Everything that is decided before a client starts.

use std::{net::SocketAddr, sync::Arc};

use serde::Serialize;
use tengen_protocol::{
    ClientId, Codec, Data,
    client::{Options, Session, State, TransportChoice},
};
use tokio::sync::mpsc;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, header::COOKIE};

use crate::{client::Client, cookies::Headers, driver::Driver, route::Route, shared::Shared};

/// Commands that wait for the driver; beyond it `send` and the others wait themselves.
const COMMANDS: usize = 64;

/// Collects the settings of a [`Client`]; made by [`Client::builder`].
///
/// Mistakes in the settings are told once, by [`spawn`](Builder::spawn) or
/// [`connect`](Builder::connect).
#[derive(Debug)]
#[must_use = "a builder does nothing until spawn or connect"]
pub struct Builder {
    url: String,
    options: Options,
    client_id: Option<String>,
    params: Option<Params>,
    headers: Headers,
    source: Option<SocketAddr>,
    roots: Vec<CertificateDer<'static>>,
    wrong: Option<BuildError>,
}

/// Encoded when the codec is known.
#[derive(Debug)]
struct Params(Data);

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Not an address of a channel socket.
    #[error("not a ws://, wss://, http:// or https:// address: {0}")]
    Url(String),
    /// Another setting; the text names it.
    #[error("{0}")]
    Setting(String),
}

/// Why [`Builder::connect`] gave up.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A setting that cannot be used.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The cluster refused this client for good: a 401 or 403 of its own, or a close code that
    /// says not to come back. The state's `last_error` and `last_ws_close` say more.
    #[error("refused: {}", why(.0))]
    Refused(Arc<State>),
}

fn why(state: &State) -> String {
    match (&state.last_error, &state.last_ws_close) {
        (Some(error), _) => error.text.clone(),
        (None, Some(close)) => format!("closed with {:?} {}", close.code, close.reason),
        (None, None) => "the connection was closed".to_owned(),
    }
}

impl Builder {
    pub(crate) fn new(url: String) -> Builder {
        Builder {
            url,
            options: Options::default(),
            client_id: None,
            params: None,
            headers: Headers::default(),
            source: None,
            roots: Vec::new(),
            wrong: None,
        }
    }

    /// CBOR (default) or JSON.
    pub fn codec(mut self, codec: Codec) -> Builder {
        self.options.codec = codec;
        self
    }

    /// Which tab or device this is: 1–64 of `A–Z a–z 0–9 _ -`. Random if not said.
    pub fn client_id(mut self, id: impl Into<String>) -> Builder {
        self.client_id = Some(id.into());
        self
    }

    /// What handlers shall know about this client; sent with every hello.
    pub fn params<T: Serialize + ?Sized>(mut self, params: &T) -> Builder {
        match Data::from(Codec::Cbor, params) {
            Ok(data) => self.params = Some(Params(data)),
            Err(refusal) => self.wrong(format!("params: {}", refusal.message)),
        }
        self
    }

    /// A WebSocket where that works and long-polling where it does not (`Auto`, the default), or
    /// one of them alone.
    pub fn transport(mut self, transport: TransportChoice) -> Builder {
        self.options.transport = transport;
        self
    }

    /// A header for every request; a name given twice is sent twice.
    pub fn header(mut self, name: &str, value: &str) -> Builder {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            (Err(_), _) => self.wrong(format!("{name:?} is no name of a header")),
            // The value may be a credential: it is not repeated.
            (_, Err(_)) => self.wrong(format!("header {name}: not a value a header can have")),
        }
        self
    }

    /// A cookie for every request. What the server sets takes its place, in memory, for as long as
    /// the client lives.
    pub fn cookie(mut self, name: &str, value: &str) -> Builder {
        match HeaderValue::try_from(format!("{name}={value}")) {
            Ok(cookie) => self.headers.append(COOKIE, cookie),
            Err(_) => self.wrong(format!("cookie {name}: not a value a header can have")),
        }
        self
    }

    /// One more certificate, in DER, that may sign the server's, besides those that the system
    /// trusts; for a company's own authority.
    pub fn root_certificate(mut self, der: impl Into<Vec<u8>>) -> Builder {
        self.roots.push(CertificateDer::from(der.into()));
        self
    }

    /// The local address to connect from; the operating system's choice if not said. Port 0 takes
    /// any: a client that polls has two connections at a time.
    pub fn source(mut self, address: SocketAddr) -> Builder {
        self.source = Some(address);
        self
    }

    /// Bounds and intervals, in full; see [`Options`] for what they are by default.
    pub fn options(mut self, change: impl FnOnce(&mut Options)) -> Builder {
        change(&mut self.options);
        self
    }

    fn wrong(&mut self, text: String) {
        self.wrong.get_or_insert(BuildError::Setting(text));
    }

    /// Starts the client; it connects by itself, and again whenever it must.
    ///
    /// # Errors
    /// A setting that cannot be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(self) -> Result<Client, BuildError> {
        let (client, driver) = self.parts()?;
        driver.start(true);
        Ok(client)
    }

    /// Starts the client without connecting: handlers can be attached in peace before
    /// [`Client::connect`].
    ///
    /// # Errors
    /// A setting that cannot be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn idle(self) -> Result<Client, BuildError> {
        let (client, driver) = self.parts()?;
        driver.start(false);
        Ok(client)
    }

    /// Starts the client and waits until it is open, as long as that takes.
    ///
    /// # Errors
    /// A setting that cannot be used; a refusal for good.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropped while it waits, the client ends.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let client = self.spawn()?;
        let (mut state, mut idle) = (client.state(), client.idle());
        loop {
            let now = state.borrow_and_update().clone();
            if now.open {
                return Ok(client);
            }
            if *idle.borrow_and_update() {
                return Err(ConnectError::Refused(now));
            }
            // Neither fails: the senders live as long as the client, which is held here.
            let _ = tokio::select! {
                changed = state.changed() => changed,
                changed = idle.changed() => changed,
            };
        }
    }

    fn parts(mut self) -> Result<(Client, Driver), BuildError> {
        let route = Route::new(&self.url, self.source, std::mem::take(&mut self.roots))?;
        if let Some(id) = &self.client_id {
            match ClientId::parse(id) {
                Ok(id) => self.options.client = Some(id),
                Err(refusal) => self.wrong(refusal.message),
            }
        }
        if let Some(Params(data)) = &self.params {
            match data.transcode(self.options.codec) {
                Ok(data) => self.options.params = Some(data),
                Err(refusal) => self.wrong(format!("params: {}", refusal.message)),
            }
        }
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let codec = self.options.codec;
        let session = Session::new(self.options.clone(), rand::random());
        let shared = Shared::new(codec, route, self.headers, session.state().clone());
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let client = Client::new(commands, shared.clone());
        let driver = Driver::new(session, self.options, shared, &client, receiver);
        Ok((client, driver))
    }
}
