//! HTTP by the page's `fetch`: single exchanges for the transports, and whatever a page asks of its server.

use bytes::Bytes;
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use tengen_protocol::ErrorCode;
use tengen_protocol::client::poll::HttpAnswer;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::options::{Options, member};

#[wasm_bindgen(module = "/js/http.js")]
extern "C" {
    type Begun;
    fn exchange(
        fetch: &JsValue,
        url: &str,
        method: &str,
        headers: &JsValue,
        body: &JsValue,
        timeout: f64,
        keepalive: bool,
        progress: &JsValue,
    ) -> Begun;
    #[wasm_bindgen(method, getter)]
    fn answer(this: &Begun) -> Promise;
    #[wasm_bindgen(method)]
    fn abort(this: &Begun);

    #[wasm_bindgen(catch, js_name = proofs)]
    async fn proofs_of(csrf: &JsValue, bearer: &JsValue) -> Result<JsValue, JsValue>;

    fn http(
        fetch: &JsValue,
        address: &str,
        csrf: &JsValue,
        bearer: &JsValue,
        path: &str,
        options: &JsValue,
    ) -> Promise;
}

/// One exchange with the server; given up when dropped before its answer is there.
pub(crate) struct Exchange {
    begun: Begun,
    _progress: Option<Closure<dyn FnMut()>>,
}

/// What to ask for.
pub(crate) struct Ask<'a> {
    /// Behind the `?`; empty for none.
    pub(crate) query: &'a str,
    pub(crate) headers: &'a [(&'static str, String)],
    /// With one it is a POST, without a GET.
    pub(crate) body: Option<&'a [u8]>,
    /// Without a single byte; where nobody hears of progress, for the whole of it.
    pub(crate) timeout_ms: u64,
    /// Goes on when the page has gone.
    pub(crate) outlives_page: bool,
}

impl Exchange {
    /// Begins to ask the socket's own address. `proofs` are headers that [`proofs`] gave;
    /// `progress` hears of each part of the answer.
    pub(crate) fn begin(
        options: &Options,
        proofs: &JsValue,
        ask: &Ask<'_>,
        progress: Option<Closure<dyn FnMut()>>,
    ) -> Self {
        let headers = Object::assign(&Object::new(), proofs.unchecked_ref());
        for (name, value) in ask.headers {
            // Cannot fail on a plain object.
            let _set = Reflect::set(&headers, &(*name).into(), &value.into());
        }
        let address = &options.address.http;
        let url = match (ask.query, address.contains('?')) {
            ("", _) => address.clone(),
            (query, false) => format!("{address}?{query}"),
            (query, true) => format!("{address}&{query}"),
        };
        let method = if ask.body.is_some() { "POST" } else { "GET" };
        let body = ask
            .body
            .map_or(JsValue::UNDEFINED, |body| Uint8Array::from(body).into());
        let begun = exchange(
            &options.fetch_or_none(),
            &url,
            method,
            &headers,
            &body,
            ask.timeout_ms as f64,
            ask.outlives_page,
            progress
                .as_ref()
                .map_or(&JsValue::UNDEFINED, |progress| progress.as_ref()),
        );
        Self {
            begun,
            _progress: progress,
        }
    }

    /// Waits for the whole answer.
    ///
    /// # Errors
    /// A sentence: the network's, or that it took too long.
    pub(crate) fn answer(
        &self,
    ) -> impl Future<Output = Result<HttpAnswer, String>> + 'static + use<> {
        let answer = JsFuture::from(self.begun.answer());
        async move {
            let parts: Array = answer
                .await
                .map_err(|error| described(&error))?
                .unchecked_into();
            let text = |index| parts.get(index).as_string().unwrap_or_default();
            // In whole seconds; the form with a date is a proxy's, and means nothing exact.
            let seconds: Option<u64> = text(2).trim().parse().ok();
            Ok(HttpAnswer {
                status: parts.get(0).as_f64().unwrap_or_default() as u16,
                tengen_error: text(1).parse().ok().map(ErrorCode),
                retry_after_ms: seconds.map(|seconds| seconds.saturating_mul(1000)),
                body: Bytes::from(Uint8Array::new(&parts.get(3)).to_vec()),
            })
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.begun.abort();
    }
}

/// What proves who we are, as headers, as it is now.
///
/// # Errors
/// What the page's own functions threw.
pub(crate) async fn proofs(options: &Options) -> Result<JsValue, JsValue> {
    let credentials = &options.credentials;
    proofs_of(&credentials.csrf, &credentials.bearer).await
}

/// `socket.http(path, how)`: never rejects.
pub(crate) fn ask(options: &Options, path: &str, how: &JsValue) -> Promise {
    http(
        &options.fetch_or_none(),
        &options.address.http,
        &options.credentials.csrf,
        &options.credentials.bearer,
        path,
        how,
    )
}

/// What a thrown value says.
pub(crate) fn described(error: &JsValue) -> String {
    let message = member(error, "message")
        .as_string()
        .or_else(|| error.as_string());
    message.unwrap_or_else(|| "the connection could not be opened".to_owned())
}
