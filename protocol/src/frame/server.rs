//! Writes and reads what a server says.

use bytes::Bytes;

use super::read::{Reading, kind, read};
use super::{ServerFrame, ServerHello, Undecodable};
use crate::codec::Codec;
use crate::codes::{ErrorCode, Refusal};
use crate::data::Data;
use crate::ids::{NodeId, SessionId, Uid};
use crate::limits::Limits;
use crate::parts::Part;
use crate::writer::Writer;

impl ServerFrame {
    /// Writes the frame. Data in the other codec is transcoded; what cannot be, because it nests
    /// deeper than [`Limits::DEEPEST`], becomes null, and a reply that refusal.
    pub fn encode(&self, codec: Codec) -> Bytes {
        let frame = |length| Writer::array(codec, length);
        match self {
            ServerFrame::Hello(hello) => write_hello(frame(2).uint(kind::HELLO), hello).finish(),
            ServerFrame::Event { id, data } => frame(3)
                .uint(kind::EVENT)
                .text(id.as_str())
                .data(data)
                .finish(),
            ServerFrame::Reply { request, outcome } => {
                let start = frame(4).uint(kind::REPLY).uint(u64::from(*request));
                let transcoded = match outcome {
                    Ok(data) => data.transcode(codec),
                    Err(refusal) => Err(refusal.clone()),
                };
                match transcoded {
                    Ok(data) => start.uint(0).data(&data).finish(),
                    Err(refusal) => start
                        .uint(u64::from(refusal.code.0))
                        .text(&refusal.message)
                        .finish(),
                }
            }
            ServerFrame::Ack {
                received,
                sent: Some(sent),
            } => frame(3)
                .uint(kind::ACK)
                .uint(*received)
                .uint(*sent)
                .finish(),
            ServerFrame::Ack {
                received,
                sent: None,
            } => frame(2).uint(kind::ACK).uint(*received).finish(),
            ServerFrame::Ping { ahead: None } => frame(1).uint(kind::PING).finish(),
            ServerFrame::Ping { ahead: Some(bytes) } => {
                frame(2).uint(kind::PING).uint(*bytes).finish()
            }
            ServerFrame::Pong => frame(1).uint(kind::PONG).finish(),
            ServerFrame::Bye {
                code,
                reason,
                after_ms,
                window_ms,
            } => {
                let start = frame(5)
                    .uint(kind::BYE)
                    .uint(u64::from(code.0))
                    .text(reason);
                start.uint(*after_ms).uint(*window_ms).finish()
            }
            ServerFrame::Error(refusal) => {
                let start = frame(3).uint(kind::ERROR).uint(u64::from(refusal.code.0));
                start.text(&refusal.message).finish()
            }
        }
    }

    /// Reads one complete frame. A client passes [`Limits::from_server`].
    ///
    /// Costs two short passes; `data` stays a slice of `frame`, which lives as long as it does.
    ///
    /// # Errors
    /// [`Undecodable`]; it says whether the frame counts.
    // A Bytes costs as much to hand over as a reference to it, and every caller is done with it.
    #[expect(clippy::needless_pass_by_value, reason = "the frame's last use")]
    pub fn decode(codec: Codec, frame: Bytes, limits: &Limits) -> Result<ServerFrame, Undecodable> {
        read(codec, &frame, limits, |reading| match reading.kind {
            kind::HELLO => read_hello(reading).map(ServerFrame::Hello),
            kind::EVENT => Ok(ServerFrame::Event {
                id: reading.event_id(1)?,
                data: reading.parts.data(2),
            }),
            kind::REPLY => {
                let request = reading.request()?;
                let outcome = match reading.uint(2, "error code")? {
                    0 => Ok(reading.parts.data(3)),
                    _ => Err(reading.refusal(2)?),
                };
                Ok(ServerFrame::Reply { request, outcome })
            }
            kind::ACK => Ok(ServerFrame::Ack {
                received: reading.uint(1, "received")?,
                sent: reading.optional_uint(2, "sent")?,
            }),
            kind::PING => Ok(ServerFrame::Ping {
                ahead: reading.optional_uint(1, "ping bytes")?,
            }),
            kind::PONG => Ok(ServerFrame::Pong),
            kind::BYE => Ok(ServerFrame::Bye {
                code: reading.close_code()?,
                reason: reading.text_or_empty(2),
                after_ms: reading.uint_or(3, "after_ms", 0)?,
                window_ms: reading.uint_or(4, "window_ms", 0)?,
            }),
            kind::ERROR => Ok(ServerFrame::Error(reading.refusal(1)?)),
            _ => Err(reading.unknown_kind()),
        })
    }
}

fn write_hello(frame: Writer, hello: &ServerHello) -> Writer {
    let map = frame.map(9).key("session").text(hello.session.as_str());
    let map = map
        .key("resumed")
        .boolean(hello.resumed)
        .key("gap")
        .boolean(hello.gap);
    let map = map.key("received").uint(hello.received).key("uid");
    let map = match &hello.uid {
        Some(uid) => map.text(uid.as_str()),
        None => map.null(),
    };
    let map = map
        .key("data")
        .data(&hello.data)
        .key("ping_ms")
        .uint(hello.ping_ms);
    map.key("max_bytes")
        .uint(hello.max_bytes)
        .key("node")
        .text(hello.node.as_str())
        .end_map()
}

fn read_hello(reading: &Reading<'_>) -> Result<ServerHello, Refusal> {
    let names = [
        "session",
        "resumed",
        "gap",
        "received",
        "uid",
        "data",
        "ping_ms",
        "max_bytes",
        "node",
    ];
    let [
        session,
        resumed,
        gap,
        received,
        uid,
        data,
        ping_ms,
        max_bytes,
        node,
    ] = reading.fields(names)?;
    let missing = |what: &str| Refusal::new(ErrorCode::BAD_EVENT, format!("hello has no {what}"));
    let text = |part: Option<Part<'_>>| part.and_then(|part| part.text().map(String::from));
    let uint =
        |part: Option<Part<'_>>, what| part.and_then(|p| p.uint()).ok_or_else(|| missing(what));
    let truth =
        |part: Option<Part<'_>>, what| part.and_then(|p| p.boolean()).ok_or_else(|| missing(what));
    Ok(ServerHello {
        session: SessionId::parse(&text(session).ok_or_else(|| missing("session"))?)?,
        resumed: truth(resumed, "resumed")?,
        gap: truth(gap, "gap")?,
        received: uint(received, "received")?,
        uid: match uid.filter(|part| !part.is_null()) {
            Some(part) => Some(Uid::parse(&part.text().unwrap_or_default())?),
            None => None,
        },
        data: data.map_or_else(|| Data::null(reading.parts.codec), |part| part.data()),
        ping_ms: uint(ping_ms, "ping_ms")?,
        max_bytes: uint(max_bytes, "max_bytes")?,
        node: NodeId::parse(&text(node).ok_or_else(|| missing("node"))?)?,
    })
}
