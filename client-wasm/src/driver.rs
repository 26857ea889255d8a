//! Carries out what the conversation decides: opens, writes, waits, calls handlers, settles promises.

mod handing;

pub(crate) use handing::Lease;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use bytes::Bytes;
use js_sys::Function;
use tengen_protocol::Transport;
use tengen_protocol::client::{self, Action, Router, Session, Token, TransportClose};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::calls::{Handler, Waiting, Wanted, settle, state_to_js};
use crate::failure;
use crate::options::Options;
use crate::polling::Polling;
use crate::refusal;
use crate::timer::{Timeout, now};
use crate::transport::{Connection, Heard};
use crate::values::Events;
use crate::wakeups::{Wakeup, Wakeups};
use crate::websocket::Line;

/// One socket of the page. Everything it holds on to outside is let go by [`Driver::end`].
pub(crate) struct Driver {
    /// How the transport's callbacks and the timer find their way back.
    this: Weak<Driver>,
    options: Rc<Options>,
    /// As the session has them: a poll goes by some of them too.
    settings: client::Options,
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
    /// The page is gone, perhaps only for a while: it was connected when it went.
    away: Cell<bool>,
    /// The page closed it: no handler is called any more.
    over: Cell<bool>,
}

impl Driver {
    /// A conversation that has not begun.
    pub(crate) fn new(options: Options, seed: u64) -> Rc<Self> {
        let settings = options.settings();
        let session = Session::new(settings.clone(), seed);
        let driver = Rc::new_cyclic(|this: &Weak<Self>| Self {
            this: Weak::clone(this),
            options: Rc::new(options),
            settings,
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
            away: Cell::new(false),
            over: Cell::new(false),
        });
        let this = Rc::downgrade(&driver);
        *driver.tick.borrow_mut() = Some(Closure::new(move || {
            if let Some(driver) = this.upgrade() {
                driver.act(|session| session.tick(now()));
            }
        }));
        let this = Rc::downgrade(&driver);
        *driver.wakeups.borrow_mut() = Some(Wakeups::listen(move |wakeup| {
            if let Some(driver) = this.upgrade() {
                driver.wake(wakeup);
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
        let connections = self.connections.borrow().clone();
        for connection in connections.values() {
            connection.flush();
        }
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
            Action::Open {
                connection,
                transport,
                ..
            } => {
                let opening = self.open(connection, transport);
                self.connections.borrow_mut().insert(connection, opening);
            }
            Action::Write {
                connection,
                frame,
                position,
            } => {
                if let Some(connection) = self.connection(connection) {
                    connection.write(&frame, position);
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
            Action::Ask { connection } => self.ask(connection),
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
            Action::State { new, .. } => self.tell_watchers(&new),
        }
    }

    fn open(&self, number: u64, transport: Transport) -> Rc<dyn Connection> {
        let listener = Weak::clone(&self.this);
        match transport {
            Transport::Ws => Rc::new(Line::open(&self.options, number, listener)),
            Transport::Poll => Rc::new(Polling::open(
                &self.options,
                &self.settings,
                number,
                listener,
            )),
        }
    }

    fn ask(&self, connection: u64) {
        let (options, this) = (Rc::clone(&self.options), Weak::clone(&self.this));
        spawn_local(async move {
            let answer = refusal::ask(&options).await;
            if let Some(driver) = this.upgrade() {
                driver.act(|session| session.asked(connection, answer, now()));
            }
        });
    }

    /// The page may have slept, or goes, or is back.
    fn wake(&self, wakeup: Wakeup) {
        match wakeup {
            Wakeup::Gone => {
                let was_wanted = !self.session.borrow().is_idle();
                self.away.set(self.away.get() || was_wanted);
                self.act(|session| session.unload(now()));
            }
            // From the browser's memory, as it was: what was connected connects again.
            Wakeup::Back if self.away.take() => self.act(|session| session.connect(now())),
            Wakeup::Back | Wakeup::Doubt => self.act(|session| session.probe(now())),
        }
    }

    /// Taken out of the table first: an injected WebSocket may call back at once.
    fn connection(&self, number: u64) -> Option<Rc<dyn Connection>> {
        self.connections.borrow().get(&number).map(Rc::clone)
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
}

impl Heard for Driver {
    fn opened(&self, connection: u64) {
        self.act(|session| session.opened(connection, now()));
    }

    fn frame(&self, connection: u64, frame: Bytes) {
        self.act(|session| session.frame(connection, frame, now()));
    }

    fn alive(&self, connection: u64) {
        self.act(|session| session.heard(connection, now()));
    }

    fn closed(&self, connection: u64, how: &TransportClose) {
        let over = self.connections.borrow_mut().remove(&connection);
        self.act(|session| session.closed(connection, how, now()));
        drop(over);
    }

    fn received(&self) -> u64 {
        self.session.borrow().received()
    }
}
