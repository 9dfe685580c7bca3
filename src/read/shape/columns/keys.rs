//! Owns the key of a row: where in it the number of each word stands, and how a column's numbers get there. What words and
//! their numbers are is for `words`.

use arrow_buffer::NullBuffer;

use super::each_valid;
use super::words::{FEW, NO_NUMBER};

/// The numbers of a row's words, and whether it has usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key([u64; 2]);

impl Key {
    pub fn halves(self) -> [u64; 2] {
        self.0
    }

    /// Of a row, whose halves lie apart.
    #[inline(always)]
    pub(super) fn of_row(halves: &[Vec<u64>; 2], row: usize) -> Key {
        Key(halves.each_ref().map(|half| half[row]))
    }

    /// One without the number that a fact has in it, and that number.
    pub(super) fn without(mut self, place: usize) -> (Key, u32) {
        let Fact { half, shift, bits } = FACTS[place];
        let mask = (1 << bits) - 1;
        let number = self.0[half] >> shift & mask;
        self.0[half] &= !(mask << shift);
        (self, number as u32)
    }
}

/// A column that decides facts, and the bits that its words' numbers have in a key.
#[derive(Clone, Copy)]
pub(super) struct Fact {
    half: usize,
    shift: u32,
    pub(super) bits: u32,
}

/// The columns that decide facts: their places in [`FACTS`].
pub(super) mod fact {
    pub const PROJECT: usize = 0;
    pub const MODEL: usize = 1;
    pub const MODEL_VERSION: usize = 2;
    pub const METHOD: usize = 3;
    pub const BASE_MODEL: usize = 4;
    pub const SERVICE: usize = 5;
    pub const STATUS: usize = 6;
    pub const SERVICE_TIER: usize = 7;
    pub const USAGE_TIER: usize = 8;
    pub const CHANNEL: usize = 9;
    pub const SERVED: usize = 10;
    pub const TOOLS: usize = 11;
}

pub(super) const FACTS: [Fact; 12] = [
    Fact { half: 0, shift: 0, bits: 20 },
    Fact { half: 0, shift: 20, bits: 16 },
    Fact { half: 0, shift: 36, bits: 16 },
    Fact { half: 0, shift: 52, bits: 8 },
    Fact { half: 1, shift: 0, bits: 12 },
    Fact { half: 1, shift: 12, bits: 6 },
    Fact { half: 1, shift: 18, bits: 12 },
    Fact { half: 1, shift: 30, bits: 8 },
    Fact { half: 1, shift: 38, bits: 6 },
    Fact { half: 1, shift: 44, bits: 4 },
    Fact { half: 1, shift: 48, bits: 8 },
    Fact { half: 1, shift: 56, bits: 8 },
];
/// In the first half of a key, above all facts: the row has usageMetadata or quantities.
pub(super) const HAS_USAGE: u64 = 1 << 63;

/// Puts the numbers of a column's words into the keys of its rows.
pub(super) struct KeyPart<'k> {
    shift: u32,
    half: &'k mut [u64],
    plain: &'k mut [bool],
}

impl<'k> KeyPart<'k> {
    pub(super) fn new(place: usize, keys: &'k mut [Vec<u64>; 2], plain: &'k mut [bool]) -> KeyPart<'k> {
        let Fact { half, shift, .. } = FACTS[place];
        KeyPart { shift, half: &mut keys[half], plain }
    }

    /// Puts the number of each row's word that isn't null, by its code.
    pub(super) fn coded(&mut self, codes: &[i32], nulls: Option<&NullBuffer>, numbers: &[u32]) {
        // As a rule words are few and have numbers: then nothing is to be checked by row.
        if numbers.len() > FEW || numbers.contains(&NO_NUMBER) {
            return self.all(codes, nulls, |code| numbers.get(code as usize).copied().unwrap_or(NO_NUMBER));
        }
        let mut parts = [0; FEW];
        for (part, number) in parts.iter_mut().zip(numbers) {
            *part = u64::from(*number) << self.shift;
        }
        each_valid(nulls, codes.len(), |rows| {
            for (key, code) in self.half[rows.clone()].iter_mut().zip(&codes[rows]) {
                *key |= parts[usize::from(*code as u8)];
            }
        });
    }

    /// Puts the number of what each row has that isn't null.
    #[inline(always)]
    pub(super) fn all<T: Copy>(&mut self, list: &[T], nulls: Option<&NullBuffer>, number: impl Fn(T) -> u32) {
        let mut all = 0;
        each_valid(nulls, list.len(), |rows| {
            for (key, own) in self.half[rows.clone()].iter_mut().zip(&list[rows]) {
                let number = number(*own);
                all |= number;
                // What a row's key is that isn't plain doesn't matter.
                *key |= u64::from(number) << self.shift;
            }
        });
        // No number has the uppermost bit; as a rule all rows have one.
        if all > NO_NUMBER >> 1 {
            each_valid(nulls, list.len(), |rows| {
                for (plain, own) in self.plain[rows.clone()].iter_mut().zip(&list[rows]) {
                    *plain &= number(*own) != NO_NUMBER;
                }
            });
        }
    }
}
