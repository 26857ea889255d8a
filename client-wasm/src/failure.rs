//! What a failure looks like to a page: an error with a kind, a number, and whether anything was sent.

use js_sys::Function;
use tengen_protocol::client::{Failure, FailureKind};
use wasm_bindgen::prelude::*;

use crate::options::member;

#[wasm_bindgen(module = "/js/values.js")]
extern "C" {
    type TengenError;
    #[wasm_bindgen(constructor)]
    fn new(kind: &str, sent: bool, code: Option<u32>, message: &str) -> TengenError;
}

/// The error object of a failure.
pub(crate) fn to_js(failure: &Failure) -> JsValue {
    let code = failure.refusal.as_ref().map(|refusal| refusal.code.0);
    let message = match &failure.refusal {
        Some(refusal) => refusal.message.clone(),
        None => described(failure.kind, failure.sent).to_owned(),
    };
    TengenError::new(failure.kind.name(), failure.sent, code, &message).into()
}

/// The failure of what was unfinished when the socket was closed for good.
pub(crate) fn closed() -> Failure {
    Failure {
        kind: FailureKind::Closed,
        sent: true,
        refusal: None,
    }
}

/// Shows an error of the page's own code where the page looks for errors.
pub(crate) fn report(thrown: &JsValue) {
    let global = js_sys::global();
    match member(&global, "reportError").dyn_ref::<Function>() {
        // In turn throws nothing; in Node, which has it not, the console must do.
        Some(report) => drop(report.call1(&global, thrown)),
        None => web_sys::console::error_1(thrown),
    }
}

fn described(kind: FailureKind, sent: bool) -> &'static str {
    match (kind, sent) {
        (FailureKind::Timeout, _) => "no answer in time",
        (FailureKind::Closed, true) => "the connection ended first; it may have been handled",
        (FailureKind::Closed, false) => "there was no connection; it was not sent",
        (FailureKind::NoHandler, _) => "nobody answers this event",
        (FailureKind::Error | FailureKind::Application, _) => "refused",
    }
}
