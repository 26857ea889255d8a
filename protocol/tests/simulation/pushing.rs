//! What is pushed, and by whom: numbered batches, plain publishes, repeated message ids, equal bodies.

use crate::bus::Message;
use crate::ledger::{CONTENT_WINDOW, ID_WINDOW};
use crate::world::{Happening, World};
use bytes::Bytes;
use std::rc::Rc;
use tengen_protocol::takeover::Identity;
use tengen_protocol::{Codec, Data, EventId, Filter, OutFrame, Target, Value};

/// One push, as it travels.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    pub(crate) target: Target,
    pub(crate) filter: Filter,
    /// 0 if it has none.
    pub(crate) message_id: u128,
    /// Its name in the ledger, which is also its body.
    pub(crate) name: Name,
    frames: [OutFrame; 2],
    /// The event as its publisher wrote it, in JSON.
    pub(crate) event: Bytes,
}

/// The publisher, and the number of the body: equal pushes have equal names.
pub(crate) type Name = (usize, u64);

impl Push {
    pub(crate) fn new(target: Target, filter: Filter, message_id: u128, name: Name) -> Push {
        let id = EventId::parse("t/push").unwrap();
        let body = Value::Array(vec![Value::Int(name.0 as i128), Value::Int(name.1.into())]);
        let frames = [Codec::Cbor, Codec::Json].map(|codec| {
            OutFrame::event(codec, &id, &Data::from_value(codec, &body).unwrap()).unwrap()
        });
        let event = format!(r#"["t/push",[{},{}]]"#, name.0, name.1).into();
        Push {
            target,
            filter,
            message_id,
            name,
            frames,
            event,
        }
    }

    /// Who it is, if it stands at this place of a publisher's stream, or at none.
    pub(crate) fn identity(&self, place: Option<(u128, u64, u16)>) -> Identity {
        match (place, self.message_id) {
            (Some((publisher, seq, index)), message) => Identity::Batched {
                publisher,
                seq,
                index,
                message,
            },
            (None, 0) => Identity::of_content(&self.target, &self.filter, Codec::Json, &self.event),
            (None, id) => Identity::Message(id),
        }
    }

    pub(crate) fn frame(&self, codec: Codec) -> &OutFrame {
        &self.frames[usize::from(codec == Codec::Json)]
    }
}

/// A numbered stream of batches, as nodes and busy services have one.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) publisher: u128,
    pub(crate) seq: u64,
    /// Empty batches still to come after the last one.
    pub(crate) version: u64,
}

impl Stream {
    pub(crate) fn new(publisher: u128) -> Stream {
        Stream {
            publisher,
            seq: 0,
            version: 0,
        }
    }
}

/// Somebody who pushes. The first ones are the nodes themselves.
pub(crate) struct Publisher {
    pub(crate) peer: usize,
    /// In the ledger. Each life of a node has one of its own: nothing relates what it pushes to
    /// what it had pushed before it died.
    pub(crate) line: usize,
    /// `None`: plain publishes only.
    pub(crate) stream: Option<Stream>,
}

/// When a publisher says its last number once more.
const TAILS: [u64; 3] = [1_000, 2_000, 4_000];
/// When it tries again if the bus was down.
const TAIL_RETRY: u64 = 1_000;

