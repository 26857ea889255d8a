//! Carries out what the conversation decides: opens, writes, waits, calls handlers, settles promises.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use bytes::Bytes;
use js_sys::Function;
use tengen_protocol::client::{
    Action, Event, Pattern, RouteId, Routed, Router, Session, Token, TransportClose,
};
use wasm_bindgen::prelude::*;

use crate::calls::{Handler, Waiting, Wanted, call, object, settle, state_to_js};
use crate::failure;
use crate::options::Options;
use crate::timer::{Timeout, now};
use crate::transport::{Connection, Heard};
use crate::values::{self, Events};
use crate::wakeups::Wakeups;
use crate::websocket::Line;

/// Events kept for a `for await` loop that is slower than they come.
const STREAM_EVENTS: u32 = 1024;

/// One socket of the page. Everything it holds on to outside is let go by [`Driver::end`].
pub(crate) struct Driver {
    /// How the transport's callbacks and the timer find their way back.
    this: Weak<Driver>,
    options: Rc<Options>,
    session: RefCell<Session>,
    router: RefCell<Router<Handler>>,
    watchers: RefCell<Vec<(u64, Function)>>,
    streams: RefCell<Vec<(u64, Events)>>,
    connections: RefCell<BTreeMap<u64, Rc<dyn Connection>>>,
    waiting: RefCell<BTreeMap<Token, Waiting>>,
    timeout: RefCell<Option<Timeout>>,
    /// What the timer calls; one for all its runs.
    tick: RefCell<Option<Closure<dyn FnMut()>>>,
    wakeups: RefCell<Option<Wakeups>>,
    /// The page's own object, which handlers get.
    face: RefCell<JsValue>,
    numbers: Cell<u64>,
    running: Cell<bool>,
    /// The page closed it: no handler is called any more.
    over: Cell<bool>,
}

/// Undoes what began with it, once.
pub(crate) enum Lease {
    Route(RouteId, Rc<Cell<bool>>),
    Watcher(u64),
    Stream(u64),
}

impl Driver {
    /// A conversation that has not begun.
    pub(crate) fn new(options: Options, session: Session) -> Rc<Self> {
        let driver = Rc::new_cyclic(|this: &Weak<Self>| Self {
            this: Weak::clone(this),
            options: Rc::new(options),
            session: RefCell::new(session),
            router: RefCell::new(Router::new()),
            watchers: RefCell::default(),
            streams: RefCell::default(),
            connections: RefCell::default(),
            waiting: RefCell::default(),
            timeout: RefCell::default(),
            tick: RefCell::default(),
            wakeups: RefCell::default(),
            face: RefCell::new(JsValue::UNDEFINED),
            numbers: Cell::new(0),
            running: Cell::new(false),
            over: Cell::new(false),
        });
        let this = Rc::downgrade(&driver);
        *driver.tick.borrow_mut() = Some(Closure::new(move || {
            if let Some(driver) = this.upgrade() {
                driver.act(|session| session.tick(now()));
            }
        }));
        let this = Rc::downgrade(&driver);
        *driver.wakeups.borrow_mut() = Some(Wakeups::listen(move || {
            if let Some(driver) = this.upgrade() {
                driver.act(|session| session.probe(now()));
            }
        }));
        driver
    }

    /// Tells the driver which object of the page it stands behind.
    pub(crate) fn show(&self, face: JsValue) {
        *self.face.borrow_mut() = face;
    }

    /// Changes the session, then does what follows from it.
    pub(crate) fn act<R>(&self, change: impl FnOnce(&mut Session) -> R) -> R {
        let result = change(&mut self.session.borrow_mut());
        self.run();
        result
    }

