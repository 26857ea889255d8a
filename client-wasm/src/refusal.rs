//! Finds out why an upgrade failed, which a browser keeps to itself.

use js_sys::{Function, Object, Promise, Reflect};
use tengen_protocol::ErrorCode;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::options::{Options, member};
use crate::websocket::current;

/// A server that does not answer this in time has not refused us.
const PATIENCE_MS: f64 = 5000.0;

#[wasm_bindgen]
extern "C" {
    type AbortSignal;
    #[wasm_bindgen(static_method_of = AbortSignal, js_class = "AbortSignal", catch)]
    fn timeout(milliseconds: f64) -> Result<JsValue, JsValue>;
}

/// Asks the same address by a plain GET: the status of a refusal, and the code if it is one of ours.
///
/// `None` when nobody answers, or when the answer is that all is well. A proxy's 403 carries no
/// `Tengen-Error` and is no word of the node.
pub(crate) async fn ask(options: &Options) -> Option<(u16, Option<ErrorCode>)> {
    let answer = fetch(options).await.ok()?;
    let status = member(&answer, "status").as_f64()? as u16;
    let headers = member(&answer, "headers");
    let header = member(&headers, "get")
        .dyn_ref::<Function>()?
        .call1(&headers, &"Tengen-Error".into())
        .ok()?;
    let code = header
        .as_string()
        .and_then(|text| text.parse().ok())
        .map(ErrorCode);
    (status >= 400).then_some((status, code))
}

async fn fetch(options: &Options) -> Result<JsValue, JsValue> {
    let headers = Object::new();
    for (name, prefix, secret) in [
        ("X-CSRF-Token", "", &options.credentials.csrf),
        ("Authorization", "Bearer ", &options.credentials.bearer),
    ] {
        if let Some(secret) = current(secret).await? {
            Reflect::set(&headers, &name.into(), &format!("{prefix}{secret}").into())?;
        }
    }
    let how = Object::new();
    Reflect::set(&how, &"headers".into(), &headers)?;
    Reflect::set(&how, &"cache".into(), &"no-store".into())?;
    // As a WebSocket does, which carries the cookies of its address wherever the page is from.
    Reflect::set(&how, &"credentials".into(), &"include".into())?;
    if let Ok(signal) = AbortSignal::timeout(PATIENCE_MS) {
        Reflect::set(&how, &"signal".into(), &signal)?;
    }
    let global = member(&js_sys::global(), "fetch");
    let function = options
        .fetch
        .as_ref()
        .or_else(|| global.dyn_ref::<Function>());
    let function = function.ok_or(JsValue::UNDEFINED)?;
    let promise: Promise = function
        .call2(
            &JsValue::UNDEFINED,
            &options.address.http.as_str().into(),
            &how,
        )?
        .dyn_into()?;
    JsFuture::from(promise).await
}
