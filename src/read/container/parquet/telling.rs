//! Owns how the shape of a Parquet file is told: by its first rows, of as few columns as tell it. What marks a shape has is
//! for `shape`, how rows are read for `Rows`.

use parquet::schema::types::TypePtr;

use super::batches::not_read;
use super::hashes::Hashes;
use super::{Rows, Run};
use crate::error::Result;
use crate::read::container::rows::Columns;
use crate::read::shape::value::Value;
use crate::read::shape::{SHAPES, Shape};
use crate::types::reason::Reason;

/// Columns of ids. They are no marks of a shape but by being there.
const IDS: [&str; 4] = ["id", "request_id", "response_id", "responseId"];

impl Rows {
    /// Tells the shape by the first rows; the error says what was seen. A file without rows is of any shape.
    ///
    /// Ids are most of what a log's columns hold, and their pages are read whole. So the other columns are asked first: what
    /// they tell of a row, whether it has an id or not, all of them would.
    pub(super) fn tell(&mut self, runs: &[Run]) -> Result<std::result::Result<&'static Shape, String>> {
        if runs.is_empty() {
            return Ok(Ok(SHAPES[0]));
        }
        let ids = self.ids();
        let mut told = None;
        if !ids.is_empty() {
            told = self.told_without(&ids, runs)?;
        }
        if told.is_none() {
            told = self.told_without(&[], runs)?;
        }
        Ok(told.ok_or_else(|| {
            let schema = self.metadata.as_ref().map(|metadata| metadata.schema().clone());
            let names = schema.iter().flat_map(|schema| schema.fields()).map(|field| field.name().clone());
            Value::Object(names.map(|name| (name.into(), Value::Null)).collect()).described()
        }))
    }

    /// The shape that the first rows tell when some ids aren't read; None where it may depend on whether there is one.
    fn told_without(&mut self, ids: &[&'static str], runs: &[Run]) -> Result<Option<&'static Shape>> {
        let is_read = |path: &[&str]| match path {
            [name] if ids.contains(name) => false,
            _ => SHAPES.iter().any(|shape| shape.fields.keep(path)),
        };
        self.mask = self.columns_that(is_read);
        self.runs = Vec::from(runs).into_iter();
        (self.is_by_pages, self.ended_by) = (true, None);
        let mut lines = Vec::new();
        // Of runs that can't be read the next one tells.
        while self.next_batch()? {
            if let Some(batch) = self.batch.take() {
                let columns = Columns::new(&batch);
                for row in 0..batch.num_rows() {
                    columns.write_row(row, &mut lines);
                    lines.push(b'\n');
                }
                self.ended_by = None;
                break;
            }
            let rows = 0..runs.last().map_or(0, |run| run.rows.end);
            self.ended_by = Some((Reason::TruncatedInput, not_read(&rows)));
        }
        // Other columns were read than decide something.
        (self.reader, self.row, self.hashes) = (None, 0, Hashes::default());
        let rows = lines.split(|byte| *byte == b'\n').filter(|row| !row.is_empty());
        let sketches = rows.filter_map(|row| Value::sketch(row, true).ok());
        let told =
            sketches.map(|sketch| tell_with_any(ids, &sketch)).find(|told| !matches!(told, Some(None)));
        Ok(told.flatten().flatten())
    }

    /// Those of [`IDS`] that are columns.
    fn ids(&self) -> Vec<&'static str> {
        let schema = self.metadata.iter().map(|metadata| metadata.parquet_schema().root_schema());
        let columns: Vec<&TypePtr> = schema.flat_map(|schema| schema.get_fields()).collect();
        let is_column =
            |id: &&str| columns.iter().any(|column| column.is_primitive() && column.name() == *id);
        IDS.iter().copied().filter(is_column).collect()
    }
}

/// What shape an item is of, if it is the same whichever of the ids it has beside.
fn tell_with_any(ids: &[&'static str], item: &Value<'_>) -> Option<Option<&'static Shape>> {
    let Value::Object(members) = item else { return Some(Shape::tell(item)) };
    let mut told = (0..1u32 << ids.len()).map(|which| {
        let beside = ids.iter().enumerate().filter(|(place, _)| which >> place & 1 != 0);
        let beside = beside.map(|(_, id)| ((*id).into(), Value::Text("some".into())));
        Shape::tell(&Value::Object(members.iter().cloned().chain(beside).collect()))
    });
    let first = told.next()?;
    let name = |shape: Option<&'static Shape>| shape.map(|shape| shape.name);
    told.all(|other| name(other) == name(first)).then_some(first)
}
