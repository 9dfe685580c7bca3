//! Owns what says which file it was: a hash of its footer, and of all pages that somebody reads, made while they are read. So
//! nothing is read for it alone, and columns that nobody reads, long texts among them, cost nothing; of these the footer says
//! where they lie and how long they are. A file of which not all groups were read by their pages has none.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use twox_hash::XxHash3_128;

/// Of each row group that was read to its end. All parts of a file share them.
#[derive(Clone, Debug, Default)]
pub struct Hashes(Arc<Mutex<BTreeMap<usize, u128>>>);

impl Hashes {
    /// Takes note of a group, of which these are the leaves in their order.
    pub fn put(&self, group: usize, leaves: impl IntoIterator<Item = u128>) {
        let hash = leaves.into_iter().fold(0, |hash, leaf| with(hash, &leaf.to_le_bytes()));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(group, hash);
    }

    pub fn has(&self, groups: Range<usize>) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.range(groups.clone()).count() == groups.len()
    }

    /// The file's, whose groups are all known.
    pub fn of_file(&self, footer: &[u8]) -> u128 {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().fold(with(0, footer), |hash, group| with(hash, &group.to_le_bytes()))
    }
}

/// The hash of what was hashed so far, and of what follows.
pub fn with(hash: u128, bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot_with_seed(hash as u64 ^ (hash >> 64) as u64, bytes)
}
