//! Opening a WebSocket: name, address, upgrade request, and what a refusal says.

use std::{io, net::SocketAddr, time::Duration};

use tengen_protocol::{Codec, ErrorCode, client::TransportClose};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error,
        client::IntoClientRequest as _,
        http::{HeaderMap, HeaderValue, Response, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};
use url::Url;

/// Name, address and upgrade together; a network that swallows packets answers nothing at all.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

/// A larger incoming frame ends the connection: more than any server of ours can be set to send
/// (64 MiB), with room for what stands around the largest value.
const MAX_FRAME_BYTES: usize = 65 << 20;

/// Everything needed to open one connection.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) url: Url,
    pub(crate) codec: Codec,
    /// Sent with the upgrade request: cookies, tokens.
    pub(crate) headers: HeaderMap,
    /// Local address to connect from; `None` lets the operating system choose.
    pub(crate) source: Option<SocketAddr>,
}

impl Dial {
    pub(super) async fn run(self) -> Result<WebSocketStream<TcpStream>, TransportClose> {
        match tokio::time::timeout(DIAL_LIMIT, self.connect()).await {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(Error::Http(response))) => Err(refusal(&response)),
            Ok(Err(error)) => Err(failure(error.to_string())),
            Err(_) => Err(failure("no answer to the upgrade request".to_owned())),
        }
    }

    async fn connect(self) -> Result<WebSocketStream<TcpStream>, Error> {
        let stream = self.stream().await?;
        // Requests and replies are small and waited for; the library coalesces what it can itself.
        stream.set_nodelay(true)?;
        let mut request = self.url.as_str().into_client_request()?;
        let headers = request.headers_mut();
        headers.extend(self.headers);
        headers.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(self.codec.subprotocol()),
        );
        // The library's 128 KiB of read buffer per connection would be 1.2 GB in a load test.
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(16 * 1024)
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let (socket, response) = client_async_with_config(request, stream, Some(config)).await?;
        if response
            .headers()
            .get(SEC_WEBSOCKET_PROTOCOL)
            .map(HeaderValue::as_bytes)
            != Some(self.codec.subprotocol().as_bytes())
        {
            return Err(Error::Io(io::Error::new(
                io::ErrorKind::InvalidData,
                "the server chose no subprotocol that was offered",
            )));
        }
        Ok(socket)
    }

    async fn stream(&self) -> io::Result<TcpStream> {
        let host = self.url.host_str().unwrap_or_default();
        // An IPv6 address stands in brackets in a URL and without them everywhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']');
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

/// The upgrade was answered by something else than 101.
fn refusal(response: &Response<Option<Vec<u8>>>) -> TransportClose {
    let code = response
        .headers()
        .get("tengen-error")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().parse().ok())
        .map(ErrorCode);
    let mut close = failure(format!(
        "the upgrade was refused with {}",
        response.status()
    ));
    close.refused = Some((response.status().as_u16(), code));
    close
}

fn failure(error: String) -> TransportClose {
    TransportClose {
        error: Some(error),
        ..TransportClose::default()
    }
}
