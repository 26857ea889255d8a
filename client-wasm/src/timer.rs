//! The clock and the one timer that the driver needs, in a page, a worker or Node.

use js_sys::Function;
use tengen_protocol::Millis;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(thread_local_v2, js_namespace = performance, js_name = timeOrigin)]
    static TIME_ORIGIN: f64;
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(action: &Function, milliseconds: i32) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timeout: &JsValue);
}

/// Longer waits are cut: browsers take more than 31 bits as none at all. Waking early is harmless.
const LONGEST: u64 = i32::MAX as u64;

/// Milliseconds since 1970, as the page knew them when it was loaded; they never jump or go back.
pub(crate) fn now() -> Millis {
    Millis((TIME_ORIGIN.with(|origin| *origin) + performance_now()) as u64)
}

/// A running timeout; dropping it cancels it.
pub(crate) struct Timeout(JsValue);

impl Timeout {
    /// Calls `action` once, in so many milliseconds or, in a tab in the background, later.
    pub(crate) fn start(action: &Function, milliseconds: u64) -> Self {
        Self(set_timeout(
            action,
            i32::try_from(milliseconds.min(LONGEST)).unwrap_or(i32::MAX),
        ))
    }
}

impl Drop for Timeout {
    fn drop(&mut self) {
        clear_timeout(&self.0);
    }
}
