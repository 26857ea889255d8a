//! Answers who is online: a page, the counts, one user, a user's sessions on all nodes.

use std::time::Duration;

use futures_util::future::join_all;
use tengen_protocol::presence::Kinds;
use tengen_protocol::presence::who::Here;
use tengen_protocol::{Transport, Uid};

use super::query::Query;
use super::said::{
    Answer, Counted, Found, Listed, NodeName, OnNode, Said, Session, Sessions, There,
};
use super::{Online, UserClients};

/// Looks at the view for one answer: with few users among many of another transport a page may
/// have fewer users than there was room for.
const MAX_LOOKS: usize = 16;
/// How long a node may take to say with which clients a user is there.
const WHO_LIMIT: Duration = Duration::from_millis(500);

impl Online {
    /// Answers a question. From this node's memory, unless sessions are asked for.
    ///
    /// # Cancel safety
    /// May be dropped.
    pub(crate) async fn answer(&self, query: Query) -> Said<Answer> {
        let answer = match query {
            Query::Page { after, limit, only } => Answer::Page(self.page(after, limit, only)),
            Query::Count => Answer::Count(self.counted()),
            Query::One { uid, clients } => Answer::One(Box::new(self.one(&uid, clients).await)),
        };
        self.says(answer)
    }

    /// Puts the head of every answer in front of `what`.
    pub(crate) fn says<T>(&self, what: T) -> Said<T> {
        Said {
            node: (&self.node).into(),
            standing: self.standing(),
            what,
        }
    }

    pub(crate) fn counted(&self) -> Counted {
        self.view.see(|roster| roster.counts()).into()
    }

    fn page(&self, mut after: Option<Uid>, limit: usize, only: Option<Transport>) -> Listed {
        let mut uids = Vec::new();
        for _ in 0..MAX_LOOKS {
            let wanted = limit - uids.len();
            let page = self
                .view
                .see(|roster| roster.page(after.as_ref(), wanted, only));
            let there = page.users.iter();
            uids.extend(there.map(|(uid, kinds)| There::new(uid, *kinds)));
            after = page.next;
            if after.is_none() || uids.len() >= limit {
                break;
            }
        }
        Listed {
            uids,
            next: after.map(|uid| uid.as_str().to_owned()),
        }
    }

    async fn one(&self, uid: &Uid, clients: bool) -> Found {
        let places = self.places(uid);
        let kinds = places.iter().map(|place| place.kinds);
        let kinds = kinds.fold(Kinds::NONE, Kinds::union);
        let sessions = if clients {
            Some(self.sessions_of(uid).await)
        } else {
            None
        };
        Found {
            user: There::new(uid, kinds),
            nodes: places.iter().map(OnNode::from).collect(),
            sessions,
        }
    }

    /// A user's sessions on all nodes that are known to have some.
    ///
    /// # Cancel safety
    /// May be dropped.
    pub(crate) async fn sessions_of(&self, uid: &Uid) -> Sessions {
        let UserClients { clients, missing } = self.clients_of(uid).await;
        let clients = clients.into_iter();
        Sessions {
            sessions: clients
                .map(|(node, client)| Session::new(&node, Some(uid), client))
                .collect(),
            missing: missing.iter().map(NodeName::from).collect(),
        }
    }

    pub(super) async fn clients_of(&self, uid: &Uid) -> UserClients {
        let mut nodes: Vec<_> = self.places(uid).into_iter().map(|it| it.node).collect();
        if !nodes.contains(&self.node) {
            // A session that waits for its client is here too, when its user is online no more.
            nodes.push(self.node.clone());
        }
        let asked = nodes.iter().map(|node| self.who(node, uid, WHO_LIMIT));
        let mut found = UserClients::default();
        for (node, here) in nodes.iter().zip(join_all(asked).await) {
            let Here { clients, whole } = here.unwrap_or_default();
            let clients = clients.into_iter();
            found
                .clients
                .extend(clients.map(|client| (node.clone(), client)));
            if !whole {
                found.missing.push(node.clone());
            }
        }
        found
    }
}
