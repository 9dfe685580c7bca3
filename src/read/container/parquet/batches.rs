//! Owns a run of row groups while it is read: that there are as many rows as the file says, and else which aren't read. How
//! they are read is for `row_groups` and for the arrow reader.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

/// A run while it is read.
pub struct Batches {
    reader: Reader,
    /// The rows that are still to come, from 0.
    rows: Range<u64>,
}

pub type Reader = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

impl Batches {
    pub fn new(reader: Reader, rows: Range<u64>) -> Batches {
        Batches { reader, rows }
    }

    /// The next rows, if there are more; and what is wrong, after which there are none.
    pub fn next(&mut self) -> (Option<RecordBatch>, Option<String>) {
        let Ok(batch) = self.read() else { return (None, Some(not_read(&self.rows))) };
        let left = self.rows.end - self.rows.start;
        let Some(batch) = batch else { return (None, (left > 0).then(|| not_read(&self.rows))) };
        let rows = batch.num_rows() as u64;
        if rows < left {
            self.rows.start += rows;
            return (Some(batch), None);
        }
        // Whether these are the last ones is known before they are given: what is wrong stands after them.
        let is_end = rows == left && matches!(self.read(), Ok(None));
        self.rows.start = self.rows.end;
        let why = (!is_end).then(|| not_read(&self.rows));
        let batch = if rows > left { batch.slice(0, left as usize) } else { batch };
        (Some(batch).filter(|_| left > 0), why)
    }

    fn read(&mut self) -> Result<Option<RecordBatch>, String> {
        sound(|| self.reader.next().transpose())
    }
}

pub const BROKEN: &str = "the Parquet file is broken";

/// Says so of some rows, from 0; of none, that what follows is wrong.
pub fn not_read(rows: &Range<u64>) -> String {
    let (first, last) = (rows.start + 1, rows.end);
    match last - rows.start {
        0 => format!("{BROKEN}: what follows row {last} isn't sound"),
        1 => format!("{BROKEN}: row {last} isn't read"),
        _ => format!("{BROKEN}: rows {first} to {last} aren't read"),
    }
}

/// What a file that isn't sound makes of its reader is said in a few words: some faults it tells, of others it dies.
pub fn sound<T, E>(read: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| BROKEN)?.map_err(|_| BROKEN.to_string())
}
