//! Finds out why an upgrade failed, which a browser keeps to itself.

use tengen_protocol::ErrorCode;

use crate::http::{Ask, Exchange, proofs};
use crate::options::Options;

/// A server that does not answer this in time has not refused us.
const PATIENCE_MS: u64 = 5000;

/// Asks the same address by a plain GET: the status of a refusal, and the code if it is one of ours.
///
/// `None` when nobody answers, or when the answer is that all is well. A proxy's 403 carries no
/// `Tengen-Error` and is no word of the node.
pub(crate) async fn ask(options: &Options) -> Option<(u16, Option<ErrorCode>)> {
    let proofs = proofs(options).await.ok()?;
    let ask = Ask {
        query: "",
        headers: &[],
        body: None,
        timeout_ms: PATIENCE_MS,
        outlives_page: false,
    };
    let answer = Exchange::begin(options, &proofs, &ask).answer().await;
    let answer = answer.ok()?;
    (answer.status >= 400).then_some((answer.status, answer.code))
}
