//! The server's half of one client's conversation: one queue, two cursors, an inbox; bytes and `now` in, bytes and decisions out.

mod attach;
mod bounds;
mod ending;
mod inbound;
mod inbox;
mod moving;
mod outbound;
mod poll;
mod post;
mod pulse;
mod seldom;

use crate::codec::Codec;
use crate::ids::{ClientId, SessionId, Uid};
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::out_queue::OutQueue;
use crate::transport::Transport;

pub use attach::{AttachRefused, Attached};
pub use bounds::Bounds;
pub use inbound::Received;
pub use inbox::{Item, ItemKind, Resumed};
pub use moving::{Released, Standing};
pub use outbound::{Pushed, Replied, Written};
pub use poll::{POLL_BYTES, PollDue, PollRefused, PollTurn};
pub use post::Posted;
pub use pulse::Tick;
pub(crate) use pulse::patience;

use ending::Ending;
use inbox::Inbox;
use moving::Moving;
use poll::Polling;
use seldom::{Control, Refs};

/// Which connection speaks to a session. Each successful hello gets a new one and voids the one before.
///
/// It is not the client's `attempt`: an equal attempt replaces too (proxies repeat requests), and
/// the replaced connection must not pass for the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link(u32);

/// One client's conversation, server half.
///
/// `C` is what the driver wants to travel with each inbound item (the request's parts). The
/// session neither locks nor waits; whoever holds it serialises the calls. An idle, fully
/// acknowledged session owns no heap beyond its ids.
pub struct Session<C> {
    id: SessionId,
    client: ClientId,
    uid: Option<Uid>,
    codec: Codec,

    attempt: u64,
    link: Link,
    attached: bool,
    transport: Transport,
    /// The hello has been put in line; nothing else is written before it.
    greeted: bool,
    /// The hello of a poll has not been taken by the POST that it answers.
    hello_waits: bool,
    flush_owed: bool,
    /// Of a session that polls, or has polled.
    polling: Option<Box<Polling>>,

    out: OutQueue<OutFrame>,
    /// Where the newest `chsk/gap` stands; 0 if there was none.
    gap_at: u64,
    /// Where the newest answer to a refused item stands. No ack is written before it is.
    answer_at: u64,
    control: Control,
    ping_owed: bool,
    pong_owed: bool,
    ending: Option<Box<Ending>>,
    over: bool,

    /// Items of the client counted so far, refused ones included.
    received: u64,
    /// What the client was last told of `received`.
    told: u64,
    untold_bytes: usize,
    ack_owed: bool,
    last_ack: Millis,
    inbox: Inbox<C>,
    /// Refs of requests that wait for their one answer.
    outstanding: Refs,
    errors: u16,
    errors_since: Millis,

    /// What only a session on its way between nodes needs.
    moving: Option<Box<Moving<C>>>,

    last_heard: Millis,
    last_written: Millis,
    /// Silence is forgiven until then: a large item was announced.
    patient_until: Millis,
    detached_at: Millis,
}

impl<C> Session<C> {
    /// A session that nobody is attached to yet. The codec is fixed for its life.
    pub fn new(id: SessionId, client: ClientId, uid: Option<Uid>, codec: Codec) -> Self {
        Session {
            id,
            client,
            uid,
            codec,
            attempt: 0,
            link: Link(0),
            attached: false,
            transport: Transport::Ws,
            greeted: false,
            hello_waits: false,
            flush_owed: false,
            polling: None,
            out: OutQueue::new(),
            gap_at: 0,
            answer_at: 0,
            control: Control::default(),
            ping_owed: false,
            pong_owed: false,
            ending: None,
            over: false,
            received: 0,
            told: 0,
            untold_bytes: 0,
            ack_owed: false,
            last_ack: Millis(0),
            inbox: Inbox::new(),
            outstanding: Refs::default(),
            errors: 0,
            errors_since: Millis(0),
            moving: None,
            last_heard: Millis(0),
            last_written: Millis(0),
            patient_until: Millis(0),
            detached_at: Millis(0),
        }
    }

    pub fn id(&self) -> &SessionId {
        &self.id
    }

    pub fn client(&self) -> &ClientId {
        &self.client
    }

    pub fn uid(&self) -> Option<&Uid> {
        self.uid.as_ref()
    }

    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The attempt of the newest hello that was accepted; 0 before the first.
    pub fn attempt(&self) -> u64 {
        self.attempt
    }

    /// What carries the present connection, or carried the last one.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The connection that may speak now, if there is one.
    pub fn link(&self) -> Option<Link> {
        self.attached.then_some(self.link)
    }

    /// Since when nobody is attached; `None` while somebody is. A session is kept `session_ttl` after it.
    pub fn detached_since(&self) -> Option<Millis> {
        (!self.attached).then_some(self.detached_at)
    }

    /// The session has ended for good: it takes no push and no hello any more.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// An end of the connection has been decided, said or not.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Bytes waiting and retained, 32 per item for its place in line included; and whatever a
    /// session keeps on its way between nodes.
    pub fn queue_bytes(&self) -> usize {
        self.out.bytes() + self.moving_bytes()
    }

    /// Items waiting and retained.
    pub fn queue_items(&self) -> u64 {
        self.out.end() - self.out.acked()
    }

    /// Items that the client has acknowledged. Nobody has them any more, so a client that lacks one
    /// of them cannot go on with this session.
    pub fn acknowledged(&self) -> u64 {
        self.out.acked()
    }

    /// Items of the client counted so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// When the client last gave a sign of life.
    pub fn last_heard(&self) -> Millis {
        self.last_heard
    }

    /// When bytes were last handed to the connection's writer.
    pub fn last_written(&self) -> Millis {
        self.last_written
    }

    /// Requests that still wait for their answer.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether this request still waits for its answer.
    pub fn is_outstanding(&self, request: u32) -> bool {
        self.outstanding.contains(request)
    }
}

#[cfg(test)]
mod tests;
