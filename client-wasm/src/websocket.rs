//! A browser's WebSocket as a transport.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use js_sys::{Array, ArrayBuffer, Function, JsString, Reflect, Uint8Array};
use tengen_protocol::Codec;
use tengen_protocol::client::TransportClose;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use crate::http::described;
use crate::options::{Options, member};
use crate::transport::{Connection, Heard, Listener};

/// One WebSocket, from the first thought of it.
pub(crate) struct Line {
    /// Taken on drop: whoever still works for this connection then finds it gone.
    shared: Rc<Shared>,
}

struct Shared {
    number: u64,
    codec: Codec,
    listener: Listener,
    socket: RefCell<Option<Socket>>,
    /// Whether it was ever open: if not, the browser hides why.
    was_open: Cell<bool>,
    muted: Cell<bool>,
}

/// The browser's object with our ears on it.
struct Socket {
    inner: WebSocket,
    _open: Closure<dyn FnMut()>,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _close: Closure<dyn FnMut(CloseEvent)>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.inner.set_onopen(None);
        self.inner.set_onmessage(None);
        self.inner.set_onclose(None);
        // Fails only when it is closed already.
        let _closed = self.inner.close();
    }
}

impl Line {
    /// Begins to open connection `number`; what becomes of it, `listener` hears.
    pub(crate) fn open(options: &Rc<Options>, number: u64, listener: Listener) -> Self {
        let shared = Rc::new(Shared {
            number,
            codec: options.codec,
            listener,
            socket: RefCell::new(None),
            was_open: Cell::new(false),
            muted: Cell::new(false),
        });
        let (options, weak) = (Rc::clone(options), Rc::downgrade(&shared));
        spawn_local(async move {
            let offered = offers(&options).await;
            // Gone if the application changed its mind while the page fetched its token.
            if let Some(shared) = weak.upgrade() {
                let opened = offered.and_then(|offered| dial(&shared, &options, &offered));
                if let Err(error) = opened {
                    shared.over(&TransportClose {
                        error: Some(described(&error)),
                        ..TransportClose::default()
                    });
                }
            }
        });
        Self { shared }
    }
}

impl Connection for Line {
    fn write(&self, frame: &Bytes, _position: Option<u64>) {
        if let Some(socket) = &*self.shared.socket.borrow()
            && !self.shared.muted.get()
        {
            // Fails only while it is not open; then a close is on its way to us.
            let _sent = match self.shared.codec {
                Codec::Cbor => socket.inner.send_with_u8_array(frame),
                Codec::Json => socket.inner.send_with_str(&String::from_utf8_lossy(frame)),
            };
        }
    }

    fn flush(&self) {}

    fn mute(&self) {
        self.shared.muted.set(true);
    }

    fn close(&self, code: u16, reason: &str) {
        if let Some(socket) = &*self.shared.socket.borrow() {
            let _closing = socket.inner.close_with_code_and_reason(code, reason);
        }
    }
}

impl Shared {
    fn heard(&self, tell: impl FnOnce(&dyn Heard)) {
        if let Some(listener) = self.listener.upgrade() {
            tell(&*listener);
        }
    }

    fn over(&self, how: &TransportClose) {
        self.heard(|listener| listener.closed(self.number, how));
    }
}

/// The codec, and whatever proves who we are: a WebSocket of a browser has no headers to put it in.
async fn offers(options: &Options) -> Result<Array, JsValue> {
    let offered = Array::of1(&options.codec.subprotocol().into());
    for (name, secret) in [
        ("csrf", &options.credentials.csrf),
        ("bearer", &options.credentials.bearer),
    ] {
        if let Some(secret) = current(secret).await? {
            offered.push(&format!("{name}.{}", URL_SAFE_NO_PAD.encode(secret)).into());
        }
    }
    Ok(offered)
}

/// A credential as it is now: functions are asked, promises waited for.
pub(crate) async fn current(secret: &JsValue) -> Result<Option<String>, JsValue> {
    let mut given = secret.clone();
    if let Some(ask) = secret.dyn_ref::<Function>() {
        given = ask.call0(&JsValue::UNDEFINED)?;
    }
    if given.is_object() {
        given = JsFuture::from(js_sys::Promise::resolve(&given)).await?;
    }
    Ok(given.as_string())
}

fn dial(shared: &Rc<Shared>, options: &Options, offered: &Array) -> Result<(), JsValue> {
    let global = member(&js_sys::global(), "WebSocket");
    let constructor = options
        .web_socket
        .as_ref()
        .or_else(|| global.dyn_ref::<Function>());
    let constructor = constructor.ok_or_else(|| JsValue::from("there is no WebSocket here"))?;
    let arguments = Array::of2(&options.address.ws.as_str().into(), offered);
    let socket: WebSocket = Reflect::construct(constructor, &arguments)?.unchecked_into();
    socket.set_binary_type(BinaryType::Arraybuffer);

    let weak = Rc::downgrade(shared);
    let open = Closure::new(move || {
        if let Some(shared) = weak.upgrade() {
            shared.was_open.set(true);
            shared.heard(|listener| listener.opened(shared.number));
        }
    });
    let weak = Rc::downgrade(shared);
    let message = Closure::new(move |message: MessageEvent| {
        if let (Some(shared), Some(frame)) = (weak.upgrade(), bytes(&message.data()))
            && !shared.muted.get()
        {
            shared.heard(|listener| listener.frame(shared.number, frame));
        }
    });
    let weak = Rc::downgrade(shared);
    let close = Closure::new(move |close: CloseEvent| {
        if let Some(shared) = weak.upgrade() {
            closed(&shared, &close);
        }
    });

    socket.set_onopen(Some(open.as_ref().unchecked_ref()));
    socket.set_onmessage(Some(message.as_ref().unchecked_ref()));
    socket.set_onclose(Some(close.as_ref().unchecked_ref()));
    *shared.socket.borrow_mut() = Some(Socket {
        inner: socket,
        _open: open,
        _message: message,
        _close: close,
    });
    Ok(())
}

fn closed(shared: &Shared, close: &CloseEvent) {
    let unopened = !shared.was_open.get();
    shared.over(&TransportClose {
        clean: close.was_clean(),
        code: Some(close.code()),
        reason: close.reason(),
        // The browser hides why: the session will have us ask.
        error: unopened.then(|| "the connection was not accepted".to_owned()),
        ..TransportClose::default()
    });
}

fn bytes(data: &JsValue) -> Option<Bytes> {
    if let Some(text) = data.dyn_ref::<JsString>() {
        return Some(Bytes::from(String::from(text)));
    }
    data.is_instance_of::<ArrayBuffer>()
        .then(|| Bytes::from(Uint8Array::new(data).to_vec()))
}
