//! Half-precision floats (IEEE 754 binary16), which CBOR uses for short numbers.

/// The number these 16 bits stand for.
pub(super) fn from_half(half: u16) -> f64 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(half >> 10 & 0x1f);
    let fraction = f64::from(half & 0x3ff);
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

/// The 16 bits that stand for exactly this number, if some do. Not for NaN.
pub(super) fn to_half(number: f32) -> Option<u16> {
    let bits = number.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let exponent = (bits >> 23 & 0xff) as i32 - 127;
    let fraction = bits & 0x7f_ffff;
    let magnitude = match exponent {
        -127 if fraction == 0 => 0,
        128 if fraction == 0 => 0x7c00,
        -14..=15 if fraction & 0x1fff == 0 => {
            ((exponent + 15) as u16) << 10 | (fraction >> 13) as u16
        }
        // Subnormal: the implicit one becomes explicit and moves right.
        -24..=-15 => {
            let shift = (-exponent - 1) as u32;
            let whole = fraction | 0x80_0000;
            if whole.trailing_zeros() < shift {
                return None;
            }
            (whole >> shift) as u16
        }
        _ => return None,
    };
    Some(sign | magnitude)
}
