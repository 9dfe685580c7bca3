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
    pub fn fill<N: Copy>(&mut self, numbers: &mut [N], of: impl Fn(u32) -> Option<N> + Copy) -> Option<()> {
        self.fill_by(numbers, of, |width, packed, groups| match width {
            1 => unpack_groups::<1, N>(packed, groups, of),
            2 => unpack_groups::<2, N>(packed, groups, of),
            3 => unpack_groups::<3, N>(packed, groups, of),
            4 => unpack_groups::<4, N>(packed, groups, of),
            5 => unpack_groups::<5, N>(packed, groups, of),
            6 => unpack_groups::<6, N>(packed, groups, of),
            7 => unpack_groups::<7, N>(packed, groups, of),
            8 => unpack_groups::<8, N>(packed, groups, of),
            9 => unpack_groups::<9, N>(packed, groups, of),
            10 => unpack_groups::<10, N>(packed, groups, of),
            11 => unpack_groups::<11, N>(packed, groups, of),
            12 => unpack_groups::<12, N>(packed, groups, of),
            13 => unpack_groups::<13, N>(packed, groups, of),
            14 => unpack_groups::<14, N>(packed, groups, of),
            15 => unpack_groups::<15, N>(packed, groups, of),
            16 => unpack_groups::<16, N>(packed, groups, of),
            _ => Some(0),
        })
    }

    /// Fills in the next levels, which are numbers of a byte; None where there are fewer.
    pub fn fill_levels(&mut self, levels: &mut [u8]) -> Option<()> {
        let of = |level| Some(level as u8);
        self.fill_by(levels, of, |width, packed, groups| match width {
            1 => Some(unpack_levels::<1>(packed, groups)),
            2 => Some(unpack_levels::<2>(packed, groups)),
            3 => Some(unpack_levels::<3>(packed, groups)),
            4 => Some(unpack_levels::<4>(packed, groups)),
            _ => Some(0),
        })
    }

    /// `unpack` fills in numbers so many bits wide, as many groups as are whole, and gives how many.
    #[inline(always)]
    fn fill_by<N: Copy>(
        &mut self,
        mut numbers: &mut [N],
        of: impl Fn(u32) -> Option<N> + Copy,
        unpack: impl Fn(usize, &[u8], &mut [[N; GROUP]]) -> Option<usize>,
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
                    let (bytes, width, place) = (&self.bytes[*start..], self.width, *taken);
                    let one_by_one = |place: usize, numbers: &mut [N]| {
                        for (own, place) in numbers.iter_mut().zip(place..) {
                            *own = of(number(bytes, width, place))?;
                        }
                        Some(())
                    };
                    let before = (place.next_multiple_of(GROUP) - place).min(now);
                    let (head, rest) = numbers[..now].split_at_mut(before);
                    one_by_one(place, head)?;
                    let place = place + before;
                    let unpacked = unpack(width, &bytes[place / GROUP * width..], rest.as_chunks_mut().0)?;
                    one_by_one(place + unpacked * GROUP, &mut rest[unpacked * GROUP..])?;
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

/// Fills in groups of levels of `WIDTH` bits each, at most 4; gives how many groups are whole.
#[inline(always)]
fn unpack_levels<const WIDTH: usize>(bytes: &[u8], groups: &mut [[u8; GROUP]]) -> usize {
    // So many bits at each so many others.
    let every = |distance: usize, bits: usize| u64::MAX / (u64::MAX >> (64 - distance)) * ((1 << bits) - 1);
    let (packed, _) = bytes.as_chunks::<WIDTH>();
    for (group, packed) in groups.iter_mut().zip(packed) {
        let mut word = [0; 8];
        word[..WIDTH].copy_from_slice(packed);
        // Halves of what is together part until each level has a byte of its own.
        let mut word = u64::from_le_bytes(word);
        word = (word | word << (32 - 4 * WIDTH)) & every(32, 4 * WIDTH);
        word = (word | word << (16 - 2 * WIDTH)) & every(16, 2 * WIDTH);
        word = (word | word << (8 - WIDTH)) & every(8, WIDTH);
        *group = word.to_le_bytes();
    }
    groups.len().min(packed.len())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers, packed after the head of their run, and read again some at a time.
    fn read<N: Copy + Default>(
        numbers: &[u32],
        width: usize,
        mut fill: impl FnMut(&mut Hybrid, &mut [N]) -> Option<()>,
    ) -> Vec<N> {
        let mut bytes = vec![0; 1 + (numbers.len() * width).div_ceil(8)];
        bytes[0] = (numbers.len().div_ceil(GROUP) << 1 | 1) as u8;
        for (place, number) in numbers.iter().enumerate() {
            for bit in (0..width).filter(|bit| number >> bit & 1 == 1) {
                let at = place * width + bit;
                bytes[1 + at / 8] |= 1 << (at % 8);
            }
        }
        let mut hybrid = Hybrid::new(Buffer::from_vec(bytes), width).expect("it isn't too wide");
        let mut found = vec![N::default(); numbers.len()];
        for some in found.chunks_mut(21) {
            fill(&mut hybrid, some).expect("as many are there");
        }
        found
    }

    #[test]
    fn packed_numbers_are_read_as_they_were() {
        let mut seed = 1u32;
        for width in 1..=32 {
            let number = |_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed.rotate_left(16) & (u32::MAX >> (32 - width))
            };
            let numbers: Vec<u32> = (0..400).map(number).collect();
            assert_eq!(read(&numbers, width, |hybrid, some| hybrid.fill(some, Some)), numbers, "{width}");
            if width < 8 {
                let levels: Vec<u8> = numbers.iter().map(|number| *number as u8).collect();
                assert_eq!(read(&numbers, width, Hybrid::fill_levels), levels, "{width}");
            }
        }
    }

    #[test]
    fn a_number_that_stands_for_nothing_ends_all() {
        // Of three bits: 4 eight times, packed, and 5 four times.
        let bytes = vec![3u8, 0x24, 0x49, 0x92, 8, 5];
        let fill = |length: usize, known: u32| {
            let mut hybrid = Hybrid::new(Buffer::from_vec(bytes.clone()), 3).expect("it isn't too wide");
            hybrid.fill(&mut vec![0; length], |number| (number < known).then_some(number))
        };
        assert!(fill(12, 8).is_some() && fill(13, 8).is_none());
        assert!(fill(8, 5).is_some() && fill(9, 5).is_none() && fill(8, 4).is_none());
    }
}
