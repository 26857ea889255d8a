//! What nodes ask each other about one user: with which clients it is there, and since when.

use bytes::Bytes;

use super::{BadMessage, Kinds, VERSION};
use crate::cbor;
use crate::codec::Codec;
use crate::data::Data;
use crate::ids::{ClientId, Uid};
use crate::limits::Limits;
use crate::transport::Transport;
use crate::value::Value;

const WHO: u64 = 1;
const HERE: u64 = 8;

/// Longest session hash: 16 bytes in base64url are 22.
const MAX_HASH_BYTES: usize = 64;
/// What an answer may be: 256 clients with the longest ids are 40 KiB.
const LIMITS: Limits = Limits {
    max_bytes: 256 << 10,
    max_depth: 8,
    max_elements: 16 << 10,
};

/// A request to `<prefix>.node.<id>.who`: `[1, 1, uid]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// About whom.
    pub uid: Uid,
}

/// The answer: `[1, 8, whole, [[client, session, kind, attached, age_ms, idle_ms, queue_items,
/// queue_bytes], …]]`. Times are ages, because the clocks of two machines differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// The user's sessions on that node, at most [`Here::MAX_CLIENTS`], in the order in which they
    /// came to it.
    pub clients: Vec<Client>,
    /// There are no more than these.
    pub whole: bool,
}

/// One session of a user, and the client that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The tab or device, by its own choice.
    pub client: ClientId,
    /// Names the session without being its id.
    pub session: String,
    /// What carries its connection, or carried the last one.
    pub transport: Transport,
    /// A connection is there at this moment, or GETs of a poll come.
    pub attached: bool,
    /// For how long the node has had the session, in milliseconds.
    pub age_ms: u64,
    /// How long ago anything last came from the client, in milliseconds.
    pub idle_ms: u64,
    /// Items that wait for the client or for its acknowledgement.
    pub queue_items: u64,
    /// The same in bytes, 32 per item for its place in line included.
    pub queue_bytes: u64,
}

impl Who {
    /// The question's bytes.
    pub fn encode(&self) -> Bytes {
        message(WHO, [Value::Text(self.uid.as_str().to_owned())])
    }

    /// Reads a question.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Result<Who, BadMessage> {
        let mut fields = open(bytes, WHO)?;
        let uid = Uid::parse(&fields.text()?).map_err(|_| BadMessage::Malformed("uid"))?;
        Ok(Who { uid })
    }
}

impl Here {
    /// Clients in one answer.
    pub const MAX_CLIENTS: usize = 256;

    /// The answer's bytes.
    pub fn encode(&self) -> Bytes {
        let clients = self.clients.iter().map(Client::fields).collect();
        message(HERE, [Value::Bool(self.whole), Value::Array(clients)])
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`BadMessage`]; nothing is guessed.
    pub fn decode(bytes: &Bytes) -> Result<Here, BadMessage> {
        let mut fields = open(bytes, HERE)?;
        let whole = fields.flag()?;
        let clients = fields.list()?;
        if clients.len() > Here::MAX_CLIENTS {
            return Err(BadMessage::Malformed("too many clients"));
        }
        let clients = clients.into_iter().map(Client::read);
        let clients = clients.collect::<Result<Vec<Client>, BadMessage>>()?;
        Ok(Here { clients, whole })
    }
}

impl Client {
    fn fields(&self) -> Value {
        Value::Array(vec![
            Value::Text(self.client.as_str().to_owned()),
            Value::Text(self.session.clone()),
            number(u64::from(Kinds::of(self.transport).code())),
            Value::Bool(self.attached),
            number(self.age_ms),
            number(self.idle_ms),
            number(self.queue_items),
            number(self.queue_bytes),
        ])
    }

    fn read(fields: Value) -> Result<Client, BadMessage> {
        let Value::Array(fields) = fields else {
            return Err(BadMessage::Malformed("a client is missing"));
        };
        let mut fields = Fields(fields.into_iter());
        let client = ClientId::parse(&fields.text()?);
        let client = client.map_err(|_| BadMessage::Malformed("client id"))?;
        let session = fields.text()?;
        if session.len() > MAX_HASH_BYTES {
            return Err(BadMessage::Malformed("session"));
        }
        let transport = match fields.number()? {
            1 => Transport::Ws,
            2 => Transport::Poll,
            _ => return Err(BadMessage::Malformed("transport")),
        };
        Ok(Client {
            client,
            session,
            transport,
            attached: fields.flag()?,
            age_ms: fields.number()?,
            idle_ms: fields.number()?,
            queue_items: fields.number()?,
            queue_bytes: fields.number()?,
        })
    }
}

fn number(number: u64) -> Value {
    Value::Int(i128::from(number))
}

fn message<const N: usize>(kind: u64, fields: [Value; N]) -> Bytes {
    let head = [number(VERSION), number(kind)];
    let mut out = Vec::new();
    // A few levels of values: too deep is the only thing that writing refuses.
    cbor::write(
        &Value::Array(head.into_iter().chain(fields).collect()),
        &mut out,
    )
    .expect("a shallow message");
    out.into()
}

/// The fields of an array in turn; further ones are of a later time and ignored.
struct Fields(std::vec::IntoIter<Value>);

fn open(bytes: &Bytes, kind: u64) -> Result<Fields, BadMessage> {
    if bytes.len() > LIMITS.max_bytes {
        return Err(BadMessage::TooLarge);
    }
    // Checked first, because a value takes fifty times the bytes of its encoding.
    let checked = Data::checked(Codec::Cbor, bytes.clone(), &LIMITS);
    let value = checked.and_then(|data| data.value());
    let Ok(Value::Array(fields)) = value else {
        return Err(BadMessage::Malformed("not an array"));
    };
    let mut fields = Fields(fields.into_iter());
    match fields.number()? {
        VERSION => {}
        other => return Err(BadMessage::Version(other)),
    }
    match fields.number()? {
        found if found == kind => Ok(fields),
        other => Err(BadMessage::Kind(other)),
    }
}

impl Fields {
    fn number(&mut self) -> Result<u64, BadMessage> {
        match self.0.next() {
            Some(Value::Int(number)) => {
                u64::try_from(number).map_err(|_| BadMessage::Malformed("a number"))
            }
            _ => Err(BadMessage::Malformed("a number is missing")),
        }
    }

    fn text(&mut self) -> Result<String, BadMessage> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(BadMessage::Malformed("a text is missing")),
        }
    }

    fn flag(&mut self) -> Result<bool, BadMessage> {
        match self.0.next() {
            Some(Value::Bool(flag)) => Ok(flag),
            _ => Err(BadMessage::Malformed("a flag is missing")),
        }
    }

    fn list(&mut self) -> Result<Vec<Value>, BadMessage> {
        match self.0.next() {
            Some(Value::Array(list)) => Ok(list),
            _ => Err(BadMessage::Malformed("a list is missing")),
        }
    }
}
