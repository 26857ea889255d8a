//! What a page passes to `connect`, read once and checked.

use js_sys::{Function, Reflect};
use tengen_protocol::client::{self, TransportChoice};
use tengen_protocol::{ClientId, Codec, Data};
use wasm_bindgen::prelude::*;

use crate::{codec, values};

#[wasm_bindgen]
extern "C" {
    /// The browser's own resolver of addresses.
    #[wasm_bindgen(js_name = URL)]
    type Url;
    #[wasm_bindgen(constructor, catch, js_class = "URL")]
    fn new(address: &str, base: &JsValue) -> Result<Url, JsValue>;
    #[wasm_bindgen(method, getter, js_class = "URL")]
    fn protocol(this: &Url) -> String;
    #[wasm_bindgen(method, setter, js_class = "URL")]
    fn set_protocol(this: &Url, protocol: &str);
    #[wasm_bindgen(method, setter, js_class = "URL")]
    fn set_host(this: &Url, host: &str);
    #[wasm_bindgen(method, setter, js_class = "URL")]
    fn set_hash(this: &Url, hash: &str);
    #[wasm_bindgen(method, getter, js_class = "URL")]
    fn href(this: &Url) -> String;
}

/// Where to connect and with what.
pub(crate) struct Options {
    pub(crate) transport: TransportChoice,
    pub(crate) codec: Codec,
    pub(crate) client: Option<ClientId>,
    pub(crate) params: Option<Data>,
    pub(crate) address: Address,
    pub(crate) credentials: Credentials,
    /// A replacement for the global `WebSocket`.
    pub(crate) web_socket: Option<Function>,
    /// A replacement for the global `fetch`.
    pub(crate) fetch: Option<Function>,
}

/// The same place for both kinds of request.
pub(crate) struct Address {
    pub(crate) ws: String,
    pub(crate) http: String,
}

/// Asked for at each connect, so that rotation works: text, or a function that gives it, at once or later.
pub(crate) struct Credentials {
    pub(crate) csrf: JsValue,
    pub(crate) bearer: JsValue,
}

impl Options {
    /// Reads `path` and `options` as JavaScript gave them.
    ///
    /// # Errors
    /// A `TypeError` that names the option.
    pub(crate) fn read(path: &str, options: &JsValue) -> Result<Self, JsValue> {
        let transport = match text(options, "transport")?.as_deref() {
            None | Some("auto") => TransportChoice::Auto,
            Some("ws") => TransportChoice::Ws,
            Some("poll") => TransportChoice::Poll,
            Some(_) => return Err(wrong("transport", "\"auto\", \"ws\" or \"poll\"")),
        };
        let codec = match text(options, "codec")? {
            Some(name) => codec::named(&name)?,
            None => Codec::Cbor,
        };
        let client = match text(options, "clientId")? {
            Some(id) => Some(
                id.parse::<ClientId>()
                    .map_err(|_| wrong("clientId", "1–64 of A–Z a–z 0–9 _ -"))?,
            ),
            None => None,
        };
        let params = match member(options, "params") {
            absent if absent.is_undefined() => None,
            given => {
                let value = values::from_js(&given).map_err(|why| wrong("params", &why))?;
                Some(
                    Data::from_value(codec, &value)
                        .map_err(|refusal| wrong("params", &refusal.message))?,
                )
            }
        };
        Ok(Self {
            transport,
            codec,
            client,
            params,
            address: Address::resolve(path, text(options, "host")?)?,
            credentials: Credentials {
                csrf: secret(options, "csrf")?,
                bearer: secret(options, "bearer")?,
            },
            web_socket: function(options, "WebSocket")?,
            fetch: function(options, "fetch")?,
        })
    }
}

impl Options {
    /// What of it concerns the conversation.
    pub(crate) fn settings(&self) -> client::Options {
        client::Options {
            transport: self.transport,
            codec: self.codec,
            client: self.client.clone(),
            params: self.params.clone(),
            ..client::Options::default()
        }
    }

    /// The replacement for `fetch`, undefined for the global one.
    pub(crate) fn fetch_or_none(&self) -> JsValue {
        self.fetch
            .as_ref()
            .map_or(JsValue::UNDEFINED, JsValue::from)
    }
}

impl Address {
    /// Relative to the page, whose scheme decides between ws and wss; absolute where there is no page.
    fn resolve(path: &str, host: Option<String>) -> Result<Self, JsValue> {
        let page = member(&js_sys::global(), "location");
        let base = member(&page, "href");
        let url = Url::new(path, &base)
            .map_err(|_| wrong("path", "an absolute address where there is no page"))?;
        if let Some(host) = host {
            url.set_host(&host);
        }
        url.set_hash("");
        let (ws, http) = match url.protocol().as_str() {
            "http:" | "ws:" => ("ws:", "http:"),
            "https:" | "wss:" => ("wss:", "https:"),
            _ => return Err(wrong("path", "an address of http, https, ws or wss")),
        };
        // The setter of a URL does not cross between these pairs: the text does.
        let href = url.href();
        let rest = href.split_once(':').map_or("", |(_, rest)| rest);
        Ok(Self {
            ws: format!("{ws}{rest}"),
            http: format!("{http}{rest}"),
        })
    }
}

fn text(options: &JsValue, name: &str) -> Result<Option<String>, JsValue> {
    let given = member(options, name);
    if given.is_undefined() || given.is_null() {
        return Ok(None);
    }
    given
        .as_string()
        .map(Some)
        .ok_or_else(|| wrong(name, "text"))
}

fn function(options: &JsValue, name: &str) -> Result<Option<Function>, JsValue> {
    let given = member(options, name);
    if given.is_undefined() {
        return Ok(None);
    }
    given
        .dyn_into()
        .map(Some)
        .map_err(|_| wrong(name, "a function"))
}

fn secret(options: &JsValue, name: &str) -> Result<JsValue, JsValue> {
    let given = member(options, name);
    if given.is_null() || given.is_undefined() || given.is_string() || given.is_function() {
        return Ok(given);
    }
    Err(wrong(name, "text, or a function that gives it"))
}

fn wrong(name: &str, wanted: &str) -> JsValue {
    js_sys::TypeError::new(&format!("{name}: wanted {wanted}")).into()
}

/// A member of an object; undefined for anything that has none.
pub(crate) fn member(of: &JsValue, name: &str) -> JsValue {
    if of.is_object() || of.is_function() {
        Reflect::get(of, &name.into()).unwrap_or_default()
    } else {
        JsValue::UNDEFINED
    }
}
