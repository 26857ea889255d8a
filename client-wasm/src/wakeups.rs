//! Listens for the moments at which a page may have been asleep or offline, and for its going and coming back.

use js_sys::{Function, Reflect};
use wasm_bindgen::prelude::*;

/// Where each event is heard. A tab in the background has its timers throttled, a laptop sleeps,
/// a page comes back from the browser's cache: the silence since then proves nothing.
const EVENTS: [(Scope, &str); 4] = [
    (Scope::Document, "visibilitychange"),
    (Scope::Global, "online"),
    (Scope::Global, "pageshow"),
    (Scope::Global, "pagehide"),
];

#[derive(Clone, Copy)]
enum Scope {
    Global,
    Document,
}

/// What such a moment means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wakeup {
    /// The line may have died unnoticed.
    Doubt,
    /// The page is left, for good or into the browser's memory: no word comes after this one.
    Gone,
    /// The page is shown, perhaps from that memory.
    Back,
}

/// Running listeners; dropping it removes them.
pub(crate) struct Wakeups {
    heard: Vec<(JsValue, &'static str)>,
    action: Closure<dyn FnMut(JsValue)>,
}

impl Wakeups {
    /// Calls `action` at each; listens to nothing where there is no such thing, as in Node.
    pub(crate) fn listen(mut action: impl FnMut(Wakeup) + 'static) -> Self {
        let mut wakeups = Self {
            heard: Vec::new(),
            action: Closure::new(move |event: JsValue| {
                if let Some(wakeup) = meaning(&event) {
                    action(wakeup);
                }
            }),
        };
        for (scope, event) in EVENTS {
            let global = JsValue::from(js_sys::global());
            let target = match scope {
                Scope::Global => global,
                Scope::Document => member(&global, "document"),
            };
            if wakeups.call(&target, "addEventListener", event) {
                wakeups.heard.push((target, event));
            }
        }
        wakeups
    }

    fn call(&self, target: &JsValue, method: &str, event: &str) -> bool {
        let method = member(target, method);
        let Some(method) = method.dyn_ref::<Function>() else {
            return false;
        };
        method
            .call2(target, &event.into(), self.action.as_ref())
            .is_ok()
    }
}

fn meaning(event: &JsValue) -> Option<Wakeup> {
    let kind = member(event, "type").as_string();
    match kind.as_deref() {
        Some("pagehide") => Some(Wakeup::Gone),
        Some("pageshow") => Some(Wakeup::Back),
        // A page that is being hidden may be stopped before an answer comes, and would take its
        // own sleep for silence.
        Some("visibilitychange") if is_hidden(event) => None,
        _ => Some(Wakeup::Doubt),
    }
}

fn is_hidden(event: &JsValue) -> bool {
    let state = member(&member(event, "target"), "visibilityState");
    state.as_string().as_deref() == Some("hidden")
}

impl Drop for Wakeups {
    fn drop(&mut self) {
        for (target, event) in &self.heard {
            self.call(target, "removeEventListener", event);
        }
    }
}

fn member(of: &JsValue, name: &str) -> JsValue {
    if of.is_object() {
        Reflect::get(of, &name.into()).unwrap_or_default()
    } else {
        JsValue::UNDEFINED
    }
}
