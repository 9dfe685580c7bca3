//! Owns spellings: the values of a plain line that decide its facts, as they are written, and what is known of those that
//! were met. What is known is for whoever learns it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::RwLock;

use twox_hash::XxHash3_128;

use super::canonical::Field;
use super::cursor::STEP;
use crate::caches::prefetch;
use crate::read::settings::SettingsId;

/// The values of a line that decide its facts, as they are written, each after a tag that says which it is. It can be taken
/// apart in one way only: no value has a byte as low as a tag but a list of tools, which may have tabs between its items
/// and ends with its bracket.
pub(super) struct Spelling {
    bytes: [u8; Spelling::LONGEST],
    length: usize,
}

impl Default for Spelling {
    fn default() -> Spelling {
        Spelling { bytes: [0; Spelling::LONGEST], length: 0 }
    }
}

/// Tags are below all that a text may have, and no two are the same. The field of tag 0 isn't spelled.
const _: () = {
    let mut place = 0;
    while place < Field::ALL.len() {
        assert!((Field::ALL[place] as u8) < Spelling::SERVED);
        place += 1;
    }
    assert!(Field::RequestId as u8 == 0);
    assert!(Spelling::SERVED < Spelling::WITH_USAGE && Spelling::WITH_USAGE < Spelling::WITHOUT_USAGE);
    assert!(Spelling::WITHOUT_USAGE < b' ');
};

impl Spelling {
    /// A longer one is unusual.
    const LONGEST: usize = 512;
    /// Tags beside those of the fields.
    pub(super) const SERVED: u8 = 0x1c;
    pub(super) const WITH_USAGE: u8 = 0x1e;
    pub(super) const WITHOUT_USAGE: u8 = 0x1f;

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends the first bytes of a chunk.
    #[inline(always)]
    pub(super) fn push_short(&mut self, tag: u8, chunk: &[u8; STEP], length: usize) -> Option<()> {
        // A whole step, whose length the compiler knows; what is beyond the length is overwritten.
        let room = self.bytes.get_mut(self.length..)?.first_chunk_mut::<{ 1 + STEP }>()?;
        room[0] = tag;
        room[1..].copy_from_slice(chunk);
        self.length += 1 + length;
        Some(())
    }

    /// Appends a tag alone.
    #[inline(always)]
    pub(super) fn end(&mut self, tag: u8) -> Option<()> {
        *self.bytes.get_mut(self.length)? = tag;
        self.length += 1;
        Some(())
    }

    /// Appends a value of any length.
    pub(super) fn push(&mut self, tag: u8, value: &[u8]) -> Option<()> {
        let end = self.length + 1 + value.len();
        let room = self.bytes.get_mut(self.length..end)?;
        room[0] = tag;
        room[1..].copy_from_slice(value);
        self.length = end;
        Some(())
    }
}

/// What the strict decoder made of the first line of each spelling. A spelling is known by 128 bits of XXH3 under a key
/// that is new for each run, so that it is neither kept nor compared: among 10⁹ spellings two share them with a
/// probability of about 10⁻²¹, and nobody who forges a log can aim at them. The key of a row has no more bits than that, and
/// stands in place of a hash.
pub struct Spellings<Known> {
    key: u64,
    /// At most two thirds full: who comes early, as who comes often does, lies where it is looked for first. A hash is looked
    /// for from its lowest bits on.
    table: Vec<Option<(Spelled, Known)>>,
    length: usize,
}

/// Hash of a spelling, or what is mixed of 128 bits.
pub type Spelled = u128;

/// So many are no log's; of a forged one, or one with a model of its own in every line, a thread forgets all, and no more
/// are shared.
const MOST: usize = 1 << 20;

/// What some thread knows of spellings, for those that meet them later.
pub struct SharedSpellings<Known> {
    key: u64,
    known: RwLock<HashMap<Spelled, Known>>,
}

impl<Known> Default for SharedSpellings<Known> {
    fn default() -> SharedSpellings<Known> {
        SharedSpellings { key: RandomState::default().hash_one(()), known: RwLock::default() }
    }
}

impl<Known: Copy> SharedSpellings<Known> {
    /// A thread's own, of which hashes are those of the others.
    pub fn own(&self) -> Spellings<Known> {
        Spellings::new(self.key)
    }

