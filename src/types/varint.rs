//! Owns whole numbers as few bytes: seven bits in each, the lowest first, and a mark on all but the last.

pub fn push_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number off the front of `bytes`.
#[inline(always)]
pub fn take_varint(bytes: &mut &[u8]) -> u64 {
    match **bytes {
        // Most are small.
        [byte, ref rest @ ..] if byte < 0x80 => {
            *bytes = rest;
            u64::from(byte)
        }
        _ => take_long_varint(bytes),
    }
}

fn take_long_varint(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    number
}
