//! Writes and reads what a client says.

use bytes::Bytes;

use super::read::{Reading, kind, read};
use super::{ClientFrame, ClientHello, Undecodable};
use crate::codec::Codec;
use crate::codes::{ErrorCode, Refusal};
use crate::ids::{ClientId, SessionId};
use crate::limits::Limits;
use crate::writer::Writer;

impl ClientFrame {
    /// Writes the frame. Data in the other codec is transcoded; what cannot be, because it nests
    /// deeper than [`Limits::DEEPEST`], becomes null, so transcode first where that may happen.
    pub fn encode(&self, codec: Codec) -> Bytes {
        let frame = |length| Writer::array(codec, length);
        match self {
            ClientFrame::Hello(hello) => write_hello(frame(2).uint(kind::HELLO), hello).finish(),
            ClientFrame::Event { id, data } => frame(3)
                .uint(kind::EVENT)
                .text(id.as_str())
                .data(data)
                .finish(),
            ClientFrame::Request {
                request,
                id,
                data,
                timeout_ms,
            } => {
                let start = frame(5).uint(kind::REQUEST).uint(u64::from(*request));
                start
                    .text(id.as_str())
                    .data(data)
                    .uint(*timeout_ms)
                    .finish()
            }
            ClientFrame::Ack { received } => frame(2).uint(kind::ACK).uint(*received).finish(),
            ClientFrame::Ping { ahead: None } => frame(1).uint(kind::PING).finish(),
            ClientFrame::Ping { ahead: Some(bytes) } => {
                frame(2).uint(kind::PING).uint(*bytes).finish()
            }
            ClientFrame::Pong => frame(1).uint(kind::PONG).finish(),
            ClientFrame::Bye { code, reason } => frame(3)
                .uint(kind::BYE)
                .uint(u64::from(code.0))
                .text(reason)
                .finish(),
            ClientFrame::Error(refusal) => {
                let start = frame(3).uint(kind::ERROR).uint(u64::from(refusal.code.0));
                start.text(&refusal.message).finish()
            }
        }
    }

    /// Reads one complete frame.
    ///
    /// Costs two short passes; `data` stays a slice of `frame`, which lives as long as it does.
    ///
    /// # Errors
    /// [`Undecodable`]; it says whether the frame counts.
    // A Bytes costs as much to hand over as a reference to it, and every caller is done with it.
    #[expect(clippy::needless_pass_by_value, reason = "the frame's last use")]
    pub fn decode(codec: Codec, frame: Bytes, limits: &Limits) -> Result<ClientFrame, Undecodable> {
        read(codec, &frame, limits, |reading| match reading.kind {
            kind::HELLO => read_hello(reading).map(ClientFrame::Hello),
            kind::EVENT => Ok(ClientFrame::Event {
                id: reading.event_id(1)?.unreserved()?,
                data: reading.parts.data(2),
            }),
            kind::REQUEST => Ok(ClientFrame::Request {
                request: reading.request()?,
                id: reading.event_id(2)?.unreserved()?,
                data: reading.parts.data(3),
                timeout_ms: reading.uint_or(4, "timeout_ms", 0)?,
            }),
            kind::ACK => Ok(ClientFrame::Ack {
                received: reading.uint(1, "received")?,
            }),
            kind::PING => Ok(ClientFrame::Ping {
                ahead: reading.optional_uint(1, "ping bytes")?,
            }),
            kind::PONG => Ok(ClientFrame::Pong),
            kind::BYE => Ok(ClientFrame::Bye {
                code: reading.close_code()?,
                reason: reading.text_or_empty(2),
            }),
            kind::ERROR => Ok(ClientFrame::Error(reading.refusal(1)?)),
            _ => Err(reading.unknown_kind()),
        })
    }
}

fn write_hello(frame: Writer, hello: &ClientHello) -> Writer {
    let optional = [
        hello.session.is_some(),
        hello.received.is_some(),
        hello.params.is_some(),
    ];
    let length = 2 + optional.into_iter().filter(|present| *present).count() as u64;
    let mut map = frame.map(length).key("client").text(hello.client.as_str());
    map = map.key("attempt").uint(hello.attempt);
    if let Some(session) = &hello.session {
        map = map.key("session").text(session.as_str());
    }
    if let Some(received) = hello.received {
        map = map.key("received").uint(received);
    }
    if let Some(params) = &hello.params {
        map = map.key("params").data(params);
    }
    map.end_map()
}

fn read_hello(reading: &Reading<'_>) -> Result<ClientHello, Refusal> {
    let names = ["client", "attempt", "session", "received", "params"];
    let [client, attempt, session, received, params] = reading.fields(names)?;
    let client = client
        .and_then(|part| part.text())
        .ok_or_else(|| Refusal::new(ErrorCode::BAD_ID, "hello has no client id"))?;
    let present = |part: &crate::parts::Part<'_>| !part.is_null();
    Ok(ClientHello {
        client: ClientId::parse(&client)?,
        attempt: attempt
            .and_then(|part| part.uint())
            .ok_or_else(|| Refusal::new(ErrorCode::BAD_EVENT, "hello has no attempt"))?,
        session: match session.filter(present) {
            Some(part) => Some(SessionId::parse(&part.text().unwrap_or_default())?),
            None => None,
        },
        received: match received.filter(present) {
            Some(part) => Some(part.uint().ok_or_else(|| {
                Refusal::new(ErrorCode::BAD_EVENT, "received must be a whole number")
            })?),
            None => None,
        },
        params: params.map(|part| part.data()),
    })
}
