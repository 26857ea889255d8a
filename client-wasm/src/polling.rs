//! Long-polling: carries out by `fetch` the exchanges that `client::poll::Poll` decides on.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use bytes::Bytes;
use tengen_protocol::client::poll::{self, HttpAnswer, Poll, PollEvent};
use tengen_protocol::client::{self, TransportClose};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::http::{Ask, Exchange, described, proofs};
use crate::options::Options;
use crate::timer::{Timeout, now};
use crate::transport::{Connection, Heard, Listener};

/// A goodbye that has not gone out by then is given up.
const GOODBYE_MS: u64 = 5000;
/// What a browser lets outlive its page, all such requests together, is 64 KiB; a larger one fails at once.
const OUTLIVING_BYTES: usize = 60 << 10;

/// One connection over long-polling. Dropping it gives up what is under way, but for a goodbye.
pub(crate) struct Polling {
    shared: Rc<Shared>,
}

struct Shared {
    this: Weak<Shared>,
    number: u64,
    options: Rc<Options>,
    listener: Listener,
    poll: RefCell<Poll>,
    /// Who we are, as of this connection's beginning: asked for once, as a WebSocket does.
    proofs: OnceCell<JsValue>,
    under_way: RefCell<BTreeMap<u64, Exchange>>,
    timeout: RefCell<Option<Timeout>>,
    tick: Closure<dyn FnMut()>,
    /// An answer is being handed over: what to ask next is known when all of it has been counted.
    reading: Cell<bool>,
    muted: Cell<bool>,
}

impl Polling {
    /// Begins connection `number`; what becomes of it, `listener` hears.
    pub(crate) fn open(
        options: &Rc<Options>,
        session: &client::Options,
        number: u64,
        listener: Listener,
    ) -> Self {
        let shared = Rc::new_cyclic(|this: &Weak<Shared>| {
            let weak = Weak::clone(this);
            let tick = Closure::new(move || {
                if let Some(shared) = weak.upgrade() {
                    shared.advance();
                }
            });
            Shared {
                this: Weak::clone(this),
                number,
                options: Rc::clone(options),
                listener,
                poll: RefCell::new(Poll::new(number, session)),
                proofs: OnceCell::new(),
                under_way: RefCell::default(),
                timeout: RefCell::default(),
                tick,
                reading: Cell::new(false),
                muted: Cell::new(false),
            }
        });
        let (options, weak) = (Rc::clone(options), Rc::downgrade(&shared));
        spawn_local(async move {
            let proven = proofs(&options).await;
            // Gone if the application changed its mind while the page fetched its token.
            if let Some(shared) = weak.upgrade() {
                shared.begin(proven);
            }
        });
        Self { shared }
    }
}

impl Connection for Polling {
    fn write(&self, frame: &Bytes, position: Option<u64>) {
        let mut poll = self.shared.poll.borrow_mut();
        poll.write(Bytes::clone(frame), position);
    }

    fn flush(&self) {
        self.shared.advance();
    }

    fn mute(&self) {
        self.shared.muted.set(true);
    }

    fn close(&self, _code: u16, _reason: &str) {
        self.shared.say_goodbye();
    }
}

impl Shared {
    fn begin(&self, proven: Result<JsValue, JsValue>) {
        let Some(listener) = self.listener.upgrade() else {
            return;
        };
        match proven {
            Ok(proven) => {
                let _first = self.proofs.set(proven);
                listener.opened(self.number);
            }
            Err(error) => listener.closed(
                self.number,
                &TransportClose {
                    error: Some(described(&error)),
                    ..TransportClose::default()
                },
            ),
        }
    }

    /// Begins what can begin, and sets the timer for what cannot yet.
    fn advance(&self) {
        let Some(listener) = self.listener.upgrade() else {
            return;
        };
        if self.muted.get() || self.reading.get() || self.proofs.get().is_none() {
            return;
        }
        while let Some(exchange) = self.next(listener.received()) {
            self.carry_out(&exchange);
        }
        let next = self.poll.borrow().next_timeout();
        let milliseconds = next.map(|at| at.0.saturating_sub(now().0));
        // Cancelled before the next is set: one runs at a time.
        self.timeout.take();
        *self.timeout.borrow_mut() = milliseconds
            .map(|milliseconds| Timeout::start(self.tick.as_ref().unchecked_ref(), milliseconds));
    }

    fn next(&self, received: u64) -> Option<poll::Exchange> {
        self.poll.borrow_mut().next(received, now())
    }

    fn carry_out(&self, exchange: &poll::Exchange) {
        let Some(proofs) = self.proofs.get() else {
            return;
        };
        let weak = Weak::clone(&self.this);
        let progress = Closure::new(move || {
            if let Some(shared) = weak.upgrade() {
                shared.heard(|listener| listener.alive(shared.number));
            }
        });
        let ask = Ask {
            query: &exchange.query,
            headers: &exchange.headers,
            body: exchange.post.then_some(&exchange.body),
            timeout_ms: exchange.timeout_ms,
            outlives_page: false,
        };
        let begun = Exchange::begin(&self.options, proofs, &ask, Some(progress));
        let (answer, weak, id) = (begun.answer(), Weak::clone(&self.this), exchange.id);
        self.under_way.borrow_mut().insert(id, begun);
        spawn_local(async move {
            let answer = answer.await;
            if let Some(shared) = weak.upgrade() {
                shared.answered(id, answer);
            }
        });
    }

    fn answered(&self, id: u64, answer: Result<HttpAnswer, String>) {
        // Held until the end: dropping it aborts nothing any more.
        let _over = self.under_way.borrow_mut().remove(&id);
        if self.muted.get() {
            return;
        }
        let events = self.poll.borrow_mut().answered(id, answer, now());
        self.reading.set(true);
        for event in events {
            self.heard(|listener| match event {
                PollEvent::Frame(frame) => listener.frame(self.number, frame),
                PollEvent::Heard => listener.alive(self.number),
                PollEvent::Closed(how) => listener.closed(self.number, &how),
            });
        }
        self.reading.set(false);
        self.advance();
    }

    fn heard(&self, tell: impl FnOnce(&dyn Heard)) {
        if let Some(listener) = self.listener.upgrade()
            && !self.muted.get()
        {
            tell(&*listener);
        }
    }

    /// Sends what is in line in one last POST, which needs neither us nor the page any more.
    fn say_goodbye(&self) {
        self.timeout.take();
        self.poll.borrow_mut().close();
        let last = if self.muted.replace(true) {
            None
        } else {
            self.next(0)
        };
        // A POST under way too: the last one repeats it, and positions say what was counted.
        self.under_way.take();
        if let (Some(last), Some(proofs)) = (last, self.proofs.get()) {
            let ask = Ask {
                query: &last.query,
                headers: &last.headers,
                body: Some(&last.body),
                timeout_ms: GOODBYE_MS,
                outlives_page: last.body.len() <= OUTLIVING_BYTES,
            };
            let goodbye = Exchange::begin(&self.options, proofs, &ask, None);
            spawn_local(async move {
                // Nobody is there to be told whether it arrived.
                let _answer = goodbye.answer().await;
            });
        }
    }
}
