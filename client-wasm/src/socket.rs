//! The object a page holds: everything it can ask of its channel socket.

use std::rc::Rc;

use js_sys::{Function, Promise};
use tengen_protocol::client::{self, Failure, FailureKind, Pattern, SendOptions, Session};
use tengen_protocol::{Data, EventId, Refusal};
use wasm_bindgen::prelude::*;

use crate::calls::Wanted;
use crate::driver::{Driver, Lease};
use crate::options::{Options, member};
use crate::timer::now;
use crate::{failure, http, values};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn random_values(bytes: &js_sys::Uint8Array);
}

/// One channel socket. It connects by itself, comes back by itself, and keeps what cannot go out yet.
#[wasm_bindgen]
pub struct Socket {
    driver: Rc<Driver>,
}

/// Opens a channel socket at `path` and returns at once.
#[wasm_bindgen(unchecked_return_type = "Socket")]
pub fn connect(
    path: &str,
    #[wasm_bindgen(unchecked_param_type = "Options")] options: &JsValue,
) -> Result<JsValue, JsValue> {
    let options = Options::read(path, options)?;
    let driver = Driver::new(options, seed());
    let face = JsValue::from(Socket {
        driver: Rc::clone(&driver),
    });
    driver.show(face.clone());
    driver.act(|session| session.connect(now()));
    Ok(face)
}

#[wasm_bindgen]
impl Socket {
    /// What is known of the connection now.
    #[wasm_bindgen(getter, unchecked_return_type = "State")]
    pub fn state(&self) -> JsValue {
        self.driver.state()
    }

    /// Calls `handler` for each event `ns/name`, for all of `ns/*`, or for `*`; the most exact one
    /// wins. Returns the function that ends it. What came before the first handler was kept for it.
    #[wasm_bindgen(unchecked_return_type = "() => void")]
    pub fn on(
        &self,
        id: &str,
        #[wasm_bindgen(unchecked_param_type = "(event: Event) => unknown")] handler: Function,
    ) -> Result<JsValue, JsValue> {
        let pattern = Pattern::parse(id).map_err(|refusal| refused(&refusal))?;
        Ok(self.off(self.driver.on(pattern, handler)))
    }

    /// Calls `handler` for every event that no other handler takes.
    #[wasm_bindgen(js_name = onAny, unchecked_return_type = "() => void")]
    pub fn on_any(
        &self,
        #[wasm_bindgen(unchecked_param_type = "(event: Event) => unknown")] handler: Function,
    ) -> JsValue {
        self.off(self.driver.on(Pattern::Any, handler))
    }

    /// Calls `watcher` with the state now and at each change.
    #[wasm_bindgen(js_name = onState, unchecked_return_type = "() => void")]
    pub fn on_state(
        &self,
        #[wasm_bindgen(unchecked_param_type = "(state: State) => unknown")] watcher: &Function,
    ) -> JsValue {
        self.off(self.driver.watch(watcher))
    }

    /// Everything that arrives, in order, beside the handlers: `for await (const event of socket.events())`.
    #[wasm_bindgen(unchecked_return_type = "EventStream")]
    pub fn events(&self) -> JsValue {
        self.driver.stream().into()
    }

    /// Puts an event of the page's own into the stream, as if it had arrived.
    pub fn inject(
        &self,
        id: &str,
        #[wasm_bindgen(unchecked_optional_param_type = "Value")] data: &JsValue,
    ) -> Result<(), JsValue> {
        let (id, data) = self.event(id, data)?;
        self.driver.act(|session| session.inject(id, data));
        Ok(())
    }

    /// Sends an event that wants no reply. The promise never rejects for what happens on the way:
    /// it tells whether the event was taken, and if not, whether it was sent.
    #[wasm_bindgen(unchecked_return_type = "Promise<SendResult>")]
    pub fn send(
        &self,
        id: &str,
        #[wasm_bindgen(unchecked_optional_param_type = "Value")] data: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "SendOptions")] options: &JsValue,
    ) -> Promise {
        self.promise(
            Wanted::Result,
            id,
            data,
            options,
            |session, id, data, options| session.send(id, data, options, now()),
        )
    }

    /// Sends an event and waits for its reply. Rejects with a `TengenError`.
    #[wasm_bindgen(unchecked_return_type = "Promise<any>")]
    pub fn request(
        &self,
        id: &str,
        #[wasm_bindgen(unchecked_optional_param_type = "Value")] data: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "SendOptions")] options: &JsValue,
    ) -> Promise {
        self.promise(
            Wanted::Reply,
            id,
            data,
            options,
            |session, id, data, options| session.request(id, data, options, now()),
        )
    }

