//! Answers services that ask over the bus who is online: one of the nodes that are ready, whichever NATS chooses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tengen_bus::{Bus, Delivery, Message, Publish, Subscribe, Subscription};
use tengen_protocol::{Codec, ErrorCode, Refusal};
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tokio_util::task::TaskTracker;

use super::Online;
use super::query::{Asked, Query};

/// The queue group of the nodes that are ready.
const GROUP: &str = "tengen-nodes";
/// How often a node looks whether it is ready.
const LOOK: Duration = Duration::from_millis(250);
/// Questions taken at once.
const MAX_DRAIN: usize = 64;
/// Questions being answered at once; further ones are refused with `rate`.
const AT_ONCE: usize = 64;
/// Refusals on their way out at once; further questions are shed.
const REFUSED_AT_ONCE: usize = 1_024;
/// Questions are small; beyond this they are shed, and time out at whoever asked.
const MAX_QUEUE_BYTES: usize = 4 << 20;
/// A longer question is none.
const MAX_QUESTION_BYTES: usize = 4 << 10;

pub(crate) struct Service {
    pub(crate) online: Arc<Online>,
    pub(crate) bus: Bus,
    pub(crate) subject: String,
    pub(crate) tracker: TaskTracker,
    room: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

impl Service {
    pub(crate) fn new(
        online: Arc<Online>,
        bus: Bus,
        subject: String,
        tracker: TaskTracker,
    ) -> Service {
        Service {
            online,
            bus,
            subject,
            tracker,
            room: Arc::new(Semaphore::new(AT_ONCE)),
            refusals: Arc::new(Semaphore::new(REFUSED_AT_ONCE)),
        }
    }

    /// Answers while the node is ready, until it ends.
    pub(crate) async fn run(self) {
        let stop = self.online.stop.clone();
        let work = async {
            let mut looks = tokio::time::interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut asked: Option<Subscription> = None;
            loop {
                tokio::select! {
                    _ = looks.tick() => {}
                    () = self.take(&mut asked) => {}
                }
                let ready = self.online.standing().ready;
                if !ready && let Some(left) = asked.take() {
                    self.leave(left).await;
                } else if ready && asked.is_none() {
                    let member = Subscribe::queue(GROUP).max_queue_bytes(MAX_QUEUE_BYTES);
                    // Refused only by a bus that ends; else it is tried again.
                    asked = self.bus.subscribe(&self.subject, member).await.ok();
                }
            }
        };
        stop.run_until_cancelled(work).await;
    }

    /// Answers what has come.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not taken stays in line.
    async fn take(&self, asked: &mut Option<Subscription>) {
        let Some(subscription) = asked else {
            return std::future::pending().await;
        };
        let mut deliveries = Vec::new();
        if subscription.recv_many(&mut deliveries, MAX_DRAIN).await == 0 {
            *asked = None;
        }
        // The view may have become one that cannot be trusted since the last look.
        let ready = self.online.standing().ready;
        for delivery in deliveries {
            match delivery {
                Delivery::Message(message) if ready => self.answer(&message),
                Delivery::Message(message) => self.pass_on(message),
                Delivery::Shed(shed) => self.metrics().shed.add(shed.messages),
                Delivery::Interrupted => {}
            }
        }
    }

    fn metrics(&self) -> &crate::metrics::online::OnlineMetrics {
        &self.online.hub.metrics().online
    }

    /// Leaves the group, and leaves to the others what it was given meanwhile.
    async fn leave(&self, mut left: Subscription) {
        let mut waiting = Vec::new();
        while let Some(delivery) = left.try_recv() {
            if let Delivery::Message(message) = delivery {
                waiting.push(message);
            }
        }
        drop(left);
        for message in waiting {
            self.pass_on(message);
        }
    }

    /// Asks the group anew for whoever asked this node.
    fn pass_on(&self, message: Message) {
        let Message {
            subject,
            reply,
            headers,
            body,
        } = message;
        let bus = self.bus.clone();
        self.tracker.spawn(async move {
            // The bus may be down: whoever asked runs into the deadline.
            let _ = bus
                .publish(Publish {
                    subject,
                    reply,
                    headers,
                    body,
                })
                .await;
        });
    }

