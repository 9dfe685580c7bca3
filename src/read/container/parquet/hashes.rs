//! Owns what says which file it was: a hash of its footer, and of the pages of all columns that decide something. As a rule
//! it is made while they are read, so that nothing is read for it alone, and columns that nobody reads, long texts among
//! them, cost nothing; of these the footer says where they lie and how long they are. It is the same whoever reads them: a
//! group that was read in another way is read once more, its pages as they lie there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use parquet::arrow::ProjectionMask;
use parquet::errors::Result;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;
use twox_hash::XxHash3_128;

use super::buffers::Buffers;
use super::leaf::broken;
use super::pages::Pages;
use super::range;

/// Of row groups. All parts of a file share them.
#[derive(Clone, Debug, Default)]
pub struct Hashes(Arc<Mutex<BTreeMap<usize, u128>>>);

impl Hashes {
    /// Takes note of a group, of which these are the leaves in their order.
    pub fn put(&self, group: usize, leaves: impl IntoIterator<Item = u128>) {
        let hash = leaves.into_iter().fold(0, |hash, leaf| with(hash, &leaf.to_le_bytes()));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(group, hash);
    }

    /// Whether all of these groups are known.
    pub fn has(&self, groups: Range<usize>) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.range(groups.clone()).count() == groups.len()
    }

    /// Reads the pages of those groups that aren't known; an error where they can't be read.
    pub fn complete<R: ChunkReader + 'static>(
        &self,
        source: R,
        metadata: &ParquetMetaData,
        groups: Range<usize>,
        decide: &ProjectionMask,
    ) -> Result<()> {
        let (source, buffers) = (Arc::new(source), Buffers::default());
        for place in groups.filter(|place| !self.has(*place..place + 1)) {
            let group = metadata.row_group(place);
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            let leaves = group.columns().iter().enumerate().filter(|(leaf, _)| decide.leaf_included(*leaf));
            let leaves = leaves.map(|(_, column)| {
                range(column).ok_or_else(|| broken("a column lies before the file"))?;
                let mut pages = Pages::open(source.clone(), column, rows, buffers.clone())?;
                while pages.next_as_it_lies()?.is_some() {}
                Ok(pages.hash())
            });
            self.put(place, leaves.collect::<Result<Vec<_>>>()?);
        }
        Ok(())
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
