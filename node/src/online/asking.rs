//! What a handle says about who is online: the sets, the counts, one user, every change.

use tengen_protocol::presence::who::Client;
use tengen_protocol::presence::{Counts, NotReady};
use tengen_protocol::{EventId, NodeId, Refusal, Uid};

use super::watching::Cursor;
use super::{ConnectedUids, Place, Watch};
use crate::Event;
use crate::handle::Handle;

/// A user's clients, as the nodes that have them say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserClients {
    /// Each with the node that it is on.
    pub clients: Vec<(NodeId, Client)>,
    /// Nodes that did not say, or not all.
    pub missing: Vec<NodeId>,
}

/// Who is online in the whole cluster. All but [`clients`](Handle::clients) is answered from this
/// node's own memory, without waiting, and as right as the node is
/// [ready](Handle::hears_cluster): a change anywhere is here within some 50 ms.
impl Handle {
    /// Everybody who is online, by transport. Copies the sets, some 200 ns for each user; to ask
    /// for one or to count is cheaper.
    pub fn connected_uids(&self) -> ConnectedUids {
        self.online.connected_uids()
    }

    /// How many are online, by transport, and how many clients have no uid. Costs the same for any
    /// number of users.
    pub fn counts(&self) -> Counts {
        self.online.view.see(|roster| roster.counts())
    }

    /// Whether a user is online, anywhere. A search in order, about a microsecond among a million;
    /// what is no uid is nobody's.
    pub fn is_online(&self, uid: impl AsRef<str>) -> bool {
        !self.places(uid).is_empty()
    }

    /// The nodes that a user is on, and by what. As [`is_online`](Self::is_online).
    pub fn places(&self, uid: impl AsRef<str>) -> Vec<Place> {
        Uid::parse(uid.as_ref()).map_or(Vec::new(), |uid| self.online.places(&uid))
    }

    /// With which clients a user is online, and for how long: asks the nodes that have them, and
    /// waits at most half a second for each, all at once.
    ///
    /// # Cancel safety
    /// May be dropped.
    pub async fn clients(&self, uid: impl AsRef<str>) -> UserClients {
        match Uid::parse(uid.as_ref()) {
            Ok(uid) => self.online.clients_of(&uid).await,
            Err(_) => UserClients::default(),
        }
    }

    /// Tells who is online, and then who comes, goes, or changes transport: each change once, no
    /// change that is none.
    pub fn watch(&self) -> Watch {
        self.online.watch(Cursor::new())
    }

    /// Whether this node hears the cluster and knows everybody's users. If not, what it says of who
    /// is online is what it last knew.
    ///
    /// # Errors
    /// [`NotReady`] says why not.
    pub fn hears_cluster(&self) -> Result<(), NotReady> {
        self.online.view.is_ready()
    }

    /// Shows the session that `event` came from who is online, by events of the name `id`, until it
    /// ends or is at another node. It is for handlers to decide who may see that.
    ///
    /// ```no_run
    /// # fn example(builder: tengen_node::NodeBuilder) -> tengen_node::NodeBuilder {
    /// use tengen_node::{AppError, Event, Handle};
    ///
    /// builder.on("example/who-is-online", async |event: Event, handle: Handle| {
    ///     handle
    ///         .watch_for(&event, "example/online")
    ///         .map_err(|refusal| AppError::new(1004, refusal.message))
    /// })
    /// # }
    /// ```
    ///
    /// The first event says `{reset: true, listed, ready, count: {ws, poll, any, anonymous: {ws, poll}},
    /// users: [{uid, nodes: [{node, ws, poll}]}]}`; what follows adds to the list, unless it says
    /// `reset` again: each user as they are now, on no node if gone. The numbers are those of all.
    /// Where more than 1,000 users are online `listed` is false, and only they are told. A session
    /// is told at most five times a second, and one that does not read is told nothing until it
    /// does, and then everything anew.
    ///
    /// A session that goes on at another node is to ask again there: a client does so whenever its
    /// state names another node or session than before.
    ///
    /// # Errors
    /// A [`Refusal`] if `id` is no event id, or one of the library's.
    pub fn watch_for(&self, event: &Event, id: &str) -> Result<(), Refusal> {
        let id = EventId::parse(id)?.unreserved()?;
        self.online.live.follow(&event.port, id);
        Ok(())
    }

    /// Shows the session that `event` came from nothing more.
    pub fn unwatch_for(&self, event: &Event) {
        self.online.live.leave(&event.port.id);
    }
}
