//! The plain GET that asks why a WebSocket could not be opened.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tengen_protocol::ErrorCode;

use super::tengen_error;
use crate::{exchange::exchange, shared::Shared};

/// Long enough for a node that asks somebody else who this is, short enough for the client to poll
/// within five seconds of a WebSocket that was swallowed.
const ASK_LIMIT: Duration = Duration::from_secs(3);

/// Asks the channel socket, as this client, whether it may come: the status, and our own number if
/// the answer has one; or why there was no answer.
///
/// # Cancel safety
/// Dropped midway, the connection is closed.
pub(crate) async fn ask(shared: Arc<Shared>) -> Result<(u16, Option<ErrorCode>), String> {
    let mut request = Request::get(shared.route.target())
        .body(Full::<Bytes>::default())
        .map_err(|error| error.to_string())?;
    request.headers_mut().extend(shared.request_headers());
    let heard = AtomicBool::new(false);
    let asked = exchange(&shared.route, None, request, ASK_LIMIT, &heard).await;
    let (answer, _) = asked?;
    shared.learn(&answer.headers);
    Ok((answer.status.as_u16(), tengen_error(&answer.headers)))
}
