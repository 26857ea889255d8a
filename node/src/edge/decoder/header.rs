//! Reads the header of a client's frame and checks what can be judged from it alone.

use fastwebsockets::OpCode;

use super::Violation;

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) opcode: OpCode,
    pub(super) fin: bool,
    pub(super) mask: [u8; 4],
    pub(super) len: u64,
}

pub(super) enum Parsed {
    /// The header, and how many bytes it took.
    Complete(Header, usize),
    /// At least so many bytes are needed before it is worth asking again.
    Incomplete { need: usize },
}

pub(super) fn is_control(opcode: OpCode) -> bool {
    matches!(opcode, OpCode::Close | OpCode::Ping | OpCode::Pong)
}

/// Parses the header at the start of `bytes` (RFC 6455 section 5.2).
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Violation> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(Parsed::Incomplete { need: 2 });
    };
    if first & 0x70 != 0 {
        return Err(Violation::ReservedBits);
    }
    let opcode = first & 0x0f;
    let opcode = OpCode::try_from(opcode).map_err(|_| Violation::UnknownOpcode(opcode))?;
    let fin = first & 0x80 != 0;
    if second & 0x80 == 0 {
        return Err(Violation::Unmasked);
    }
    let short = second & 0x7f;
    if is_control(opcode) {
        if !fin {
            return Err(Violation::FragmentedControl);
        }
        if short > 125 {
            return Err(Violation::LongControl);
        }
    }

    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let total = 2 + extended + 4;
    if bytes.len() < total {
        return Ok(Parsed::Incomplete { need: total });
    }
    let (length, rest) = rest.split_at(extended);
    let len = match extended {
        0 => u64::from(short),
        _ => length
            .iter()
            .fold(0, |len, byte| (len << 8) | u64::from(*byte)),
    };
    // The shortest form is a MUST; so is a zero in the highest bit of a 64-bit length.
    let shortest = match extended {
        2 => len > 125,
        8 => len > u64::from(u16::MAX) && len >> 63 == 0,
        _ => true,
    };
    if !shortest {
        return Err(Violation::LongLength);
    }
    let mask = [rest[0], rest[1], rest[2], rest[3]];
    Ok(Parsed::Complete(
        Header {
            opcode,
            fin,
            mask,
            len,
        },
        total,
    ))
}
