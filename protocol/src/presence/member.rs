//! The whole of presence at one node: its own users, its view of all, telling and following, joined.

mod asking;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use self::asking::Asked;
use super::rules::{Rule, holds};
use super::{
    Action, AskId, BadMessage, Channel, Diff, Epoch, Followed, Heard, Local, Message, NotReady,
    Options, Roster, Telling,
};
use crate::ids::{NodeId, Uid};
use crate::millis::Millis;
use crate::transport::Transport;

/// One node's presence. A driver feeds it with what happens, and carries out its
/// [`Action`]s after every call.
///
/// Nothing is queued for a bus that is down: beats say what was missed.
#[derive(Debug)]
pub struct Member {
    options: Options,
    /// The wall clock when `now` was `started`.
    wall_ms: u64,
    started: Millis,
    local: Local,
    roster: Roster,
    telling: Telling,
    life: Life,
    bus_up: bool,
    server_id: Arc<str>,
    next_beat: Millis,
    /// As the roster was told last.
    anonymous: [u64; 2],
    asks: BTreeMap<AskId, Asked>,
    last_ask: u64,
    actions: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// The bus has not been up yet.
    Born,
    /// Listens for its own id, until then.
    Listening(Millis),
    Living,
    /// Has said bye, or has to end.
    Left,
}

impl Member {
    /// `wall_ms` is the wall clock in milliseconds since 1970; `seed` only spreads retries.
    pub fn new(options: Options, wall_ms: u64, seed: u64, now: Millis) -> Member {
        Member {
            wall_ms,
            started: now,
            local: Local::new(options.clone()),
            roster: Roster::new(options.node.clone(), &options, seed, now),
            telling: Telling::new(options.node.clone(), options.handlers, seed, now),
            life: Life::Born,
            bus_up: false,
            server_id: Arc::clone(&options.server_id),
            next_beat: Millis::MAX,
            anonymous: [0; 2],
            asks: BTreeMap::new(),
            last_ask: 0,
            actions: Vec::new(),
            options,
        }
    }

    /// This node.
    pub fn node(&self) -> &NodeId {
        &self.options.node
    }

    /// One more client is here: its hello was accepted. Without a uid it is only counted.
    pub fn opened(&mut self, uid: Option<&Uid>, transport: Transport, now: Millis) {
        self.local.opened(uid, transport, now);
    }

    /// A client's connection is gone, for whatever reason, a release to another node among them.
    /// The user leaves after the grace, unless one of theirs is here again by then.
    pub fn closed(&mut self, uid: Option<&Uid>, transport: Transport, now: Millis) {
        self.local.closed(uid, transport, now);
    }

    /// A client that is here goes on by another transport: shows at once.
    pub fn switched(&mut self, uid: Option<&Uid>, from: Transport, to: Transport, now: Millis) {
        self.local.switched(uid, from, to, now);
    }

    /// A client that has [closed](Self::closed) its connection by `was` is back, by `by`: if that is
    /// another transport it shows at once.
    pub fn returned(&mut self, uid: Option<&Uid>, was: Transport, by: Transport, now: Millis) {
        self.local.returned(uid, was, by, now);
    }

    /// The session of a client that has [closed](Self::closed) its connection here belongs to node
    /// `to` now: the user leaves here soon after `to` has announced them, at the latest after the
    /// grace.
    pub fn handed_over(
        &mut self,
        uid: Option<&Uid>,
        transport: Transport,
        to: &NodeId,
        now: Millis,
    ) {
        let is_there = uid.is_some_and(|uid| {
            let mut places = self.roster.uid(uid);
            places.any(|(node, kinds)| node == to && kinds.has(transport))
        });
        self.local.handed_over(uid, transport, to, is_there, now);
    }

    /// A message came on a subject that all nodes hear.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing has changed then.
    pub fn heard(
        &mut self,
        channel: Channel,
        body: &Bytes,
        now: Millis,
    ) -> Result<Heard, BadMessage> {
        match channel {
            Channel::Presence => Ok(self.hear(Message::decode(body)?, now)),
            Channel::Changes if self.life == Life::Left => Ok(Heard::Old),
            Channel::Changes => {
                let followed = self.telling.heard(body, &mut self.roster, now)?;
                Ok(match followed {
                    Followed::Applied => Heard::Applied,
                    Followed::Old => Heard::Old,
                    Followed::Restarted => Heard::Gap,
                })
            }
        }
    }

    /// The bus is connected, to the server of this name, or is not.
    pub fn bus(&mut self, up: bool, server_id: &str, now: Millis) {
        if up && *self.server_id != *server_id {
            self.server_id = server_id.into();
        }
        if up && self.life == Life::Born {
            self.life = Life::Listening(now.plus(self.options.epoch_wait_ms));
        }
        if up && !self.bus_up && self.life == Life::Living {
            self.next_beat = now;
        }
        if up != self.bus_up {
            self.bus_up = up;
            self.roster.bus(up, now);
            self.telling.bus(up, now);
        }
    }

    /// Messages of this channel were lost before they reached this node, which was connected.
    pub fn missed(&mut self, channel: Channel, now: Millis) {
        // Deltas and beats have numbers and a digest: what is missing shows by itself.
        if channel == Channel::Changes && self.bus_up {
            self.telling.bus(true, now);
        }
    }

    /// The application's handlers have run for everything up to `n` of `epoch`, as
    /// [`Action::Told`] numbers it.
    pub fn handled(&mut self, epoch: Epoch, n: u64) {
        self.telling.handled(epoch, n);
    }