    /// Sends an event or a request; `settle` gets the outcome.
    pub(crate) fn promise(
        &self,
        kind: Wanted,
        resolve: Function,
        reject: Function,
        begin: impl FnOnce(&mut Session) -> Token,
    ) {
        let token = begin(&mut self.session.borrow_mut());
        self.waiting.borrow_mut().insert(
            token,
            Waiting {
                resolve,
                reject,
                kind,
            },
        );
        self.run();
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn codec(&self) -> tengen_protocol::Codec {
        self.options.codec
    }

    pub(crate) fn state(&self) -> JsValue {
        state_to_js(self.session.borrow().state())
    }

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

    /// Ends everything: no timer, listener, socket, handler or unsettled promise stays behind.
    pub(crate) fn end(&self) {
        self.over.set(true);
        self.session.borrow_mut().end(now());
        // Also from within a handler, where `run` would leave it to the round that called it: the
        // farewell is written while there is something to write it to.
        self.drain();
        let unsettled = std::mem::take(&mut *self.waiting.borrow_mut());
        for waiting in unsettled.into_values() {
            settle(&waiting, &Err(failure::closed()));
        }
        self.timeout.take();
        self.tick.take();
        self.wakeups.take();
        self.connections.take();
        *self.router.borrow_mut() = Router::new();
        self.watchers.take();
        for (_, stream) in self.streams.take() {
            stream.finish();
        }
        self.face.take();
    }

    /// Carries out actions until there is none. A handler that sends something from within does
    /// not start a second round: the first goes on with what it added.
    fn run(&self) {
        if self.running.replace(true) {
            return;
        }
        self.drain();
        self.running.set(false);
        self.wait();
    }

    fn drain(&self) {
        loop {
            let action = self.session.borrow_mut().poll();
            let Some(action) = action else { break };
            self.carry_out(action);
        }
    }

    fn carry_out(&self, action: Action) {
        match action {
            Action::Open { connection, .. } => {
                let line = Line::open(&self.options, connection, self.this.clone());
                self.connections
                    .borrow_mut()
                    .insert(connection, Rc::new(line));
            }
            Action::Write {
                connection, frame, ..
            } => {
                if let Some(connection) = self.connection(connection) {
                    connection.write(&frame);
                }
            }
            Action::Close {
                connection,
                code,
                reason,
            } => {
                let closing = self.connections.borrow_mut().remove(&connection);
                if let Some(closing) = closing {
                    closing.close(code, &reason);
                }
            }
            // The connection finds out by itself, and tells it with its end.
            Action::Ask { connection } => {
                let nothing = Err("the upgrade failed".to_owned());
                let mut session = self.session.borrow_mut();
                session.asked(connection, nothing, now());
            }
            Action::Abort { connection } => {
                self.connections.borrow_mut().remove(&connection);
            }
            Action::Mute { connection } => {
                if let Some(connection) = self.connection(connection) {
                    connection.mute();
                }
            }
            Action::Event(event) => self.route(&event),
            Action::Resolved { token, outcome } => {
                let waiting = self.waiting.borrow_mut().remove(&token);
                if let Some(waiting) = waiting {
                    settle(&waiting, &outcome);
                }
            }
            Action::State { new, .. } => {
                let watchers = self.watchers.borrow().clone();
                let state = state_to_js(&new);
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
        }
    }

    /// Taken out of the table first: an injected WebSocket may call back at once.
    fn connection(&self, number: u64) -> Option<Rc<dyn Connection>> {
        self.connections.borrow().get(&number).map(Rc::clone)
    }

    fn route(&self, event: &Event) {
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

    /// Sets the timer for when the session next has something to do.
    fn wait(&self) {
        let next = self.session.borrow().next_timeout();
        // Cancelled before the next is set: one runs at a time.
        self.timeout.take();
        if let (Some(at), Some(tick)) = (next, &*self.tick.borrow()) {
            let milliseconds = at.0.saturating_sub(now().0);
            *self.timeout.borrow_mut() =
                Some(Timeout::start(tick.as_ref().unchecked_ref(), milliseconds));
        }
    }

    fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }
}

impl Heard for Driver {
    fn opened(&self, connection: u64) {
        self.act(|session| session.opened(connection, now()));
    }

    fn frame(&self, connection: u64, frame: Bytes) {
        self.act(|session| session.frame(connection, frame, now()));
    }

    fn closed(&self, connection: u64, how: &TransportClose) {
        let over = self.connections.borrow_mut().remove(&connection);
        self.act(|session| session.closed(connection, how, now()));
        drop(over);
    }
}
