//! Owns the two ways in which Parquet writes small numbers, levels and codes, one after the other: the same number so
//! many times, or numbers of a few bits each. What the numbers say is for `leaf`.

use std::ops::Range;

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

    /// Appends the next numbers; None where there are fewer.
    pub fn take<N: Copy>(
        &mut self,
        mut count: usize,
        numbers: &mut Vec<N>,
        of: impl Fn(u32) -> N + Copy,
    ) -> Option<()> {
        while count > 0 {
            match &mut self.run {
                Run::Same { left: 0, .. } => self.begin_run()?,
                Run::Packed { taken, count, .. } if taken == count => self.begin_run()?,
                Run::Same { number, left } => {
                    let taken = count.min(*left);
                    numbers.resize(numbers.len() + taken, of(*number));
                    *left -= taken;
                    count -= taken;
                }
                Run::Packed { start, taken, count: all } => {
                    let now = count.min(*all - *taken);
                    unpack(&self.bytes[*start..], self.width, *taken..*taken + now, numbers, of);
                    *taken += now;
                    count -= now;
                }
            }
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
                    let mut number = Vec::with_capacity(1);
                    unpack(&self.bytes[*start..], self.width, *taken..*taken + 1, &mut number, |number| {
                        number
                    });
                    return number.first().copied();
                }
            }
        }
    }

    fn begin_run(&mut self) -> Option<()> {
        let head = self.head()?;
        let rest = self.bytes.len() - self.at;
        if head & 1 == 0 {
            let bytes = self.width.div_ceil(8);
            let number = self.bytes.get(self.at..self.at + bytes)?;
            let number = number.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
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

    fn head(&mut self) -> Option<u64> {
        let mut head = 0;
        for shift in (0..35).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            head |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(head);
            }
        }
        None
    }
}

/// Appends the numbers of some places among those that are packed, the first in the lowest bits.
fn unpack<N: Copy>(
    bytes: &[u8],
    width: usize,
    places: Range<usize>,
    numbers: &mut Vec<N>,
    of: impl Fn(u32) -> N + Copy,
) {
    let (mut place, end) = (places.start, places.end);
    let to_group = end.min(place.next_multiple_of(GROUP));
    numbers.extend((place..to_group).map(|place| of(number(bytes, width, place))));
    place = to_group;
    let groups = (end - place) / GROUP;
    // A group begins at a byte.
    let packed = &bytes[place / GROUP * width..];
    let unpacked = match width {
        1 => unpack_groups::<1, N>(packed, groups, numbers, of),
        2 => unpack_groups::<2, N>(packed, groups, numbers, of),
        3 => unpack_groups::<3, N>(packed, groups, numbers, of),
        4 => unpack_groups::<4, N>(packed, groups, numbers, of),
        5 => unpack_groups::<5, N>(packed, groups, numbers, of),
        6 => unpack_groups::<6, N>(packed, groups, numbers, of),
        7 => unpack_groups::<7, N>(packed, groups, numbers, of),
        8 => unpack_groups::<8, N>(packed, groups, numbers, of),
        9 => unpack_groups::<9, N>(packed, groups, numbers, of),
        10 => unpack_groups::<10, N>(packed, groups, numbers, of),
        11 => unpack_groups::<11, N>(packed, groups, numbers, of),
        12 => unpack_groups::<12, N>(packed, groups, numbers, of),
        13 => unpack_groups::<13, N>(packed, groups, numbers, of),
        14 => unpack_groups::<14, N>(packed, groups, numbers, of),
        15 => unpack_groups::<15, N>(packed, groups, numbers, of),
        16 => unpack_groups::<16, N>(packed, groups, numbers, of),
        _ => 0,
    };
    place += unpacked * GROUP;
    numbers.extend((place..end).map(|place| of(number(bytes, width, place))));
}

/// Numbers that begin at a byte and end at one.
const GROUP: usize = 8;

/// Appends groups of numbers of `WIDTH` bits each, at most 16; gives how many groups.
#[inline(always)]
fn unpack_groups<const WIDTH: usize, N: Copy>(
    bytes: &[u8],
    groups: usize,
    numbers: &mut Vec<N>,
    of: impl Fn(u32) -> N + Copy,
) -> usize {
    let mask = (1 << WIDTH) - 1;
    let packed = bytes.as_chunks::<WIDTH>().0;
    let packed = &packed[..groups.min(packed.len())];
    numbers.reserve(packed.len() * GROUP);
    for group in packed {
        let mut word = [0; 16];
        word[..WIDTH].copy_from_slice(group);
        let number: [N; GROUP] = if WIDTH <= 8 {
            let word = u64::from_le_bytes(*word.first_chunk().expect("it is twice as long"));
            std::array::from_fn(|place| of((word >> (place * WIDTH)) as u32 & mask))
        } else {
            let word = u128::from_le_bytes(word);
            std::array::from_fn(|place| of((word >> (place * WIDTH)) as u32 & mask))
        };
        numbers.extend_from_slice(&number);
    }
    packed.len()
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
