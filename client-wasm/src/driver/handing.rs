//! What arrives, handed to the page: handlers, watchers of the state, streams, and their ends.

use std::cell::Cell;
use std::rc::{Rc, Weak};

use js_sys::Function;
use tengen_protocol::client::{Event, Pattern, RouteId, Routed, State};
use wasm_bindgen::prelude::*;

use super::Driver;
use crate::calls::{Handler, call, object, state_to_js};
use crate::timer::now;
use crate::values::{self, Events};

/// Events kept for a `for await` loop that is slower than they come.
const STREAM_EVENTS: u32 = 1024;

/// Undoes what began with it, once.
pub(crate) enum Lease {
    Route(RouteId, Rc<Cell<bool>>),
    Watcher(u64),
    Stream(u64),
}

impl Driver {
    /// Attaches a handler and gives it what came before it.
    pub(crate) fn on(&self, pattern: Pattern, handler: Function) -> Lease {
        let ended = Rc::new(Cell::new(false));
        let handler = Handler {
            function: handler,
            ended: Rc::clone(&ended),
        };
        let (route, early) = self.router.borrow_mut().on(pattern, handler, now());
        for event in early {
            // The streams had it when it came.
            self.hand_out(&event, &self.event_to_js(&event));
        }
        Lease::Route(route, ended)
    }

    /// Tells `watcher` the state now and at every change.
    pub(crate) fn watch(&self, watcher: &Function) -> Lease {
        let number = self.number();
        self.watchers.borrow_mut().push((number, watcher.clone()));
        call(watcher, &self.state());
        Lease::Watcher(number)
    }

    /// A stream of everything that arrives, beside the handlers.
    pub(crate) fn stream(&self) -> Events {
        let number = self.number();
        let this = Weak::clone(&self.this);
        let end = Closure::once_into_js(move || {
            if let Some(driver) = this.upgrade() {
                driver.release(&Lease::Stream(number));
            }
        });
        let stream = Events::new(STREAM_EVENTS, end.unchecked_ref());
        if self.over.get() {
            stream.finish();
            return stream;
        }
        self.streams.borrow_mut().push((number, stream.clone()));
        stream
    }

    /// Ends a handler, a watcher or a stream at once.
    pub(crate) fn release(&self, lease: &Lease) {
        match lease {
            Lease::Route(route, ended) => {
                ended.set(true);
                self.router.borrow_mut().off(*route);
            }
            Lease::Watcher(number) => self
                .watchers
                .borrow_mut()
                .retain(|(other, _)| other != number),
            Lease::Stream(number) => self
                .streams
                .borrow_mut()
                .retain(|(other, _)| other != number),
        }
    }

    pub(super) fn route(&self, event: &Event) {
        let shown = self.event_to_js(event);
        for (_, stream) in self.streams.borrow().clone() {
            stream.push(&shown);
        }
        self.hand_out(event, &shown);
    }

    fn hand_out(&self, event: &Event, shown: &JsValue) {
        if self.over.get() {
            return;
        }
        let routed = self.router.borrow_mut().route(event, now());
        match routed {
            Routed::To(handlers) => {
                for handler in handlers {
                    if !handler.ended.get() && !self.over.get() {
                        call(&handler.function, shown);
                    }
                }
            }
            Routed::Unhandled { first: true } => {
                web_sys::console::warn_1(&format!("tengen: nobody handles {}", event.id).into());
            }
            Routed::Unhandled { first: false } | Routed::Kept => {}
        }
    }

    /// `{id, data, source, socket, state}`.
    fn event_to_js(&self, event: &Event) -> JsValue {
        let data = event
            .data
            .value()
            .map_or(JsValue::NULL, |value| values::to_js(&value));
        object(&[
            ("id", event.id.as_str().into()),
            ("data", data),
            ("source", event.source.name().into()),
            ("socket", self.face.borrow().clone()),
            ("state", self.state()),
        ])
    }

    pub(super) fn tell_watchers(&self, new: &State) {
        let watchers = self.watchers.borrow().clone();
        let state = state_to_js(new);
        for (number, watcher) in watchers {
            let goes_on = self
                .watchers
                .borrow()
                .iter()
                .any(|(kept, _)| *kept == number);
            if goes_on {
                call(&watcher, &state);
            }
        }
    }

    fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }
}
