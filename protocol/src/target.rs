//! Whom a push is for: a user, those without one, everybody; and which of their clients.

use crate::ids::{ClientId, Uid};

/// For whom a push is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Every client of this user.
    Uid(Uid),
    /// Every client without a user.
    Anonymous,
    /// Every client.
    All,
}

/// Which clients of the target a push is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Filter {
    /// All of them.
    #[default]
    None,
    /// This one alone.
    Only(ClientId),
    /// All but this one.
    Except(ClientId),
}

impl Target {
    /// Whether a session of `uid`, or of nobody, is meant.
    pub fn means(&self, uid: Option<&Uid>) -> bool {
        match self {
            Target::Uid(target) => uid == Some(target),
            Target::Anonymous => uid.is_none(),
            Target::All => true,
        }
    }
}

impl Filter {
    /// Whether this client is let through.
    pub fn admits(&self, client: &ClientId) -> bool {
        match self {
            Filter::None => true,
            Filter::Only(only) => only == client,
            Filter::Except(except) => except != client,
        }
    }
}
