//! What nodes tell each other to serve a poll request where its session is not: requests for the home, its answers, and "who holds this session?".

use core::net::SocketAddr;

use bytes::Bytes;

use crate::cbor;
use crate::codec::Codec;
use crate::ids::{NodeId, SessionId, Uid};
use crate::value::Value;

/// The version that every message begins with. A node ignores, and counts, any other.
pub const VERSION: u64 = 1;

const POLL: u64 = 32;
const POST: u64 = 33;
const WHO: u64 = 34;
const REST: u64 = 35;
const BODY: u64 = 40;
const REFUSED: u64 = 41;
const NOT_MINE: u64 = 42;
const MINE: u64 = 43;
const BEGUN: u64 = 44;
const PIECE: u64 = 45;

/// A message of these kinds that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRelay {
    /// Of a later version: a node that is newer than this one. Ignore it.
    #[error("version {0} of the relay messages is not known")]
    Version(u64),
    /// Another kind of message, perhaps for another part of the node.
    #[error("kind {0} is no relay message")]
    Kind(u64),
    /// Truncated, or with a field that is not what it should be.
    #[error("the relay message is malformed: {0}")]
    Malformed(&'static str),
}

/// A GET that another node holds for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayedPoll {
    pub session: SessionId,
    /// Whom the node that has the request takes the client for.
    pub uid: Option<Uid>,
    pub attempt: u64,
    pub n: u64,
    pub received: u64,
    /// How long the home may hold it, in milliseconds, before it answers with nothing.
    pub hold_ms: u64,
}

/// A POST that another node has taken from its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayedPost {
    pub session: SessionId,
    /// Whom the node that has the request takes the client for.
    pub uid: Option<Uid>,
    pub attempt: u64,
    pub first: u64,
    /// What the request's content type says.
    pub codec: Codec,
    /// From where the request came to the node that relays it.
    pub peer: SocketAddr,
    pub uri: String,
    /// Name and value in turn, in their order.
    pub headers: Vec<(String, Bytes)>,
    pub body: Bytes,
}

/// What a node asks of the home of a session, or of all nodes when it does not know the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToHome {
    /// To `tengen.node.<home>.poll`.
    Poll(RelayedPoll),
    /// To `tengen.node.<home>.post`.
    Post(RelayedPost),
    /// To `tengen.session`: only the home answers.
    Who(SessionId),
    /// To `tengen.node.<home>.poll`: what follows the first `from` bytes of a body that was
    /// [begun](FromHome::Begun) there.
    Rest { id: u128, from: u64 },
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromHome {
    /// The body of a 200, in this codec; empty = nothing.
    Body(Codec, Bytes),
    /// The status to refuse with, its `Tengen-Error`, and a text for people.
    Refused(u16, u32, String),
    /// The session is not here: ask elsewhere.
    NotMine,
    /// The answer to [`ToHome::Who`]; to anything else: it has gone to this node, ask there.
    Mine(NodeId),
    /// As `Body`, of a body of `total` bytes that one message of the bus cannot carry: the first of
    /// them. The rest is [asked for](ToHome::Rest) by `id`, within some seconds.
    Begun {
        codec: Codec,
        id: u128,
        total: u64,
        piece: Bytes,
    },
    /// The next bytes of a body that was begun. [`NotMine`](FromHome::NotMine) if it is not kept
    /// any more: the GET can be asked anew.
    Piece(Bytes),
}

impl ToHome {
    /// The message's bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            ToHome::Poll(poll) => message(
                POLL,
                [
                    text(poll.session.as_str()),
                    uid(&poll.uid),
                    number(poll.attempt),
                    number(poll.n),
                    number(poll.received),
                    number(poll.hold_ms),
                ],
            ),
            ToHome::Post(post) => {
                let headers = post.headers.iter();
                let headers = headers
                    .flat_map(|(name, value)| [text(name), Value::Bytes(value.clone())])
                    .collect();
                message(
                    POST,
                    [
                        text(post.session.as_str()),
                        uid(&post.uid),
                        number(post.attempt),
                        number(post.first),
                        codec(post.codec),
                        text(&post.peer.to_string()),
                        text(&post.uri),
                        Value::Array(headers),
                        Value::Bytes(post.body.clone()),
                    ],
                )
            }
            ToHome::Who(session) => message(WHO, [text(session.as_str())]),
            ToHome::Rest { id, from } => message(REST, [wide(*id), number(*from)]),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`BadRelay`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Result<ToHome, BadRelay> {
        let (kind, mut fields) = Fields::read(bytes)?;
        match kind {
            POLL => Ok(ToHome::Poll(RelayedPoll {
                session: fields.session()?,
                uid: fields.uid()?,
                attempt: fields.number()?,
                n: fields.number()?,
                received: fields.number()?,
                hold_ms: fields.number()?,
            })),
            POST => Ok(ToHome::Post(RelayedPost {
                session: fields.session()?,
                uid: fields.uid()?,
                attempt: fields.number()?,
                first: fields.number()?,
                codec: fields.codec()?,
                peer: fields
                    .text()?
                    .parse()
                    .map_err(|_| BadRelay::Malformed("peer"))?,
                uri: fields.text()?,
                headers: fields.headers()?,
                body: fields.bytes()?,
            })),
            WHO => Ok(ToHome::Who(fields.session()?)),
            REST => Ok(ToHome::Rest {
                id: fields.wide()?,
                from: fields.number()?,
            }),
            other => Err(BadRelay::Kind(other)),
        }
    }
}