    /// A clean leave, after this node's last client was told to go: says bye. The others let its
    /// users wait the grace out, for they are on their way to other nodes. Everything that comes
    /// later is ignored.
    pub fn leave(&mut self, now: Millis) {
        if self.life == Life::Living {
            self.flush(now);
            self.telling.leave();
            self.carry_out_feed();
            if let Some(bye) = self.roster.bye() {
                self.publish(Channel::Presence, bye.encode());
            }
        }
        self.life = Life::Left;
    }

    /// Lets time pass. To be called at [`next`](Self::next), or earlier.
    pub fn tick(&mut self, now: Millis) {
        if self.life == Life::Left {
            return;
        }
        if let Life::Listening(until) = self.life
            && until <= now
            && self.bus_up
        {
            self.begin(now);
        }
        self.flush(now);
        self.roster.tick(now);
        self.beat(now);
        self.ask_for_users(now);
        self.tell(now);
    }

    /// When to call [`tick`](Self::tick), if nothing happens before.
    pub fn next(&self) -> Millis {
        let begins = match self.life {
            Life::Left => return Millis::MAX,
            Life::Listening(until) if self.bus_up => until,
            Life::Born | Life::Listening(_) | Life::Living => Millis::MAX,
        };
        let beat = match self.bus_up && self.life == Life::Living {
            true => self.next_beat,
            false => Millis::MAX,
        };
        begins
            .min(beat)
            .min(self.local.next())
            .min(self.roster.next())
            .min(self.telling.next(&self.roster))
    }

    /// What the driver is to do, in order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Who changed in the view since the last call.
    pub fn take_diffs(&mut self) -> Vec<Diff> {
        self.roster.take_diffs()
    }

    /// This node's view of all nodes and users.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The feed at this node, for its numbers.
    pub fn telling(&self) -> &Telling {
        &self.telling
    }

    /// Whether this node may speak for the cluster.
    ///
    /// # Errors
    /// [`NotReady`] says why not.
    pub fn ready(&self) -> Result<(), NotReady> {
        self.roster.ready()
    }

    /// Takes an epoch: above the clock of this machine, and above what was heard of an earlier life
    /// of this node whose clock was ahead.
    fn begin(&mut self, now: Millis) {
        let heard = self.roster.highest_own();
        let above = heard.map_or(0, |Epoch(epoch)| epoch.saturating_add(1));
        let above = if holds(Rule::EpochAboveHeard) {
            above
        } else {
            0
        };
        let wall_ms = self
            .wall_ms
            .saturating_add(now.0.saturating_sub(self.started.0));
        self.life = Life::Living;
        self.live(Epoch(wall_ms.max(above)), now);
    }

    fn live(&mut self, epoch: Epoch, now: Millis) {
        self.local.begin(epoch);
        self.roster.begin(epoch, now);
        let (seq, anonymous) = (self.local.seq(), self.local.anonymous());
        self.roster.own(epoch, seq, &[], anonymous, now);
        self.next_beat = now;
    }

    /// Tells what is to be told, if this node is the one; follows the feed otherwise.
    fn tell(&mut self, now: Millis) {
        let teller = self.roster.teller().cloned();
        let epoch = self.local.epoch().unwrap_or_default();
        self.telling
            .tick(teller.as_ref(), epoch, &mut self.roster, now);
        self.carry_out_feed();
    }

    fn hear(&mut self, message: Message, now: Millis) -> Heard {
        if self.life == Life::Left {
            return Heard::Old;
        }
        if let Message::Delta(delta) = &message
            && delta.node != self.options.node
        {
            self.local.announced_by(&delta.node, &delta.changes, now);
        }
        let heard = self.roster.hear(message, now);
        match heard {
            Heard::Usurped { epoch } if holds(Rule::UsurpedGoesAbove) => self.live(epoch, now),
            Heard::Duplicate => {
                self.life = Life::Left;
                let why = "another process has this node's id";
                self.actions.push(Action::Exit { why });
            }
            _ => {}
        }
        heard
    }

    /// Announces what is due of this node's own users: to itself at once, to the others if it can.
    fn flush(&mut self, now: Millis) {
        let deltas = self.local.tick(now);
        let Some(epoch) = self.local.epoch() else {
            return;
        };
        let anonymous = self.local.anonymous();
        if deltas.is_empty() && anonymous != self.anonymous {
            self.roster
                .own(epoch, self.local.seq(), &[], anonymous, now);
        }
        self.anonymous = anonymous;
        if !deltas.is_empty() && !holds(Rule::BeatsGoOn) {
            self.next_beat = now.plus(self.options.beat_ms);
        }
        for delta in deltas {
            self.roster
                .own(epoch, delta.seq, &delta.changes, anonymous, now);
            self.publish(Channel::Presence, Message::Delta(delta).encode());
        }
    }

    fn beat(&mut self, now: Millis) {
        if self.life != Life::Living || now < self.next_beat {
            return;
        }
        self.next_beat = now.plus(self.options.beat_ms);
        if self.bus_up {
            let beat = self.roster.beat(&self.server_id, now);
            self.publish(Channel::Presence, Message::Beat(beat).encode());
        }
    }

    fn publish(&mut self, channel: Channel, body: Bytes) {
        if self.bus_up || !holds(Rule::NothingIsQueued) {
            self.actions.push(Action::Publish { channel, body });
        }
    }
}
