//! The task of a client: feeds the session with commands, connections and time, and carries out what it decides.

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use tengen_protocol::{
    ErrorCode, Millis, Transport as Kind,
    client::{
        Action, Event as Routable, Options, Outcome, Routed, Session, Token, poll::Poll as Machine,
    },
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Sleep,
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::{
    client::{Client, Inner},
    command::Command,
    event::Event,
    handler::Handler,
    shared::Shared,
    transport::{Dial, Polling, Tide, Transport, TransportEvent, WebSocket, ask},
};

/// Bytes in line on the connections above which no further command is taken: the applications
/// wait then, instead of memory filling up.
const MAX_BACKLOG_BYTES: usize = 1 << 20;

/// Commands taken before the connections are looked at again, so that many small frames leave in
/// one write.
const COMMANDS_AT_ONCE: u32 = 64;

pub(crate) struct Driver {
    session: Session,
    /// As the session has them; each poll connection is made by them.
    options: Options,
    shared: Arc<Shared>,
    client: Weak<Inner>,
    commands: mpsc::Receiver<Command>,
    connections: Vec<Connection>,
    questions: Vec<(u64, Question)>,
    outcomes: HashMap<Token, oneshot::Sender<Outcome>>,
    timer: Option<(Millis, Pin<Box<Sleep>>)>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The end has been told to the session.
    ending: bool,
    taken: u32,
}

/// A plain GET about a WebSocket that could not be opened.
type Question = Pin<Box<dyn Future<Output = Asked> + Send>>;
type Asked = Result<(u16, Option<ErrorCode>), String>;

struct Connection {
    id: u64,
    transport: Box<dyn Transport>,
    /// Neither read nor written: a test aid.
    muted: bool,
}

/// Why the driver woke up.
enum Wake {
    Command(Command),
    Connection(u64, TransportEvent),
    Asked(u64, Asked),
    Tick,
    End,
}

impl Driver {
    pub(crate) fn new(
        session: Session,
        options: Options,
        shared: Arc<Shared>,
        client: &Client,
        commands: mpsc::Receiver<Command>,
    ) -> Driver {
        Driver {
            closing: Box::pin(shared.closing.clone().cancelled_owned()),
            session,
            options,
            shared,
            client: client.downgrade(),
            commands,
            connections: Vec::new(),
            questions: Vec::new(),
            outcomes: HashMap::new(),
            timer: None,
            ending: false,
            taken: 0,
        }
    }

    /// Starts the task.
    pub(crate) fn start(mut self, connect: bool) {
        let tasks = self.shared.tasks.clone();
        if connect {
            self.session.connect(self.shared.now());
        }
        tasks.spawn(self.run());
    }

    async fn run(mut self) {
        self.carry_out();
        while !(self.ending && self.session.is_idle() && self.connections.is_empty()) {
            let wake = poll_fn(|context| self.poll_wake(context)).await;
            let now = self.shared.now();
            match wake {
                Wake::Command(command) => self.command(command, now),
                Wake::Connection(id, event) => self.connection(id, event, now),
                Wake::Asked(id, answer) => self.session.asked(id, answer, now),
                Wake::Tick => {
                    self.timer = None;
                    self.session.tick(now);
                }
                Wake::End => self.end(now),
            }
            self.carry_out();
        }
        self.shared.end_stream();
    }

    /// Waits for whatever comes first. Time goes before commands and commands before connections,
    /// so neither a flood of frames nor one of commands keeps the others waiting for long.
    fn poll_wake(&mut self, context: &mut Context<'_>) -> Poll<Wake> {
        if !self.ending && self.closing.as_mut().poll(context).is_ready() {
            return Poll::Ready(Wake::End);
        }
        if self.poll_timer(context).is_ready() {
            return Poll::Ready(Wake::Tick);
        }
        let take = self.taken < COMMANDS_AT_ONCE && self.backlog() < MAX_BACKLOG_BYTES;
        if take
            && !self.ending
            && let Poll::Ready(command) = self.commands.poll_recv(context)
        {
            self.taken += 1;
            // No handle is left: nobody can want anything of this client any more.
            return Poll::Ready(command.map_or(Wake::End, Wake::Command));
        }
        self.taken = 0;
        for (at, (id, question)) in self.questions.iter_mut().enumerate() {
            if let Poll::Ready(answer) = question.as_mut().poll(context) {
                let id = *id;
                drop(self.questions.swap_remove(at));
                return Poll::Ready(Wake::Asked(id, answer));
            }
        }
        let tide = Tide {
            received: self.session.received(),
            now: self.shared.now(),
        };
        for connection in self
            .connections
            .iter_mut()
            .filter(|connection| !connection.muted)
        {
            if let Poll::Ready(event) = connection.transport.poll_event(context, tide) {
                return Poll::Ready(Wake::Connection(connection.id, event));
            }
        }
        if !take && self.backlog() < MAX_BACKLOG_BYTES {
            // There is room again, and the commands were not asked to wake us.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.session.next_timeout() else {
            self.timer = None;
            return Poll::Pending;
        };
        let at = self.shared.instant(due);
        let (set, sleep) = self
            .timer
            .get_or_insert_with(|| (due, Box::pin(tokio::time::sleep_until(at))));
        if *set != due {
            *set = due;
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(context)
    }

    fn backlog(&self) -> usize {
        self.connections
            .iter()
            .map(|connection| connection.transport.backlog())
            .sum()
    }

    fn command(&mut self, command: Command, now: Millis) {
        match command {
            Command::Send {
                id,
                data,
                options,
                outcome,
            } => {
                let token = self.session.send(id, data, options, now);
                self.outcomes.insert(token, outcome);
            }
            Command::Request {
                id,
                data,
                options,
                outcome,
            } => {
                let token = self.session.request(id, data, options, now);
                self.outcomes.insert(token, outcome);
            }
            Command::Inject { id, data } => {
                self.session.inject(id, data);
            }
            Command::Connect => self.session.connect(now),
            Command::Disconnect => self.session.disconnect(now),
            Command::Reconnect => self.session.reconnect(now),
            Command::Break { close_socket } => self.session.break_connection(close_socket, now),
            Command::BadConnection { rate } => self.session.set_bad_connection_rate(rate),
            // Early events are looked for after every wake.
            Command::Attached => {}
        }
    }

    fn connection(&mut self, id: u64, event: TransportEvent, now: Millis) {
        match event {
            TransportEvent::Opened => self.session.opened(id, now),
            TransportEvent::Frame(frame) => self.session.frame(id, frame, now),
            TransportEvent::Heard => self.session.heard(id, now),
            TransportEvent::Closed(close) => {
                self.connections.retain(|connection| connection.id != id);
                self.session.closed(id, &close, now);
            }
        }
    }

    /// Does everything the session has decided, in its order.
    fn carry_out(&mut self) {
        self.deliver_found();
        while let Some(action) = self.session.poll() {
            match action {
                Action::Open {
                    connection,
                    transport,
                    ..
                } => self.open(connection, transport),
                Action::Write {
                    connection,
                    frame,
                    position,
                } => {
                    if let Some(connection) = self.find(connection) {
                        connection.transport.send(frame, position);
                    }
                }
                Action::Close {
                    connection: id,
                    code,
                    reason,
                } => match self.find(id) {
                    // It is mute: there is nobody to say goodbye to.
                    Some(connection) if connection.muted => self.forget(id),
                    Some(connection) => connection.transport.close(code, &reason),
                    None => {}
                },
                Action::Ask { connection } => {
                    let question = Box::pin(ask(Arc::clone(&self.shared)));
                    self.questions.push((connection, question));
                }
                Action::Abort { connection } => self.forget(connection),
                Action::Mute { connection } => {
                    if let Some(connection) = self.find(connection) {
                        connection.muted = true;
                    }
                }
                Action::Event(event) => self.deliver(&event),
                Action::Resolved { token, outcome } => {
                    if let Some(waiting) = self.outcomes.remove(&token) {
                        // Nobody waiting any more is the caller's choice.
                        let _ = waiting.send(outcome);
                    }
                }
                Action::State { new, .. } => {
                    self.shared.state.send_replace(new);
                }
            }
        }
        let idle = self.session.is_idle();
        self.shared
            .idle
            .send_if_modified(|before| std::mem::replace(before, idle) != idle);
    }

    fn open(&mut self, id: u64, transport: Kind) {
        let transport: Box<dyn Transport> = match transport {
            Kind::Ws => Box::new(WebSocket::dial(Dial {
                codec: self.shared.codec,
                shared: Arc::clone(&self.shared),
            })),
            Kind::Poll => {
                let machine = Machine::new(id, &self.options);
                Box::new(Polling::new(machine, Arc::clone(&self.shared)))
            }
        };
        self.connections.push(Connection {
            id,
            transport,
            muted: false,
        });
    }

    fn find(&mut self, id: u64) -> Option<&mut Connection> {
        self.connections
            .iter_mut()
            .find(|connection| connection.id == id)
    }

    fn forget(&mut self, id: u64) {
        self.connections.retain(|connection| connection.id != id);
    }

    fn deliver(&self, event: &Routable) {
        self.shared.stream(event);
        match self.shared.route(event) {
            Routed::To(handlers) => self.call(&handlers, event),
            Routed::Kept => self.deliver_found(),
            Routed::Unhandled { first: true } => {
                tracing::warn!(event = %event.id, "no handler for event");
            }
            Routed::Unhandled { first: false } => {}
        }
    }

    /// Gives early events to the handlers that came after them, before anything newer.
    fn deliver_found(&self) {
        while let Some((event, handlers)) = self.shared.next_found() {
            self.call(&handlers, &event);
        }
    }

    fn call(&self, handlers: &[Handler], event: &Routable) {
        // Without a handle left the client is about to end.
        let Some(client) = Client::upgrade(&self.client) else {
            return;
        };
        for handler in handlers {
            handler.call(Event {
                id: event.id.clone(),
                data: event.data.clone(),
                source: event.source,
                client: client.clone(),
                state: self.session.state().clone(),
            });
        }
    }

    /// What was asked before the end is still done; what came too late is refused.
    fn end(&mut self, now: Millis) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            self.command(command, now);
        }
        self.ending = true;
        self.session.end(now);
    }
}