impl FromHome {
    /// The message's bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            FromHome::Body(kind, body) => message(BODY, [codec(*kind), Value::Bytes(body.clone())]),
            FromHome::Refused(status, code, why) => message(
                REFUSED,
                [
                    number(u64::from(*status)),
                    number(u64::from(*code)),
                    text(why),
                ],
            ),
            FromHome::NotMine => message(NOT_MINE, []),
            FromHome::Mine(node) => message(MINE, [text(node.as_str())]),
            FromHome::Begun {
                codec: kind,
                id,
                total,
                piece,
            } => message(
                BEGUN,
                [
                    codec(*kind),
                    wide(*id),
                    number(*total),
                    Value::Bytes(piece.clone()),
                ],
            ),
            FromHome::Piece(piece) => message(PIECE, [Value::Bytes(piece.clone())]),
        }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// As [`ToHome::decode`].
    pub fn decode(bytes: &Bytes) -> Result<FromHome, BadRelay> {
        let (kind, mut fields) = Fields::read(bytes)?;
        match kind {
            BODY => Ok(FromHome::Body(fields.codec()?, fields.bytes()?)),
            REFUSED => {
                let status = u16::try_from(fields.number()?);
                let code = u32::try_from(fields.number()?);
                match (status, code) {
                    (Ok(status), Ok(code)) => Ok(FromHome::Refused(status, code, fields.text()?)),
                    _ => Err(BadRelay::Malformed("status or code")),
                }
            }
            NOT_MINE => Ok(FromHome::NotMine),
            MINE => {
                let node = NodeId::parse(&fields.text()?);
                node.map(FromHome::Mine)
                    .map_err(|_| BadRelay::Malformed("node id"))
            }
            BEGUN => Ok(FromHome::Begun {
                codec: fields.codec()?,
                id: fields.wide()?,
                total: fields.number()?,
                piece: fields.bytes()?,
            }),
            PIECE => Ok(FromHome::Piece(fields.bytes()?)),
            other => Err(BadRelay::Kind(other)),
        }
    }
}

fn message<const N: usize>(kind: u64, fields: [Value; N]) -> Bytes {
    let head = [number(VERSION), number(kind)];
    let whole = Value::Array(head.into_iter().chain(fields).collect());
    let mut out = Vec::new();
    // Two levels of values: too deep is the only thing that writing refuses.
    cbor::write(&whole, &mut out).expect("a flat message");
    out.into()
}

fn number(number: u64) -> Value {
    Value::Int(i128::from(number))
}

/// A number of 128 bits, most significant byte first.
fn wide(number: u128) -> Value {
    Value::Bytes(Bytes::copy_from_slice(&number.to_be_bytes()))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn uid(uid: &Option<Uid>) -> Value {
    uid.as_ref().map_or(Value::Null, |uid| text(uid.as_str()))
}

fn codec(codec: Codec) -> Value {
    number(match codec {
        Codec::Json => 0,
        Codec::Cbor => 1,
    })
}

/// The fields of a message, taken one after another; further ones are of a later time and ignored.
struct Fields(std::vec::IntoIter<Value>);

impl Fields {
    fn read(bytes: &Bytes) -> Result<(u64, Fields), BadRelay> {
        let value = cbor::read(bytes).map_err(|_| BadRelay::Malformed("not CBOR"))?;
        let Value::Array(fields) = value else {
            return Err(BadRelay::Malformed("not an array"));
        };
        let mut fields = Fields(fields.into_iter());
        match fields.number()? {
            VERSION => Ok((fields.number()?, fields)),
            other => Err(BadRelay::Version(other)),
        }
    }

    fn number(&mut self) -> Result<u64, BadRelay> {
        match self.0.next() {
            Some(Value::Int(number)) => {
                u64::try_from(number).map_err(|_| BadRelay::Malformed("a negative number"))
            }
            _ => Err(BadRelay::Malformed("a number is missing")),
        }
    }

    fn text(&mut self) -> Result<String, BadRelay> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(BadRelay::Malformed("a text is missing")),
        }
    }

    fn bytes(&mut self) -> Result<Bytes, BadRelay> {
        match self.0.next() {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ => Err(BadRelay::Malformed("bytes are missing")),
        }
    }

    fn wide(&mut self) -> Result<u128, BadRelay> {
        let bytes = self.bytes()?;
        let bytes = <[u8; 16]>::try_from(&bytes[..]);
        bytes
            .map(u128::from_be_bytes)
            .map_err(|_| BadRelay::Malformed("not 16 bytes"))
    }

    fn session(&mut self) -> Result<SessionId, BadRelay> {
        SessionId::parse(&self.text()?).map_err(|_| BadRelay::Malformed("session id"))
    }

    fn uid(&mut self) -> Result<Option<Uid>, BadRelay> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(Value::Text(uid)) => Uid::parse(&uid)
                .map(Some)
                .map_err(|_| BadRelay::Malformed("uid")),
            _ => Err(BadRelay::Malformed("a uid is missing")),
        }
    }

    fn codec(&mut self) -> Result<Codec, BadRelay> {
        match self.number()? {
            0 => Ok(Codec::Json),
            1 => Ok(Codec::Cbor),
            _ => Err(BadRelay::Malformed("codec")),
        }
    }

    fn headers(&mut self) -> Result<Vec<(String, Bytes)>, BadRelay> {
        let Some(Value::Array(flat)) = self.0.next() else {
            return Err(BadRelay::Malformed("headers are missing"));
        };
        let mut flat = Fields(flat.into_iter());
        let mut headers = Vec::with_capacity(flat.0.len() / 2);
        while flat.0.len() > 0 {
            headers.push((flat.text()?, flat.bytes()?));
        }
        Ok(headers)
    }
}
