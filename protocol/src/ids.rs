//! The names of the conversation and their grammars: event ids, uids, client, node and session ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::codes::{ErrorCode, Refusal};

/// Defines a name: shared text that satisfied its grammar when it was made.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The text, exactly as given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = Refusal;

            fn from_str(text: &str) -> Result<$type, Refusal> {
                $type::parse(text)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = Refusal;

            fn try_from(text: &str) -> Result<$type, Refusal> {
                $type::parse(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = Refusal;

            fn try_from(text: String) -> Result<$type, Refusal> {
                $type::parse(&text)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        // Sound because equality, order and hash of the name are those of its text.
        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name! {
    /// The name of an event: `namespace/name`, exactly one `/`, each side 1–64 of
    /// `A–Z a–z 0–9 _ - . # ? !`.
    EventId
}
name! {
    /// A user as the application knows them: 1–256 bytes of UTF-8 without control characters.
    Uid
}
name! {
    /// One tab or device, chosen by itself: 1–64 of `A–Z a–z 0–9 _ -`.
    ClientId
}
name! {
    /// One node of the cluster: 1–40 of `a–z 0–9 -`.
    NodeId
}
name! {
    /// One session: `<node>.<22 base64url>`. Unguessable, and the only key to a session's queue,
    /// so it belongs in no log and no header towards a service. The node in it is the first to
    /// ask for the session, no more.
    SessionId
}

/// The namespace of the library's own events.
pub const RESERVED_NAMESPACE: &str = "chsk";

impl EventId {
    /// Told to a client whose item was refused: `{code, message, position}`.
    pub const ERROR: &'static str = "chsk/error";
    /// Stands in the queue where something is missing: `{reason}`.
    pub const GAP: &'static str = "chsk/gap";
    /// Told to the client's own application when its state changes: `[old, new]`.
    pub const STATE: &'static str = "chsk/state";
    /// Told to the client's own application at each hello: `[uid, data, first]`.
    pub const HANDSHAKE: &'static str = "chsk/handshake";
    /// Told to a handler of the server: a user's first client, on any node, has come.
    pub const UIDPORT_OPEN: &'static str = "chsk/uidport-open";
    /// Told to a handler of the server: a user's last client, on any node, has gone.
    pub const UIDPORT_CLOSE: &'static str = "chsk/uidport-close";

    /// Reads an event id; reserved ones are legal here, see [`EventId::is_reserved`].
    ///
    /// # Errors
    /// [`ErrorCode::NO_NAMESPACE`] without a `/` or with nothing before it, else
    /// [`ErrorCode::BAD_ID`]. The message never repeats the text, which may be long or hostile.
    pub fn parse(text: &str) -> Result<EventId, Refusal> {
        EventId::check(text)?;
        Ok(EventId(text.into()))
    }

    /// The grammar alone, without keeping the text.
    pub(crate) fn check(text: &str) -> Result<(), Refusal> {
        let Some((namespace, name)) = text.split_once('/') else {
            return Err(Refusal::new(
                ErrorCode::NO_NAMESPACE,
                "event id has no namespace",
            ));
        };
        if namespace.is_empty() {
            return Err(Refusal::new(
                ErrorCode::NO_NAMESPACE,
                "event id has an empty namespace",
            ));
        }
        let fits = |side: &str| (1..=64).contains(&side.len()) && side.bytes().all(is_event_byte);
        if fits(namespace) && fits(name) {
            Ok(())
        } else {
            Err(Refusal::new(
                ErrorCode::BAD_ID,
                "event id must be namespace/name, each 1-64 of A-Z a-z 0-9 _ - . # ? !",
            ))
        }
    }

    /// What stands before the `/`.
    pub fn namespace(&self) -> &str {
        self.0
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }

    /// What stands after the `/`.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }

    /// Whether this name belongs to the library: clients and services may not send it.
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }

    /// This id, if an application may send it.
    ///
    /// # Errors
    /// [`ErrorCode::RESERVED`] under `chsk/`.
    pub fn unreserved(self) -> Result<EventId, Refusal> {
        if self.is_reserved() {
            Err(reserved())
        } else {
            Ok(self)
        }
    }
}

pub(crate) fn is_reserved(event_id: &str) -> bool {
    event_id
        .split_once('/')
        .is_some_and(|(namespace, _)| namespace == RESERVED_NAMESPACE)
}

pub(crate) fn reserved() -> Refusal {
    Refusal::new(
        ErrorCode::RESERVED,
        "event ids under chsk/ belong to the library",
    )
}

fn is_event_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.#?!".contains(&byte)
}

impl Uid {
    /// Most bytes a uid may have.
    pub const MAX_BYTES: usize = 256;

    /// Reads a uid.
    ///
    /// # Errors
    /// [`ErrorCode::BAD_ID`] when empty, longer than 256 bytes, or with a control character.
    pub fn parse(text: &str) -> Result<Uid, Refusal> {
        let what = if text.is_empty() {
            "uid is empty"
        } else if text.len() > Uid::MAX_BYTES {
            "uid is longer than 256 bytes"
        } else if text.chars().any(char::is_control) {
            "uid contains a control character"
        } else {
            return Ok(Uid(text.into()));
        };
        Err(Refusal::new(ErrorCode::BAD_ID, what))
    }

    /// What was a uid before.
    pub(crate) fn known(text: &str) -> Uid {
        Uid(text.into())
    }
}

impl ClientId {
    /// Reads a client id.
    ///
    /// # Errors
    /// [`ErrorCode::BAD_ID`] outside the grammar.
    pub fn parse(text: &str) -> Result<ClientId, Refusal> {
        if (1..=64).contains(&text.len()) && text.bytes().all(is_base64url_byte) {
            Ok(ClientId(text.into()))
        } else {
            Err(Refusal::new(
                ErrorCode::BAD_ID,
                "client id must be 1-64 of A-Z a-z 0-9 _ -",
            ))
        }
    }

    /// A client id from 16 random bytes: 22 characters.
    pub fn new(random: [u8; 16]) -> ClientId {
        ClientId(URL_SAFE_NO_PAD.encode(random).into())
    }
}

impl NodeId {
    /// Reads a node id.
    ///
    /// # Errors
    /// [`ErrorCode::BAD_ID`] outside the grammar.
    pub fn parse(text: &str) -> Result<NodeId, Refusal> {
        let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=40).contains(&text.len()) && text.bytes().all(byte) {
            Ok(NodeId(text.into()))
        } else {
            Err(Refusal::new(
                ErrorCode::BAD_ID,
                "node id must be 1-40 of a-z 0-9 -",
            ))
        }
    }
}

impl SessionId {
    /// A new session's id. 128 random bits, so that nobody finds another's session by guessing.
    pub fn new(node: &NodeId, random: [u8; 16]) -> SessionId {
        SessionId(format!("{node}.{}", URL_SAFE_NO_PAD.encode(random)).into())
    }

    /// Reads a session id.
    ///
    /// # Errors
    /// [`ErrorCode::BAD_ID`] outside the grammar.
    pub fn parse(text: &str) -> Result<SessionId, Refusal> {
        let fits = text.split_once('.').is_some_and(|(node, random)| {
            NodeId::parse(node).is_ok()
                && random.len() == 22
                && random.bytes().all(is_base64url_byte)
        });
        if fits {
            Ok(SessionId(text.into()))
        } else {
            Err(Refusal::new(
                ErrorCode::BAD_ID,
                "session id must be <node>.<22 base64url>",
            ))
        }
    }

    /// The node that began the session, and the first to ask for it.
    pub fn node(&self) -> NodeId {
        NodeId(self.0.split_once('.').map_or("", |(node, _)| node).into())
    }
}

fn is_base64url_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

#[cfg(test)]
mod tests;
