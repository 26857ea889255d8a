//! Where a client's connections go, and how: address, local address, TLS.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName},
    },
};
use url::Url;

use crate::{builder::BuildError, socket::Socket};

/// The way to one channel socket; shared by all connections of a client.
pub(crate) struct Route {
    /// `http` or `https`, whatever scheme it was given with.
    url: Url,
    /// Local address to connect from; `None` lets the operating system choose.
    source: Option<SocketAddr>,
    tls: Option<Tls>,
}

struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Route {
    /// Reads the channel socket's address. `roots` are trusted besides those of the system.
    pub(crate) fn new(
        text: &str,
        source: Option<SocketAddr>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Route, BuildError> {
        let url = address(text)?;
        let tls = match url.scheme() {
            "https" => Some(tls(&url, roots)?),
            _ => None,
        };
        Ok(Route { url, source, tls })
    }

    /// The channel socket as an address of HTTP.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The same as an address of WebSocket.
    pub(crate) fn ws_url(&self) -> String {
        // `http…` and `ws…` differ in nothing else; ports and their defaults are the same.
        self.url.as_str().replacen("http", "ws", 1)
    }

    /// What a request line names.
    pub(crate) fn target(&self) -> &str {
        &self.url[url::Position::BeforePath..]
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The value of `Host`.
    pub(crate) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// A new connection, TLS included.
    ///
    /// # Cancel safety
    /// Dropped midway, the socket is closed.
    pub(crate) async fn connect(&self) -> io::Result<Socket> {
        let stream = self.tcp().await?;
        // Requests and replies are small and waited for; what can be coalesced is coalesced above.
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Socket::Plain(stream)),
            Some(tls) => {
                let stream = tls.connector.connect(tls.name.clone(), stream).await?;
                Ok(Socket::Tls(Box::new(stream)))
            }
        }
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        let host = bare_host(&self.url);
        let port = self.url.port_or_known_default().unwrap_or(80);
        let Some(source) = self.source else {
            return TcpStream::connect((host, port)).await;
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in lookup_host((host, port)).await? {
            if address.is_ipv4() != source.is_ipv4() {
                continue;
            }
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            socket.bind(source)?;
            match socket.connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// A URL with a host. Credentials never stand in a URL: it ends up in logs.
fn address(text: &str) -> Result<Url, BuildError> {
    let wrong = |why: &str| Err(BuildError::Url(why.to_owned()));
    let Ok(mut url) = Url::parse(text) else {
        return wrong("it is no URL");
    };
    let scheme = match url.scheme() {
        "ws" | "http" => "http",
        "wss" | "https" => "https",
        other => return wrong(&format!("its scheme is {other}")),
    };
    if !url.has_host() {
        return wrong("it names no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("it contains a credential; use header or cookie");
    }
    if url.set_scheme(scheme).is_err() {
        return wrong("its scheme does not fit");
    }
    url.set_fragment(None);
    Ok(url)
}

/// An IPv6 address stands in brackets in a URL and without them everywhere else.
fn bare_host(url: &Url) -> &str {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

fn tls(url: &Url, roots: Vec<CertificateDer<'static>>) -> Result<Tls, BuildError> {
    let wrong = |why: String| BuildError::Setting(why);
    let name = ServerName::try_from(bare_host(url).to_owned())
        .map_err(|_| BuildError::Url("its host is no name of a certificate".to_owned()))?;
    let mut store = RootCertStore::empty();
    for root in roots {
        store
            .add(root)
            .map_err(|error| wrong(format!("root certificate: {error}")))?;
    }
    // One that rustls cannot use harms no other; a system without any is told below.
    let system = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(system.certs);
    if store.is_empty() {
        return Err(wrong(
            "the system has no root certificates to trust".to_owned(),
        ));
    }
    // Named, or whoever else uses rustls in the process decides by a global.
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls {
        connector: TlsConnector::from(Arc::new(config)),
        name,
    })
}
