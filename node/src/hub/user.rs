//! Who listens on this node: sessions by user, the anonymous ones, and all of them.

use std::sync::Arc;

use dashmap::DashMap;
use tengen_protocol::Uid;

use super::members::{Crowd, Members, Seat};
use super::port::Port;

/// The three ways a push finds its sessions.
pub(crate) struct Groups {
    users: DashMap<Uid, Arc<Members>>,
    anonymous: Crowd,
    all: Crowd,
}

impl Groups {
    pub(crate) fn new() -> Self {
        Self {
            users: DashMap::new(),
            anonymous: Crowd::new(Seat::Owner),
            all: Crowd::new(Seat::All),
        }
    }

    /// The sessions of `uid` here; one hash lookup, and all that a stranger's push costs.
    pub(crate) fn user(&self, uid: &Uid) -> Option<Arc<Members>> {
        self.users.get(uid).map(|entry| Arc::clone(&entry))
    }

    pub(crate) fn anonymous(&self) -> &Crowd {
        &self.anonymous
    }

    pub(crate) fn all(&self) -> &Crowd {
        &self.all
    }

    pub(crate) fn users(&self) -> usize {
        self.users.len()
    }

    fn add(&self, port: &Arc<Port>) {
        match &port.uid {
            None => self.anonymous.add(port),
            Some(uid) => loop {
                let entry = self.users.entry(uid.clone());
                let members =
                    Arc::clone(&entry.or_insert_with(|| Arc::new(Members::new(Seat::Owner))));
                if members.add(port) {
                    break;
                }
                // Its last client left between the two lines above.
                self.forget(uid, &members);
            },
        }
        self.all.add(port);
    }

    fn remove(&self, port: &Port) {
        self.all.remove(port);
        let Some(uid) = &port.uid else {
            return self.anonymous.remove(port);
        };
        if let Some(members) = self.user(uid) {
            members.remove(port);
            if members.close_if_empty() {
                self.forget(uid, &members);
            }
        }
    }

    /// Takes a closed set out of the map, unless another has taken its place.
    fn forget(&self, uid: &Uid, members: &Arc<Members>) {
        self.users
            .remove_if(uid, |_, current| Arc::ptr_eq(current, members));
    }
}

/// A session's place in its groups; dropping it takes the session out.
pub(crate) struct Registration {
    groups: Arc<Groups>,
    port: Arc<Port>,
}

impl Registration {
    pub(crate) fn new(groups: &Arc<Groups>, port: &Arc<Port>) -> Self {
        groups.add(port);
        Self {
            groups: Arc::clone(groups),
            port: Arc::clone(port),
        }
    }

    pub(crate) fn port(&self) -> &Arc<Port> {
        &self.port
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.groups.remove(&self.port);
    }
}
