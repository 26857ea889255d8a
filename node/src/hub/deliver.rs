//! How a push finds its sessions: looked up, filtered, encoded once per codec, put in line.

use std::sync::Arc;

use tengen_bus::push::{Filter, Target};
use tengen_protocol::server::Pushed;
use tengen_protocol::takeover::Identity;
use tengen_protocol::{Millis, NodeId, OutFrame, RawEvent};

use super::Hub;
use super::members::Crowd;
use super::port::Port;
use super::touched::Touched;
use super::user::User;
use crate::ingest::gap;

/// The sessions of this node at which a push is aimed.
pub(crate) enum Recipients<'a> {
    User(Arc<User>),
    Crowd(&'a Crowd),
}

/// How a push came here.
#[derive(Clone, Copy)]
pub(crate) enum Way<'a> {
    /// Through this node's own push subscription.
    Own,
    /// From the former holder of sessions that are here now, and meant for them alone.
    Forwarded { from: &'a NodeId, now: Millis },
}

impl Recipients<'_> {
    pub(crate) fn for_each(&self, f: impl FnMut(&Arc<Port>)) {
        match self {
            Recipients::User(user) => user.for_each(f),
            Recipients::Crowd(crowd) => crowd.for_each(f),
        }
    }
}

impl Hub {
    /// Who here is meant by `target`; `None` for a user without a session here. One hash lookup,
    /// and all that a stranger's push costs.
    pub(crate) fn recipients(&self, target: &Target) -> Option<Recipients<'_>> {
        match target {
            Target::Uid(uid) => self.groups.user(uid).map(Recipients::User),
            Target::Anonymous => Some(Recipients::Crowd(self.groups.anonymous())),
            Target::All => Some(Recipients::Crowd(self.groups.all())),
        }
    }

    /// Puts `event` in line for every recipient that `filter` lets through, and returns for how
    /// many. Encodes at most once per codec. Wakes nobody before [`settle`](Self::settle).
    pub(crate) fn deliver(
        &self,
        recipients: &Recipients<'_>,
        filter: &Filter,
        event: &RawEvent,
        identity: &Identity,
        way: Way<'_>,
        touched: &mut Touched,
    ) -> usize {
        let mut delivery = Delivery {
            hub: self,
            event,
            identity,
            way,
            frames: [None, None],
            count: 0,
        };
        recipients.for_each(|port| {
            let wanted = match filter {
                Filter::None => true,
                Filter::Only(client) => port.client == *client,
                Filter::Except(client) => port.client != *client,
            };
            if wanted {
                delivery.to(port, touched);
            }
        });
        delivery.count
    }

    /// Puts a `chsk/gap` item in line for every session that `scope` may touch.
    pub(crate) fn deliver_gap(&self, scope: &Target, reason: &str, touched: &mut Touched) {
        if let Some(recipients) = self.recipients(scope) {
            recipients.for_each(|port| {
                port.gap(reason, self.bounds(), touched);
                self.metrics.hub.gaps.increment();
            });
        }
    }
}

/// One push on its way to the sessions of this node.
struct Delivery<'a> {
    hub: &'a Hub,
    event: &'a RawEvent,
    identity: &'a Identity,
    way: Way<'a>,
    /// The frame per codec, made when the first session of that codec turns up; `Err` = it
    /// cannot be told in that codec.
    frames: [Option<Result<OutFrame, ()>>; 2],
    count: usize,
}

impl Delivery<'_> {
    fn to(&mut self, port: &Arc<Port>, touched: &mut Touched) {
        let frame = self.frames[port.codec as usize].get_or_insert_with(|| {
            let frame = self.event.to_frame(port.codec);
            frame.map_err(|_| self.hub.metrics.ingest.untranslatable.increment())
        });
        match frame {
            Ok(frame) => {
                let (identity, bounds) = (self.identity, self.hub.bounds());
                let pushed = match self.way {
                    Way::Own => port.push(frame, identity, bounds, touched),
                    Way::Forwarded { from, now } => port.forwarded(touched, |session| {
                        session.forwarded(from, identity, frame, now, bounds)
                    }),
                };
                self.count += usize::from(pushed == Pushed::Queued);
            }
            // A hole for this client alone, so it is told in its place.
            Err(()) => {
                let bounds = self.hub.bounds();
                match self.way {
                    Way::Own => port.gap(gap::CODEC, bounds, touched),
                    Way::Forwarded { from, .. } => port.forwarded(touched, |session| {
                        session.forwarded_gap(from, gap::CODEC, bounds)
                    }),
                };
            }
        }
    }
}
