//! Calls into the page: its handlers, contained, and the promises it was given, settled.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{Function, Object, Promise, Reflect};
use tengen_protocol::client::{Outcome, State};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::failure;
use crate::values;

/// A handler of the page. What was chosen for it but not called yet is not called once it has ended.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) function: Function,
    pub(crate) ended: Rc<Cell<bool>>,
}

/// The two ends of a promise, and whether it wants a reply or only to know.
pub(crate) struct Waiting {
    pub(crate) resolve: Function,
    pub(crate) reject: Function,
    pub(crate) kind: Wanted,
}

/// What a promise is settled with.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    /// A reply; a failure rejects.
    Reply,
    /// What became of it; a failure resolves, so that nobody must look.
    Result,
}

pub(crate) fn settle(waiting: &Waiting, outcome: &Outcome) {
    let (how, what) = match (waiting.kind, outcome) {
        (Wanted::Reply, Ok(reply)) => {
            let value = reply.value();
            (
                &waiting.resolve,
                value.map_or(JsValue::NULL, |value| values::to_js(&value)),
            )
        }
        (Wanted::Reply, Err(failure)) => (&waiting.reject, failure::to_js(failure)),
        (Wanted::Result, Ok(_)) => (
            &waiting.resolve,
            object(&[("ok", JsValue::TRUE), ("sent", JsValue::TRUE)]),
        ),
        (Wanted::Result, Err(failure)) => {
            let error = failure::to_js(failure);
            let result = [
                ("ok", JsValue::FALSE),
                ("sent", failure.sent.into()),
                ("error", error),
            ];
            (&waiting.resolve, object(&result))
        }
    };
    call(how, &what);
}

/// Calls into the page. What it throws is its own: reported there, and no concern of the others.
pub(crate) fn call(function: &Function, argument: &JsValue) {
    match function.call1(&JsValue::UNDEFINED, argument) {
        Err(thrown) => failure::report(&thrown),
        Ok(returned) => {
            // An async handler's rejection, left alone, would end a Node.js process.
            if let Ok(promise) = returned.dyn_into::<Promise>() {
                wasm_bindgen_futures::spawn_local(async move {
                    if let Err(thrown) = JsFuture::from(promise).await {
                        failure::report(&thrown);
                    }
                });
            }
        }
    }
}

pub(crate) fn state_to_js(state: &State) -> JsValue {
    values::to_js(&state.to_value())
}

pub(crate) fn object(members: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in members {
        // Cannot fail on a plain object.
        let _set = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}
