//! Owns the two ways in which Parquet writes small numbers, levels and codes, one after the other: the same number so
//! many times, or numbers of a few bits each. What the numbers say is for `leaf`.

use arrow_buffer::Buffer;

/// Numbers of one page.
pub struct Hybrid {
    bytes: Buffer,
    /// Where the next run begins.
    at: usize,
    /// Bits of a number.
    width: usize,
    run: Run,
}

/// What is left of the run that is read.
enum Run {
    Same {
        number: u32,
        left: usize,
    },
    Packed {
        /// Where its first number begins.
        start: usize,
        taken: usize,
        count: usize,
    },
}

impl Hybrid {
    /// None of numbers that are too large.
    pub fn new(bytes: Buffer, width: usize) -> Option<Hybrid> {
        let run = Run::Same { number: 0, left: if width == 0 { usize::MAX } else { 0 } };
        (width <= 32).then_some(Hybrid { bytes, at: 0, width, run })
    }

    /// Fills in what the next numbers stand for; None where there are fewer, or one stands for nothing.
    pub fn fill<N: Copy>(
        &mut self,
        mut numbers: &mut [N],
        of: impl Fn(u32) -> Option<N> + Copy,
    ) -> Option<()> {
        while !numbers.is_empty() {
            let now;
            match &mut self.run {
                Run::Same { left: 0, .. } => {
                    self.begin_run()?;
                    continue;
                }
                Run::Packed { taken, count, .. } if taken == count => {
                    self.begin_run()?;
                    continue;
                }
                Run::Same { number, left } => {
                    now = numbers.len().min(*left);
                    numbers[..now].fill(of(*number)?);
                    *left -= now;
                }
                Run::Packed { start, taken, count } => {
                    now = numbers.len().min(*count - *taken);
                    unpack(&self.bytes[*start..], self.width, *taken, &mut numbers[..now], of)?;
                    *taken += now;
                }
            }
            numbers = &mut numbers[now..];
        }
        Some(())
    }

    /// The next number, which stays where it is; None at the end.
    pub fn peek(&mut self) -> Option<u32> {
        loop {
            match &self.run {
                Run::Same { left: 0, .. } => self.begin_run()?,
                Run::Packed { taken, count, .. } if taken == count => self.begin_run()?,
                Run::Same { number, .. } => return Some(*number),
                Run::Packed { start, taken, .. } => {
                    return Some(number(&self.bytes[*start..], self.width, *taken));
                }
            }
        }
    }

    fn begin_run(&mut self) -> Option<()> {
        let head = take_number(&self.bytes, &mut self.at)?;
        let rest = self.bytes.len() - self.at;
        if head & 1 == 0 {
            let bytes = self.width.div_ceil(8);
            let number = self.bytes.get(self.at..self.at + bytes)?;
            let number = number.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
            if u64::from(number) >> self.width != 0 {
                return None;
            }
            self.run = Run::Same { number, left: (head >> 1) as usize };
            self.at += bytes;
        } else {
            // Eight numbers a group; some writers leave out what would fill the last one.
            let groups = (head >> 1) as usize;
            let bytes = groups.checked_mul(self.width)?.min(rest);
            self.run = Run::Packed { start: self.at, taken: 0, count: bytes * 8 / self.width };
            self.at += bytes;
        }
        Some(())
    }
}

/// The number at a place, of at most 35 bits, seven in each byte and the lowest first; what comes after it is at the
/// place then. None where the bytes end before it does.
pub fn take_number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Numbers that begin at a byte and end at one.
const GROUP: usize = 8;

/// Fills in what numbers stand for from a place on among those that are packed, the first in the lowest bits; None where
/// one stands for nothing.
fn unpack<N: Copy>(
    bytes: &[u8],
    width: usize,
    place: usize,
    numbers: &mut [N],
    of: impl Fn(u32) -> Option<N> + Copy,
) -> Option<()> {
    let one_by_one = |place: usize, numbers: &mut [N]| {
        for (own, place) in numbers.iter_mut().zip(place..) {
            *own = of(number(bytes, width, place))?;
        }
        Some(())
    };
    let before = (place.next_multiple_of(GROUP) - place).min(numbers.len());
    let (head, rest) = numbers.split_at_mut(before);
    one_by_one(place, head)?;
    let place = place + before;
    let packed = &bytes[place / GROUP * width..];
    let (groups, _) = rest.as_chunks_mut();
    let unpacked = match width {
        1 => unpack_groups::<1, N>(packed, groups, of)?,
        2 => unpack_groups::<2, N>(packed, groups, of)?,
        3 => unpack_groups::<3, N>(packed, groups, of)?,
        4 => unpack_groups::<4, N>(packed, groups, of)?,
        5 => unpack_groups::<5, N>(packed, groups, of)?,
        6 => unpack_groups::<6, N>(packed, groups, of)?,
        7 => unpack_groups::<7, N>(packed, groups, of)?,
        8 => unpack_groups::<8, N>(packed, groups, of)?,
        9 => unpack_groups::<9, N>(packed, groups, of)?,
        10 => unpack_groups::<10, N>(packed, groups, of)?,
        11 => unpack_groups::<11, N>(packed, groups, of)?,
        12 => unpack_groups::<12, N>(packed, groups, of)?,
        13 => unpack_groups::<13, N>(packed, groups, of)?,
        14 => unpack_groups::<14, N>(packed, groups, of)?,
        15 => unpack_groups::<15, N>(packed, groups, of)?,
        16 => unpack_groups::<16, N>(packed, groups, of)?,
        _ => 0,
    };
    one_by_one(place + unpacked * GROUP, &mut rest[unpacked * GROUP..])
}

/// Fills in groups of numbers of `WIDTH` bits each, at most 16; gives how many groups are whole.
#[inline(always)]
fn unpack_groups<const WIDTH: usize, N: Copy>(
    bytes: &[u8],
    groups: &mut [[N; GROUP]],
    of: impl Fn(u32) -> Option<N> + Copy,
) -> Option<usize> {
    let mask = (1 << WIDTH) - 1;
    let (packed, _) = bytes.as_chunks::<WIDTH>();
    for (group, packed) in groups.iter_mut().zip(packed) {
        let mut word = [0; 16];
        word[..WIDTH].copy_from_slice(packed);
        let word = u128::from_le_bytes(word);
        for (place, own) in group.iter_mut().enumerate() {
            let shift = place * WIDTH;
            let number = if WIDTH <= 8 { (word as u64 >> shift) as u32 } else { (word >> shift) as u32 };
            *own = of(number & mask)?;
        }
    }
    Some(groups.len().min(packed.len()))
}

fn number(bytes: &[u8], width: usize, place: usize) -> u32 {
    let bit = place * width;
    let from = &bytes[bit / 8..];
    let word = match from.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => from.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    (word >> (bit % 8) & (u64::MAX >> (64 - width))) as u32
}
