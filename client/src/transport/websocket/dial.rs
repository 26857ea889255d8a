//! Opening a WebSocket: name, address, upgrade request, and what a refusal says.

use std::{io, sync::Arc, time::Duration};

use tengen_protocol::{Codec, client::TransportClose};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error,
        client::IntoClientRequest as _,
        http::{HeaderValue, Response, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

use crate::{exchange::MAX_ANSWER_BYTES, shared::Shared, socket::Socket, transport::tengen_error};

/// Name, address and upgrade together; a network that swallows packets answers nothing at all.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

/// Everything needed to open one connection.
#[derive(Clone)]
pub(crate) struct Dial {
    pub(crate) codec: Codec,
    /// The route, and the headers and cookies that go with the upgrade request.
    pub(crate) shared: Arc<Shared>,
}

impl Dial {
    pub(super) async fn run(self) -> Result<WebSocketStream<Socket>, TransportClose> {
        match tokio::time::timeout(DIAL_LIMIT, self.connect()).await {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(Error::Http(response))) => {
                self.shared.learn(response.headers());
                Err(refusal(&response))
            }
            Ok(Err(error)) => Err(failure(error.to_string())),
            Err(_) => Err(failure("no answer to the upgrade request".to_owned())),
        }
    }

    async fn connect(&self) -> Result<WebSocketStream<Socket>, Error> {
        let stream = self.shared.route.connect().await?;
        let mut request = self.shared.route.ws_url().into_client_request()?;
        let headers = request.headers_mut();
        headers.extend(self.shared.request_headers());
        headers.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(self.codec.subprotocol()),
        );
        // The library's 128 KiB of read buffer per connection would be 1.2 GB in a load test.
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(16 * 1024)
            .max_message_size(Some(MAX_ANSWER_BYTES))
            .max_frame_size(Some(MAX_ANSWER_BYTES));
        let (socket, response) = client_async_with_config(request, stream, Some(config)).await?;
        self.shared.learn(response.headers());
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
}

/// The upgrade was answered by something else than 101.
fn refusal(response: &Response<Option<Vec<u8>>>) -> TransportClose {
    let code = tengen_error(response.headers());
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