impl World {
    /// One burst of a random publisher.
    pub(crate) fn push_something(&mut self) {
        let by = self.chance.between(0, self.publishers.len() as u64 - 1) as usize;
        let Publisher { peer, line, .. } = self.publishers[by];
        if !self.bus.is_up(peer) || !self.may_publish(peer) {
            // It fails at once, and its caller knows.
            return;
        }
        let target = self.some_target();
        let filter = self.some_filter();
        let count = self.chance.between(1, 4);
        if self.publishers[by].stream.is_some() {
            let pushes = (0..count)
                .map(|_| {
                    let target = if self.chance.one_in(3) {
                        self.some_target()
                    } else {
                        target.clone()
                    };
                    let name = self
                        .ledger
                        .publish(line, &target, &filter, (self.now, None));
                    Push::new(target, filter.clone(), 0, name)
                })
                .collect();
            return self.publish_batch(by, pushes);
        }
        let mut again = None;
        for _ in 0..count {
            let message_id = if self.chance.one_in(3) {
                u128::from(self.chance.next()) << 1 | 1
            } else {
                0
            };
            let known_for = match message_id {
                0 => CONTENT_WINDOW,
                _ => ID_WINDOW,
            };
            let at = (self.now, Some(known_for));
            let name = self.ledger.publish(line, &target, &filter, at);
            let push = Rc::new(Push::new(target.clone(), filter.clone(), message_id, name));
            self.say(|| format!("{peer} publishes push {name:?} for {target:?}"));
            if message_id != 0 && self.chance.one_in(3) {
                again = Some(Rc::clone(&push));
            }
            self.send(peer, Message::Plain(Rc::clone(&push)));
            if message_id == 0 && self.chance.one_in(6) {
                // The same words once more: two pushes, not one.
                self.ledger
                    .publish_equal(line, name, &target, &filter, self.now);
                self.send(peer, Message::Plain(push));
            }
        }
        if let Some(push) = again {
            // A caller that did not see its answer repeats itself: one push, by its id.
            let at = self.now + self.chance.between(0, 3_000);
            self.at(at, Happening::Again(by, push));
        }
    }

    pub(crate) fn push_again(&mut self, by: usize, push: &Rc<Push>) {
        let peer = self.publishers[by].peer;
        if self.bus.is_up(peer) {
            self.say(|| format!("{peer} publishes push {:?} again", push.name));
            self.ledger.pushes.again(push.name);
            self.send(peer, Message::Plain(Rc::clone(push)));
        }
    }

    pub(crate) fn publish_batch(&mut self, by: usize, pushes: Vec<Push>) {
        let peer = self.publishers[by].peer;
        let Some(stream) = &mut self.publishers[by].stream else {
            return;
        };
        stream.seq += 1;
        stream.version += 1;
        let (publisher, seq, version) = (stream.publisher, stream.seq, stream.version);
        let names = || pushes.iter().map(|push| (push.name.1, &push.target));
        self.say(|| {
            format!(
                "{peer} publishes batch {seq}: {:?}",
                names().collect::<Vec<_>>()
            )
        });
        for after in TAILS {
            let at = self.now + after;
            self.at(at, Happening::Tail(by, version));
        }
        let pushes = Rc::new(pushes);
        let batch = Message::Batch {
            publisher,
            seq,
            pushes,
        };
        self.send(peer, batch);
    }

    pub(crate) fn tail(&mut self, by: usize, version: u64) {
        let peer = self.publishers[by].peer;
        let Some(stream) = self.publishers[by]
            .stream
            .as_ref()
            .filter(|stream| stream.version == version)
        else {
            return;
        };
        if !self.bus.is_up(peer) || !self.may_publish(peer) {
            return self.at(self.now + TAIL_RETRY, Happening::Tail(by, version));
        }
        let empty = Message::Batch {
            publisher: stream.publisher,
            seq: stream.seq,
            pushes: Rc::new(Vec::new()),
        };
        self.send(peer, empty);
    }

    fn some_target(&mut self) -> Target {
        match self.chance.between(0, 9) {
            0 => Target::All,
            1 => Target::Anonymous,
            _ => {
                let tab = self.chance.between(0, self.tabs.len() as u64 - 1) as usize;
                match &self.tabs[tab].login {
                    Some(uid) => Target::Uid(uid.clone()),
                    None => Target::Anonymous,
                }
            }
        }
    }

    fn some_filter(&mut self) -> Filter {
        let tab = self.chance.between(0, self.tabs.len() as u64 - 1) as usize;
        let client = self.tabs[tab].client.client().clone();
        match self.chance.between(0, 19) {
            0 => Filter::Only(client),
            1 => Filter::Except(client),
            _ => Filter::None,
        }
    }
}
