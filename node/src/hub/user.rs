//! Who listens on this node: sessions by user, the anonymous ones, and all of them.

use std::sync::Arc;

use dashmap::DashMap;
use tengen_protocol::Uid;

use super::members::{Crowd, Members, Seat};
use super::port::Port;
use crate::interest::{Routing, Want};

/// One user's sessions here, and the node's interest in that user, which ends with them.
pub(crate) struct User {
    members: Members,
    _want: Option<Want>,
}

impl std::ops::Deref for User {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.members
    }
}

/// The three ways a push finds its sessions.
pub(crate) struct Groups {
    users: DashMap<Uid, Arc<User>>,
    routing: Arc<dyn Routing>,
    anonymous: Crowd,
    all: Crowd,
}

impl Groups {
    pub(crate) fn new(routing: Arc<dyn Routing>) -> Self {
        Self {
            users: DashMap::new(),
            routing,
            anonymous: Crowd::new(Seat::Owner),
            all: Crowd::new(Seat::All),
        }
    }

    /// The sessions of `uid` here; one hash lookup, and all that a stranger's push costs.
    pub(crate) fn user(&self, uid: &Uid) -> Option<Arc<User>> {
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
                let user = self.user(uid).unwrap_or_else(|| self.insert(uid));
                if user.members.add(port) {
                    break;
                }
                // Its last client left between the two lines above.
                self.forget(uid, &user);
            },
        }
        self.all.add(port);
    }

    fn remove(&self, port: &Port) {
        self.all.remove(port);
        let Some(uid) = &port.uid else {
            return self.anonymous.remove(port);
        };
        if let Some(user) = self.user(uid) {
            user.members.remove(port);
            if user.members.close_if_empty() {
                self.forget(uid, &user);
            }
        }
    }

    /// Takes a closed set out of the map, unless another has taken its place.
    fn forget(&self, uid: &Uid, user: &Arc<User>) {
        self.users
            .remove_if(uid, |_, current| Arc::ptr_eq(current, user));
    }

    fn insert(&self, uid: &Uid) -> Arc<User> {
        // Outside of the map's lock: what a routing does for it is not ours to know.
        let want = self.routing.want(uid);
        let user = Arc::new(User {
            members: Members::new(Seat::Owner),
            _want: want,
        });
        Arc::clone(&self.users.entry(uid.clone()).or_insert(user))
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