    pub fn find(&self, spelled: Spelled) -> Option<Known> {
        self.known.read().expect("no thread panicked").get(&spelled).copied()
    }

    pub fn share(&self, spelled: Spelled, known: Known) {
        let mut shared = self.known.write().expect("no thread panicked");
        if shared.len() < MOST {
            shared.insert(spelled, known);
        }
    }
}

impl<Known: Copy> Default for Spellings<Known> {
    fn default() -> Spellings<Known> {
        SharedSpellings::default().own()
    }
}

impl<Known: Copy> Spellings<Known> {
    fn new(key: u64) -> Spellings<Known> {
        Spellings { key, table: vec![None; 1 << 6], length: 0 }
    }

    /// What a line leaves out is filled in by the settings of its input, so with others a spelling is another one.
    #[inline(always)]
    pub fn hash(&self, spelling: &[u8], settings: SettingsId) -> Spelled {
        XxHash3_128::oneshot_with_seed(self.key.wrapping_add(settings as u64), spelling)
    }

    /// In the place of a hash, for what has no more than 128 bits: no two share one. Under the run's key, as hashes are,
    /// the lowest bits depend on all.
    #[inline(always)]
    pub fn mix(&self, [low, high]: [u64; 2]) -> Spelled {
        let fold = |half: u64| {
            let product = u128::from(half ^ self.key) * 0x9e37_79b9_7f4a_7c15;
            product as u64 ^ (product >> 64) as u64
        };
        // Both steps can be undone.
        let high = high ^ fold(low);
        let low = low ^ fold(high);
        u128::from(high) << 64 | u128::from(low)
    }

    /// Asks for what [`Spellings::find`] looks at.
    #[inline(always)]
    pub fn prefetch(&self, spelled: Spelled) {
        prefetch(&raw const self.table[self.first_place(spelled)]);
    }

    #[inline(always)]
    pub fn find(&self, spelled: Spelled) -> Option<Known> {
        self.table[self.place(spelled)].map(|(_, known)| known)
    }

    /// Keeps what was learnt of a spelling, if anything was, and it isn't known by now.
    pub fn learn(&mut self, spelled: Spelled, learnt: Option<Known>) {
        let Some(known) = learnt.filter(|_| self.find(spelled).is_none()) else { return };
        if self.length == MOST {
            (self.table, self.length) = (vec![None; 1 << 6], 0);
        }
        self.length += 1;
        if 3 * self.length > 2 * self.table.len() {
            let larger = vec![None; 2 * self.table.len()];
            for (spelled, known) in std::mem::replace(&mut self.table, larger).into_iter().flatten() {
                let place = self.place(spelled);
                self.table[place] = Some((spelled, known));
            }
        }
        let place = self.place(spelled);
        self.table[place] = Some((spelled, known));
    }

    #[inline(always)]
    fn first_place(&self, spelled: Spelled) -> usize {
        spelled as usize & (self.table.len() - 1)
    }

    /// Where a hash is, or would be.
    #[inline(always)]
    fn place(&self, spelled: Spelled) -> usize {
        let mut place = self.first_place(spelled);
        while self.table[place].is_some_and(|(own, _)| own != spelled) {
            place = (place + 1) & (self.table.len() - 1);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_keys_are_mixed_to_one_and_those_that_are_alike_lie_apart() {
        let spellings = Spellings::<()>::new(0x1234_5678_9abc_def0);
        let each =
            |half: u64| (0..64).flat_map(move |bit| (0..64).map(move |other| half ^ 1 << bit ^ 1 << other));
        let keys: HashSet<[u64; 2]> =
            each(0).map(|low| [low, 0]).chain(each(7).map(|high| [5, high])).collect();
        let mixed: HashSet<Spelled> = keys.iter().map(|key| spellings.mix(*key)).collect();
        assert_eq!(mixed.len(), keys.len());
        // Of so many at random about 4,000 × 4,000 / 65,536 / 2 meet another one.
        let places: HashSet<u16> = mixed.iter().map(|spelled| *spelled as u16).collect();
        assert!(keys.len() - places.len() < 300, "{} of {}", places.len(), keys.len());
    }
}
