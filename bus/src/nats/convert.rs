//! Between the client library's messages and ours.

use async_nats::{HeaderMap, HeaderName, HeaderValue, message::OutboundMessage};

use crate::{
    headers::Headers,
    message::{Message, Publish, Subject},
};

/// A message that was checked before.
pub(super) fn outbound(message: Publish) -> OutboundMessage {
    let headers = (!message.headers.is_empty()).then(|| {
        let mut map = HeaderMap::new();
        for (name, value) in message.headers.iter() {
            // The plain conversions panic on what they do not like; the check lets none of it
            // through, and if it ever did, a header less is better than a dead connection.
            if let (Ok(name), Ok(value)) =
                (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
            {
                map.append(name, value);
            }
        }
        map
    });
    OutboundMessage {
        subject: message.subject.into_nats(),
        reply: message.reply.map(Subject::into_nats),
        payload: message.body,
        headers,
    }
}

pub(super) fn inbound(message: async_nats::Message) -> Message {
    let headers = message.headers.as_ref().map(headers).unwrap_or_default();
    Message {
        subject: Subject::from_nats(message.subject),
        reply: message.reply.map(Subject::from_nats),
        headers,
        body: message.payload,
    }
}

fn headers(map: &HeaderMap) -> Headers {
    map.iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name, value.as_str())))
        .map(|(name, value)| (name.to_string(), value.to_owned()))
        .collect()
}
