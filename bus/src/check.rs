//! What may go onto the bus: lengths and characters, checked before any of it leaves the process.

use tengen_protocol::subject::MAX_SUBJECT_BYTES;

use crate::{error::PublishError, headers::Headers, message::Publish};

/// The longest reply subject, in bytes. nats-server cuts the whole connection of a client whose
/// protocol line is longer than 4,096 bytes; subject, reply and numbers share it.
pub const MAX_REPLY_BYTES: usize = 512;
/// The most that the headers of one message may take on the wire, in bytes.
pub const MAX_HEADER_BYTES: usize = 32 << 10;

pub(crate) fn publish(message: &Publish, max_payload: usize) -> Result<(), PublishError> {
    subject(&message.subject, MAX_SUBJECT_BYTES).map_err(PublishError::BadSubject)?;
    if let Some(reply) = &message.reply {
        subject(reply, MAX_REPLY_BYTES).map_err(PublishError::BadSubject)?;
    }
    let headers_len = headers(&message.headers)?;
    let bytes = headers_len + message.body.len();
    if bytes > max_payload {
        return Err(PublishError::TooLarge {
            bytes,
            max: max_payload,
        });
    }
    Ok(())
}

/// A subject that is published to: no wildcards.
pub(crate) fn subject(text: &str, max: usize) -> Result<(), &'static str> {
    tokens(text, max)?;
    if text.split('.').any(|token| token == "*" || token == ">") {
        return Err("a wildcard where none is allowed");
    }
    Ok(())
}

/// A pattern that is subscribed to: `*` for one token, `>` for the rest, at the end.
pub(crate) fn pattern(text: &str) -> Result<(), &'static str> {
    tokens(text, MAX_SUBJECT_BYTES)?;
    match text.split('.').position(|token| token == ">") {
        Some(place) if place != text.split('.').count() - 1 => Err("`>` is not the last token"),
        _ => Ok(()),
    }
}

/// The name of a queue group: one word on the protocol line.
pub(crate) fn queue(name: &str) -> Result<(), &'static str> {
    tokens(name, MAX_REPLY_BYTES)
}

fn tokens(text: &str, max: usize) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("empty");
    }
    if text.len() > max {
        return Err("too long");
    }
    // Byte by byte: whatever is below `!` ends a token of the NATS protocol line, and DEL is no
    // name; bytes of UTF-8 sequences pass.
    let mut previous = b'.';
    for byte in text.bytes() {
        if byte <= b' ' || byte == 0x7f {
            return Err("a blank or a control character");
        }
        if byte == b'.' && previous == b'.' {
            return Err("an empty token");
        }
        previous = byte;
    }
    if previous == b'.' {
        return Err("an empty token");
    }
    if !text.is_ascii() && text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("a blank or a control character");
    }
    Ok(())
}

fn headers(headers: &Headers) -> Result<usize, PublishError> {
    for (name, value) in headers.iter() {
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b':')
        {
            return Err(PublishError::BadHeader(
                "a name is visible ASCII without `:`",
            ));
        }
        if !value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        {
            return Err(PublishError::BadHeader(
                "a value is ASCII without control characters",
            ));
        }
        if value.starts_with(' ') || value.ends_with(' ') {
            return Err(PublishError::BadHeader(
                "a value begins and ends without a blank",
            ));
        }
    }
    let bytes = headers.wire_len();
    if bytes > MAX_HEADER_BYTES {
        return Err(PublishError::TooLarge {
            bytes,
            max: MAX_HEADER_BYTES,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
