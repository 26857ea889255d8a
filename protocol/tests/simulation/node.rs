//! The server's side: sessions of one node, found by id, each with its bounds and its handlers.

use std::collections::BTreeMap;
use tengen_protocol::server::{AttachRefused, Attached, Bounds, Session};
use tengen_protocol::{
    ClientHello, Codec, Data, Millis, NodeId, ServerHello, SessionId, Transport, Uid,
};

/// How long a detached session is kept.
const SESSION_TTL: u64 = 20_000;

pub(crate) struct Node {
    pub(crate) bounds: Bounds,
    pub(crate) codec: Codec,
    /// Sessions with the connection that speaks to each.
    pub(crate) homes: BTreeMap<SessionId, (Session<()>, Option<u64>)>,
    id: NodeId,
    begun: u64,
}

impl Node {
    pub(crate) fn new(bounds: Bounds, codec: Codec) -> Node {
        Node {
            bounds,
            codec,
            homes: BTreeMap::new(),
            id: NodeId::parse("n1").unwrap(),
            begun: 0,
        }
    }

    /// Finds or begins the session of a hello; gives the connection that it superseded.
    pub(crate) fn hello(
        &mut self,
        hello: &ClientHello,
        uid: &Option<Uid>,
        connection: u64,
        now: Millis,
    ) -> Option<(SessionId, Attached, Option<u64>)> {
        let named = hello
            .session
            .as_ref()
            .filter(|id| self.homes.contains_key(*id))
            .cloned();
        if let Some(id) = named {
            let (session, speaks) = self.homes.get_mut(&id).unwrap();
            if session.uid() == uid.as_ref() {
                match session.attach(hello, Transport::Ws, now) {
                    Ok(attached) => {
                        let before = speaks.replace(connection);
                        self.greet(&id, &attached);
                        return Some((id, attached, before));
                    }
                    Err(AttachRefused::LowerAttempt { .. }) => return None,
                    Err(AttachRefused::NotThisSession) => {
                        panic!("our client named a session that is not its own")
                    }
                    Err(AttachRefused::Over | AttachRefused::Lost) => {}
                    Err(AttachRefused::Arriving | AttachRefused::Moved) => {
                        panic!("one node alone moves nothing")
                    }
                }
            }
            session.end();
        }
        self.begun += 1;
        let mut random = [0; 16];
        random[..8].copy_from_slice(&self.begun.to_le_bytes());
        let id = SessionId::new(&self.id, random);
        let mut session = Session::new(id.clone(), hello.client.clone(), uid.clone(), self.codec);
        let attached = session
            .attach(hello, Transport::Ws, now)
            .expect("a new session takes its first hello");
        self.homes.insert(id.clone(), (session, Some(connection)));
        self.greet(&id, &attached);
        Some((id, attached, None))
    }

    fn greet(&mut self, id: &SessionId, attached: &Attached) {
        let (session, _) = self.homes.get_mut(id).unwrap();
        let hello = ServerHello {
            session: id.clone(),
            resumed: attached.resumed,
            gap: attached.gap,
            received: attached.received,
            uid: session.uid().cloned(),
            data: Data::null(self.codec),
            ping_ms: self.bounds.ping_ms,
            max_bytes: self.bounds.limits.max_bytes as u64,
            node: self.id.clone(),
        };
        assert!(session.hello(attached.link, &hello));
    }

    /// Forgets sessions that nobody came back for, or that have ended and owe nothing.
    pub(crate) fn expire(&mut self, now: Millis) {
        for (session, _) in self.homes.values_mut() {
            if session
                .detached_since()
                .is_some_and(|since| now.0 >= since.0 + SESSION_TTL)
            {
                session.end();
            }
        }
    }
}
