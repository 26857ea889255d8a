//! Finds out why an upgrade failed, which a browser keeps to itself.

use tengen_protocol::ErrorCode;

use crate::http::{Ask, Exchange, described, proofs};
use crate::options::Options;

/// A server that does not answer this in time has not refused us; long-polling waits for the answer.
const PATIENCE_MS: u64 = 2000;

/// Asks the same address by a plain GET: the status, and the code if it is one of ours. A proxy's
/// 403 carries no `Tengen-Error` and is no word of the node.
///
/// # Errors
/// A sentence: nobody answered, or the page's own function for a token threw.
pub(crate) async fn ask(options: &Options) -> Result<(u16, Option<ErrorCode>), String> {
    let proofs = proofs(options).await.map_err(|error| described(&error))?;
    let ask = Ask {
        query: "",
        headers: &[],
        body: None,
        timeout_ms: PATIENCE_MS,
        outlives_page: false,
    };
    let answer = Exchange::begin(options, &proofs, &ask, None)
        .answer()
        .await?;
    Ok((answer.status, answer.tengen_error))
}