    /// Asks the server of this socket over HTTP, with its cookies and tokens: a login, or what is too large
    /// for an event. `path` is relative to the socket's address. The promise never rejects.
    #[wasm_bindgen(unchecked_return_type = "Promise<HttpAnswer>")]
    pub fn http(
        &self,
        path: &str,
        #[wasm_bindgen(unchecked_optional_param_type = "HttpOptions")] options: &JsValue,
    ) -> Promise {
        http::ask(self.driver.options(), path, options)
    }

    /// Connects again after `disconnect` or a refusal.
    pub fn connect(&self) {
        self.driver.act(|session| session.connect(now()));
    }

    /// Closes, and stays away until told otherwise.
    pub fn disconnect(&self) {
        self.driver.act(|session| session.disconnect(now()));
    }

    /// Closes and opens anew: the server looks again at who we are.
    pub fn reconnect(&self) {
        self.driver.act(|session| session.reconnect(now()));
    }

    /// Breaks the connection for a test: by dropping it, or by going deaf and dumb, so that the keep-alive must find out.
    #[wasm_bindgen(js_name = breakConnection)]
    pub fn break_connection(&self, close_socket: bool) {
        self.driver
            .act(|session| session.break_connection(close_socket, now()));
    }

    /// Lets this share of all writes fail, from 0 to 1, for a test of a bad connection.
    #[wasm_bindgen(js_name = setBadConnectionRate)]
    pub fn set_bad_connection_rate(&self, rate: f64) {
        self.driver
            .act(|session| session.set_bad_connection_rate(rate));
    }

    /// Ends this socket for good and leaves nothing behind; what is unfinished fails as closed.
    pub fn close(&self) {
        self.driver.end();
    }
}

impl Socket {
    fn off(&self, lease: Lease) -> JsValue {
        let driver = Rc::downgrade(&self.driver);
        let mut lease = Some(lease);
        Closure::<dyn FnMut()>::new(move || {
            if let (Some(driver), Some(lease)) = (driver.upgrade(), lease.take()) {
                driver.release(&lease);
            }
        })
        .into_js_value()
    }

    fn event(&self, id: &str, data: &JsValue) -> Result<(EventId, Data), JsValue> {
        let id = EventId::parse(id)
            .and_then(EventId::unreserved)
            .map_err(|refusal| refused(&refusal))?;
        let value =
            values::from_js(data).map_err(|why| JsValue::from(js_sys::TypeError::new(&why)))?;
        let data =
            Data::from_value(self.driver.codec(), &value).map_err(|refusal| refused(&refusal))?;
        Ok((id, data))
    }

    fn promise(
        &self,
        wanted: Wanted,
        id: &str,
        data: &JsValue,
        options: &JsValue,
        begin: impl FnOnce(&mut Session, EventId, Data, SendOptions) -> client::Token,
    ) -> Promise {
        let ready = self
            .event(id, data)
            .and_then(|event| Ok((event, send_options(options)?)));
        match ready {
            Ok(((id, data), options)) => {
                let mut begin = Some(begin);
                Promise::new(&mut |resolve, reject| {
                    if let Some(begin) = begin.take() {
                        let (id, data) = (id.clone(), data.clone());
                        self.driver.promise(wanted, resolve, reject, |session| {
                            begin(session, id, data, options)
                        });
                    }
                })
            }
            Err(error) => Promise::reject(&error),
        }
    }
}

/// `{buffered, timeout}`; a timeout that is no number above 0 is a mistake and said to be one.
fn send_options(options: &JsValue) -> Result<SendOptions, JsValue> {
    let timeout = member(options, "timeout");
    let timeout_ms = match timeout.as_f64() {
        _ if timeout.is_undefined() => None,
        // Rounded up: no patience of half a millisecond becomes the default of 0. Longer than the
        // longest is as good as for ever.
        Some(milliseconds) if milliseconds > 0.0 => Some(milliseconds.ceil() as u64),
        _ => return Err(js_sys::RangeError::new("timeout: wanted milliseconds above 0").into()),
    };
    let buffered = member(options, "buffered");
    Ok(SendOptions {
        buffered: buffered.as_bool().unwrap_or(true),
        timeout_ms,
    })
}

fn refused(refusal: &Refusal) -> JsValue {
    failure::to_js(&Failure {
        kind: FailureKind::Error,
        sent: false,
        refusal: Some(refusal.clone()),
    })
}

fn seed() -> u64 {
    let bytes = js_sys::Uint8Array::new_with_length(8);
    random_values(&bytes);
    let mut seed = [0; 8];
    bytes.copy_to(&mut seed);
    u64::from_le_bytes(seed)
}
