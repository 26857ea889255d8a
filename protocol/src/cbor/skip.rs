//! Walks over one CBOR value: well-formed, within limits, without building anything.

use std::ops::Range;

use smallvec::SmallVec;

use super::{ARRAY, BREAK, BYTES, Head, MAP, SIMPLE, TAG, TEXT, head};
use crate::flaw::{Budget, Flaw};

/// An array, map or tag whose content has not been walked over yet.
enum Level {
    /// So many items are still due.
    Counted(u64),
    /// Items until a break; in a map an even number of them.
    Open { map: bool, odd: bool },
}

/// Where the value that begins at `at` ends.
pub(crate) fn skip(bytes: &[u8], mut at: usize, budget: &mut Budget) -> Result<usize, Flaw> {
    // No recursion: a hostile depth costs 16 bytes a level, up to the limit, and no stack.
    let mut levels: SmallVec<[Level; 32]> = SmallVec::new();
    loop {
        if let Some(end) = closing_break(bytes, at, &levels)? {
            levels.pop();
            at = end;
        } else {
            budget.element(at)?;
            let head = head(bytes, at)?;
            if let Some(level) = opened(&head, bytes, budget, at)? {
                budget.level(levels.len(), at)?;
                at = head.end;
                if !matches!(level, Level::Counted(0)) {
                    levels.push(level);
                    continue;
                }
            } else {
                at = leaf(&head, bytes, at)?;
            }
        }
        // Something is complete, and perhaps what it stood in as well.
        loop {
            match levels.last_mut() {
                None => return Ok(at),
                Some(Level::Counted(due)) => {
                    *due -= 1;
                    if *due > 0 {
                        break;
                    }
                    levels.pop();
                }
                Some(Level::Open { odd, .. }) => {
                    *odd = !*odd;
                    break;
                }
            }
        }
    }
}

/// The end of the break that closes the innermost level here, if one does.
fn closing_break(bytes: &[u8], at: usize, levels: &[Level]) -> Result<Option<usize>, Flaw> {
    match levels.last() {
        Some(Level::Open { map, odd }) if bytes.get(at) == Some(&BREAK) => {
            if *map && *odd {
                return Err(Flaw::malformed("map key without a value", at));
            }
            Ok(Some(at + 1))
        }
        _ => Ok(None),
    }
}

/// The level that this head opens, if it opens one.
fn opened(head: &Head, bytes: &[u8], budget: &Budget, at: usize) -> Result<Option<Level>, Flaw> {
    let level = match (head.major, head.argument) {
        (ARRAY, Some(count)) => Level::Counted(count),
        (MAP, Some(pairs)) => Level::Counted(pairs.checked_mul(2).ok_or(Flaw::too_many(at))?),
        (ARRAY, None) => Level::Open {
            map: false,
            odd: false,
        },
        (MAP, None) => Level::Open {
            map: true,
            odd: false,
        },
        (TAG, _) => Level::Counted(1),
        _ => return Ok(None),
    };
    if let Level::Counted(count) = level {
        // Every item takes a byte at least: a lie about the count is found here, not after
        // walking over all there is.
        if count > (bytes.len() - head.end) as u64 {
            return Err(Flaw::truncated(bytes.len()));
        }
        if count > budget.elements as u64 {
            return Err(Flaw::too_many(at));
        }
    }
    Ok(Some(level))
}

/// The end of a value that contains no others.
fn leaf(head: &Head, bytes: &[u8], at: usize) -> Result<usize, Flaw> {
    match (head.major, head.argument) {
        (BYTES, Some(length)) => head.content(bytes, length),
        (TEXT, Some(length)) => {
            let end = head.content(bytes, length)?;
            utf8(bytes, head.end..end)?;
            Ok(end)
        }
        (BYTES | TEXT, None) => {
            let mut end = head.end;
            for chunk in chunks(bytes, at)? {
                end = chunk?.end;
            }
            // The break.
            Ok(end + 1)
        }
        // 24 with a number below 32 is malformed; the other simple values have no meaning here.
        (SIMPLE, _) if !matches!(head.info, 20..=23 | 25..=27) => {
            Err(Flaw::malformed("unknown simple value", at))
        }
        _ => Ok(head.end),
    }
}

fn utf8(bytes: &[u8], text: Range<usize>) -> Result<(), Flaw> {
    let start = text.start;
    match simdutf8::basic::from_utf8(&bytes[text]) {
        Ok(_) => Ok(()),
        Err(_) => Err(Flaw::malformed("text is not utf-8", start)),
    }
}

/// The pieces of the byte or text string at `at`: one, or those up to the break. Text is checked
/// piece by piece, as RFC 8949 section 3.2.3 demands.
pub(crate) fn chunks(bytes: &[u8], at: usize) -> Result<Chunks<'_>, Flaw> {
    let first = head(bytes, at)?;
    Ok(Chunks {
        bytes,
        major: first.major,
        at: first.end,
        single: first.argument.map(|_| first),
    })
}

pub(crate) struct Chunks<'b> {
    bytes: &'b [u8],
    major: u8,
    at: usize,
    /// The head of a string of definite length, until its one piece has been given out.
    single: Option<Head>,
}

impl Chunks<'_> {
    fn piece(&mut self, head: &Head) -> Result<Range<usize>, Flaw> {
        let Some(length) = head.argument.filter(|_| head.major == self.major) else {
            return Err(Flaw::malformed(
                "piece of another kind in a string",
                self.at,
            ));
        };
        let end = head.content(self.bytes, length)?;
        if self.major == TEXT {
            utf8(self.bytes, head.end..end)?;
        }
        Ok(head.end..end)
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<Range<usize>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        // A definite string ends with its one piece: the marker below is never read for it.
        let head = match self.single.take() {
            Some(head) => {
                let piece = self.piece(&head);
                self.at = usize::MAX;
                return Some(piece);
            }
            None if self.at == usize::MAX || self.bytes.get(self.at) == Some(&BREAK) => {
                return None;
            }
            None => head(self.bytes, self.at),
        };
        let piece = head.and_then(|head| self.piece(&head));
        self.at = piece.as_ref().map_or(usize::MAX, |piece| piece.end);
        Some(piece)
    }
}
