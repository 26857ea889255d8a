//! How a push finds its sessions: looked up, filtered, encoded once per codec, put in line.

use std::sync::Arc;

use tengen_bus::push::{Filter, Push, Target};
use tengen_protocol::{OutFrame, RawEvent};

use super::Hub;
use super::port::Port;
use super::touched::Touched;
use crate::ingest::gap;

impl Hub {
    /// Puts `push` in line for every session here that it is meant for, and returns for how many.
    ///
    /// Encodes at most once per codec. Wakes nobody before [`settle`](Self::settle).
    pub(crate) fn deliver(&self, push: &Push, event: &RawEvent, touched: &mut Touched) -> usize {
        let mut delivery = Delivery {
            hub: self,
            push,
            event,
            frames: [None, None],
            count: 0,
        };
        match &push.target {
            Target::Uid(uid) => match self.groups.user(uid) {
                Some(members) => members.for_each(|port| delivery.to(port, touched)),
                None => self.metrics.ingest.strangers.increment(),
            },
            Target::Anonymous => self
                .groups
                .anonymous()
                .for_each(|port| delivery.to(port, touched)),
            Target::All => self
                .groups
                .all()
                .for_each(|port| delivery.to(port, touched)),
        }
        delivery.count
    }

    /// Puts a `chsk/gap` item in line for every session that `scope` may touch.
    pub(crate) fn deliver_gap(&self, scope: &Target, reason: &str, touched: &mut Touched) {
        let gap = |port: &Arc<Port>| {
            port.gap(reason, self.bounds(), touched);
            self.metrics.hub.gaps.increment();
        };
        match scope {
            Target::Uid(uid) => {
                if let Some(members) = self.groups.user(uid) {
                    members.for_each(gap);
                }
            }
            Target::Anonymous => self.groups.anonymous().for_each(gap),
            Target::All => self.groups.all().for_each(gap),
        }
    }
}

/// One push on its way to the sessions of this node.
struct Delivery<'a> {
    hub: &'a Hub,
    push: &'a Push,
    event: &'a RawEvent,
    /// The frame per codec, made when the first session of that codec turns up; `Err` = it
    /// cannot be told in that codec.
    frames: [Option<Result<OutFrame, ()>>; 2],
    count: usize,
}

impl Delivery<'_> {
    fn to(&mut self, port: &Arc<Port>, touched: &mut Touched) {
        let wanted = match &self.push.filter {
            Filter::None => true,
            Filter::Only(client) => port.client == *client,
            Filter::Except(client) => port.client != *client,
        };
        if !wanted {
            return;
        }
        let frame = self.frames[port.codec as usize].get_or_insert_with(|| {
            self.event
                .to_frame(port.codec)
                .map_err(|_| self.hub.metrics.ingest.untranslatable.increment())
        });
        match frame {
            Ok(frame) => {
                port.push(frame, self.hub.bounds(), touched);
                self.count += 1;
            }
            // A hole for this client alone, so it is told in its place.
            Err(()) => {
                port.gap(gap::CODEC, self.hub.bounds(), touched);
            }
        }
    }
}