    fn answer(&self, message: &Message) {
        let Some(reply) = message.reply.clone() else {
            return;
        };
        self.metrics().asked.increment();
        let codec = Codec::from_content_type(message.headers.first("Content-Type"));
        let (room, query) = match Arc::clone(&self.room).try_acquire_owned() {
            Ok(room) => (room, read(codec, &message.body)),
            Err(_) => {
                let Ok(room) = Arc::clone(&self.refusals).try_acquire_owned() else {
                    return self.metrics().shed.increment();
                };
                let many = Refusal::new(ErrorCode::RATE, "too many questions");
                (room, Err(many))
            }
        };
        let (online, bus) = (Arc::clone(&self.online), self.bus.clone());
        self.tracker.spawn(async move {
            let answer = match query {
                Ok(query) => write(codec, &online.answer(query).await),
                Err(refusal) => Err(refusal),
            };
            let answer = match answer {
                Ok(body) => {
                    Publish::new(reply.clone(), body).header("Content-Type", codec.content_type())
                }
                Err(refusal) => {
                    online.hub.metrics().online.refused.increment();
                    refused(reply, refusal)
                }
            };
            let _ = bus.publish(answer).await;
            // Until then, so that a slow bus does not pile up answers here.
            drop(room);
        });
    }
}

fn refused(reply: tengen_bus::Subject, refusal: Refusal) -> Publish {
    Publish::new(reply, refusal.message).header("Tengen-Error", refusal.code.0.to_string())
}

/// Reads a question: an empty body asks for the first page.
fn read(codec: Codec, body: &Bytes) -> Result<Query, Refusal> {
    if body.is_empty() {
        return Query::try_from(Asked::default());
    }
    if body.len() > MAX_QUESTION_BYTES {
        return Err(Refusal::new(
            ErrorCode::TOO_LARGE,
            "a question has at most 4096 bytes",
        ));
    }
    // A sequence would be read as the fields in turn.
    let is_object = match codec {
        Codec::Json => body.trim_ascii_start().first() == Some(&b'{'),
        Codec::Cbor => matches!(body[0], 0xa0..=0xbf),
    };
    if !is_object {
        let why = "a question is an object";
        return Err(Refusal::new(ErrorCode::UNDECODABLE, why));
    }
    Query::try_from(decoded::<Asked>(codec, body)?)
}

fn decoded<T: DeserializeOwned>(codec: Codec, body: &[u8]) -> Result<T, Refusal> {
    let undecodable = |why: String| Refusal::new(ErrorCode::UNDECODABLE, why);
    match codec {
        Codec::Json => serde_json::from_slice(body).map_err(|error| undecodable(error.to_string())),
        Codec::Cbor => {
            let mut rest = body;
            let value = ciborium::from_reader(&mut rest);
            let value = value.map_err(|error| undecodable(error.to_string()))?;
            match rest.is_empty() {
                true => Ok(value),
                false => Err(undecodable("more bytes after the question".to_owned())),
            }
        }
    }
}

fn write(codec: Codec, answer: &impl serde::Serialize) -> Result<Bytes, Refusal> {
    let failed = |why: String| Refusal::new(ErrorCode::HANDLER_FAILED, why);
    let mut out = Vec::new();
    match codec {
        Codec::Json => {
            serde_json::to_writer(&mut out, answer).map_err(|error| failed(error.to_string()))?
        }
        Codec::Cbor => {
            // By way of a value: an answer of joined parts has maps whose length serde does not know
            // at their beginning, and not every decoder reads the indefinite lengths that makes.
            let answer = ciborium::Value::serialized(answer);
            let answer = answer.map_err(|error| failed(error.to_string()))?;
            ciborium::into_writer(&answer, &mut out).map_err(|error| failed(error.to_string()))?
        }
    }
    Ok(out.into())
}
