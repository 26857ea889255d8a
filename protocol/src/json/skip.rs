//! Walks over one JSON value: well-formed, within limits, without building anything.

use smallvec::SmallVec;

use crate::flaw::{Budget, Flaw};

/// Where the space that begins at `at` ends.
pub(crate) fn space(bytes: &[u8], at: usize) -> usize {
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    at + bytes[at..].iter().take_while(is_space).count()
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Array,
    Object,
}

/// Where the value that begins at `at` ends. The whole text is known to be UTF-8.
pub(crate) fn skip(bytes: &[u8], mut at: usize, budget: &mut Budget) -> Result<usize, Flaw> {
    // No recursion: a hostile depth costs a byte a level, up to the limit, and no stack.
    let mut levels: SmallVec<[Level; 64]> = SmallVec::new();
    loop {
        budget.element(at)?;
        let first = *bytes.get(at).ok_or(Flaw::truncated(at))?;
        at = match first {
            b'[' | b'{' => {
                budget.level(levels.len(), at)?;
                let level = if first == b'[' {
                    Level::Array
                } else {
                    Level::Object
                };
                at = space(bytes, at + 1);
                if bytes.get(at) == Some(&closing(level)) {
                    at + 1
                } else {
                    levels.push(level);
                    if level == Level::Object {
                        at = key(bytes, at, budget)?;
                    }
                    continue;
                }
            }
            b'"' => string(bytes, at)?,
            b'-' | b'0'..=b'9' => number(bytes, at)?,
            b't' => word(bytes, at, b"true")?,
            b'f' => word(bytes, at, b"false")?,
            b'n' => word(bytes, at, b"null")?,
            _ => return Err(Flaw::malformed("not a value", at)),
        };
        // Something is complete, and perhaps what it stood in as well.
        loop {
            let Some(level) = levels.last().copied() else {
                return Ok(at);
            };
            at = space(bytes, at);
            match bytes.get(at) {
                Some(b',') => {
                    at = space(bytes, at + 1);
                    if level == Level::Object {
                        at = key(bytes, at, budget)?;
                    }
                    break;
                }
                Some(byte) if *byte == closing(level) => {
                    levels.pop();
                    at += 1;
                }
                Some(_) => return Err(Flaw::malformed("neither comma nor end", at)),
                None => return Err(Flaw::truncated(at)),
            }
        }
    }
}

fn closing(level: Level) -> u8 {
    match level {
        Level::Array => b']',
        Level::Object => b'}',
    }
}

/// Where the value after the key at `at` begins.
fn key(bytes: &[u8], at: usize, budget: &mut Budget) -> Result<usize, Flaw> {
    budget.element(at)?;
    if bytes.get(at) != Some(&b'"') {
        return Err(Flaw::malformed("no key", at));
    }
    let colon = space(bytes, string(bytes, at)?);
    if bytes.get(colon) != Some(&b':') {
        return Err(Flaw::malformed("no colon after a key", colon));
    }
    Ok(space(bytes, colon + 1))
}

/// Where the text whose quote is at `at` ends.
fn string(bytes: &[u8], mut at: usize) -> Result<usize, Flaw> {
    at += 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(bytes, at)?,
            Some(0..0x20) => return Err(Flaw::malformed("control character in a text", at)),
            Some(_) => at += 1,
            None => return Err(Flaw::truncated(at)),
        }
    }
}

/// Where the escape whose backslash is at `at` ends. Half of a surrogate pair is refused: no
/// Unicode text contains it, and each reader would make something else of it (RFC 7493).
fn escape(bytes: &[u8], at: usize) -> Result<usize, Flaw> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match unit(bytes, at)? {
            0xd800..=0xdbff => match unit(bytes, at + 6) {
                Ok(0xdc00..=0xdfff) => Ok(at + 12),
                _ => Err(Flaw::malformed("half a surrogate pair", at)),
            },
            0xdc00..=0xdfff => Err(Flaw::malformed("half a surrogate pair", at)),
            _ => Ok(at + 6),
        },
        Some(_) => Err(Flaw::malformed("unknown escape", at)),
        None => Err(Flaw::truncated(at + 1)),
    }
}

/// The UTF-16 unit of the `\uXXXX` at `at`.
pub(super) fn unit(bytes: &[u8], at: usize) -> Result<u16, Flaw> {
    let bad = Flaw::malformed("bad unicode escape", at);
    let hex = bytes
        .get(at..at + 6)
        .filter(|text| text.starts_with(b"\\u"))
        .ok_or(bad)?;
    hex[2..].iter().try_fold(0, |unit, byte| {
        let digit = (*byte as char).to_digit(16).ok_or(bad)?;
        Ok(unit << 4 | digit as u16)
    })
}

/// Where the number that begins at `at` ends.
fn number(bytes: &[u8], at: usize) -> Result<usize, Flaw> {
    let digits = |from: usize| {
        from + bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let some_digits = |from: usize| match digits(from) {
        end if end > from => Ok(end),
        end => Err(Flaw::malformed("no digit in a number", end)),
    };
    let start = if bytes[at] == b'-' { at + 1 } else { at };
    let mut end = some_digits(start)?;
    if bytes[start] == b'0' && end > start + 1 {
        return Err(Flaw::malformed("number with a leading zero", start));
    }
    if bytes.get(end) == Some(&b'.') {
        end = some_digits(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = some_digits((end + 1 + sign).min(bytes.len()))?;
    }
    Ok(end)
}

fn word(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, Flaw> {
    if bytes[at..].starts_with(word) {
        Ok(at + word.len())
    } else {
        Err(Flaw::malformed("not a value", at))
    }
}
