//! Owns how rows are read from the pages of row groups: what the arrow reader of `parquet` makes of any file, several
//! times as fast, of the columns that logs have. These are words, ids, times and numbers, in structs and in lists that
//! are in no other list. Every other file is for that reader.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef, ListArray, MapArray, RecordBatch, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::basic::Repetition;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::Type;

use super::Part;
use super::buffers::Buffers;
use super::hashes::Hashes;
use super::leaf::{Kind, Leaf, at_least, broken};

/// The rows of some row groups, a batch at a time; no batch is of two groups.
pub struct RowGroups<R: ChunkReader> {
    source: Arc<R>,
    metadata: Arc<ParquetMetaData>,
    columns: Columns,
    batch_rows: usize,
    groups: Range<usize>,
    buffers: Buffers,
    /// Of the group that is read.
    leaves: Vec<Leaf<R>>,
    group: Option<usize>,
    rows: usize,
    hashes: Hashes,
}

/// The columns that somebody reads.
struct Columns {
    list: Vec<Column>,
    /// Their leaves: place in the file, and what it is.
    leaves: Vec<(usize, Kind)>,
}

/// A column, or what is in one.
struct Column {
    /// With the type of the last batch: texts may be words of a dictionary, or stand in pages.
    field: FieldRef,
    is: Is,
}

enum Is {
    /// Place among the leaves that are read.
    Leaf(usize),
    Struct {
        /// The level of one that is there, and a leaf, in no list of it, that knows.
        level: u8,
        known_by: usize,
        members: Vec<Column>,
    },
    List {
        /// The levels of a list that is there, and of an item.
        level: u8,
        item_level: u8,
        leaves: Range<usize>,
        item: Box<Column>,
        is_map: bool,
    },
}

impl<R: ChunkReader> RowGroups<R> {
    /// Gives the source back where something isn't read here.
    pub fn new(source: R, metadata: &ArrowReaderMetadata, part: &Part<'_>) -> Result<RowGroups<R>, R> {
        let of_groups = metadata.metadata().row_groups().get(part.groups.clone()).unwrap_or(&[]);
        let Some(columns) = of_groups.first().and_then(|group| Columns::new(metadata, part.mask, group))
        else {
            return Err(source);
        };
        let are_read = |group: &RowGroupMetaData| {
            columns.leaves.iter().all(|(place, _)| group.columns().get(*place).is_some_and(Kind::is_read))
        };
        if !of_groups.iter().all(are_read) {
            return Err(source);
        }
        Ok(RowGroups {
            source: Arc::new(source),
            metadata: metadata.metadata().clone(),
            columns,
            batch_rows: part.batch_rows,
            groups: part.groups.clone(),
            buffers: part.buffers.clone(),
            leaves: Vec::new(),
            group: None,
            rows: 0,
            hashes: part.hashes.clone(),
        })
    }

    fn read(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        while self.rows == 0 {
            // A group that holds more than it says would lose the rest.
            let leaves = self.leaves.drain(..).map(Leaf::end).collect::<Result<Vec<_>, _>>()?;
            if let Some(group) = self.group.take() {
                self.hashes.put(group, leaves);
            }
            let Some(place) = self.groups.next() else { return Ok(None) };
            self.group = Some(place);
            let group = self.metadata.row_group(place);
            self.rows = usize::try_from(group.num_rows()).map_err(|_| broken("rows below 0"))?;
            for (place, kind) in &self.columns.leaves {
                let (column, buffers) = (group.column(*place), self.buffers.clone());
                self.leaves.push(Leaf::open(kind, self.source.clone(), column, self.rows, buffers)?);
            }
        }
        let rows = self.batch_rows.min(self.rows);
        self.rows -= rows;
        let arrays = self.columns.list.iter_mut().map(|column| column.read(&mut self.leaves, rows));
        let arrays = arrays.collect::<Result<Vec<_>, ArrowError>>()?;
        let schema = Schema::new(fields(&mut self.columns.list, &arrays));
        Ok(Some(RecordBatch::try_new(Arc::new(schema), arrays)?))
    }
}

impl<R: ChunkReader> Iterator for RowGroups<R> {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn fields(columns: &mut [Column], arrays: &[ArrayRef]) -> Fields {
    columns.iter_mut().zip(arrays).map(|(column, array)| column.field(array)).collect()
}

impl Column {
    fn field(&mut self, array: &ArrayRef) -> FieldRef {
        if self.field.data_type() != array.data_type() {
            let field = self.field.as_ref().clone().with_data_type(array.data_type().clone());
            self.field = Arc::new(field);
        }
        self.field.clone()
    }

    /// Reads the next rows; of what is in a list, its items, which were taken.
    fn read<R: ChunkReader>(&mut self, leaves: &mut [Leaf<R>], rows: usize) -> Result<ArrayRef, ArrowError> {
        match &mut self.is {
            Is::Leaf(place) => {
                leaves[*place].take_alone(rows)?;
                leaves[*place].array()
            }
            Is::Struct { level, known_by, members } => {
                let arrays = members.iter_mut().map(|member| member.read(leaves, rows));
                let arrays = arrays.collect::<Result<Vec<_>, ArrowError>>()?;
                let nulls = at_least(leaves[*known_by].levels(), *level);
                Ok(Arc::new(StructArray::try_new(fields(members, &arrays), arrays, nulls)?))
            }
            Is::List { level, item_level, leaves: own, item, is_map } => {
                let (first, others) = leaves[own.clone()].split_first_mut().expect("a list has a leaf");
                first.take_rows(rows)?;
                for leaf in others {
                    // Members of an item have as many slots each.
                    leaf.take_slots(first.levels().len())?;
                    leaf.keep_items(*item_level);
                }
                let (ends, levels) = first.lists(rows, *item_level);
                // SAFETY: they begin at 0 and only grow.
                let ends = unsafe { OffsetBuffer::new_unchecked(ends.into()) };
                let nulls = at_least(&levels, *level);
                let items = item.read(leaves, rows)?;
                let field = item.field(&items);
                if *is_map {
                    let items = items.as_struct().clone();
                    return Ok(Arc::new(MapArray::try_new(field, ends, items, nulls, false)?));
                }
                Ok(Arc::new(ListArray::try_new(field, ends, items, nulls)?))
            }
        }
    }
}

impl Columns {
    /// None where a column isn't read here.
    fn new(
        metadata: &ArrowReaderMetadata,
        mask: &ProjectionMask,
        group: &RowGroupMetaData,
    ) -> Option<Columns> {
        let mut found = Finding { mask, group, leaves: Vec::new(), next: 0 };
        let types = metadata.parquet_schema().root_schema().get_fields().iter();
        let list = found.columns(types.map(AsRef::as_ref), metadata.schema().fields(), 0, false)?;
        Some(Columns { list, leaves: found.leaves }).filter(|columns| !columns.list.is_empty())
    }
}

/// Going through the schema of a file.
struct Finding<'m> {
    mask: &'m ProjectionMask,
    group: &'m RowGroupMetaData,
    leaves: Vec<(usize, Kind)>,
    /// The leaf that comes next.
    next: usize,
}

impl Finding<'_> {
    /// The columns that are read, which may be none.
    fn columns<'t>(
        &mut self,
        types: impl ExactSizeIterator<Item = &'t Type>,
        fields: &Fields,
        level: u8,
        is_in_list: bool,
    ) -> Option<Vec<Column>> {
        if types.len() != fields.len() {
            return None;
        }
        let mut columns = Vec::new();
        for (own, field) in types.zip(fields) {
            let leaves = self.next..self.next + leaves(own);
            if leaves.clone().any(|leaf| self.mask.leaf_included(leaf)) {
                columns.push(self.column(own, field, level, is_in_list)?);
            }
            self.next = leaves.end;
        }
        Some(columns)
    }

    fn column(&mut self, own: &Type, field: &Field, level: u8, is_in_list: bool) -> Option<Column> {
        let level = match own.get_basic_info().repetition() {
            Repetition::REQUIRED => level,
            Repetition::OPTIONAL => level.checked_add(1)?,
            Repetition::REPEATED => return None,
        };
        let first = self.leaves.len();
        let is = match field.data_type() {
            _ if own.is_primitive() => {
                self.leaves
                    .push((self.next, Kind::new(field.data_type(), self.group.columns().get(self.next)?)?));
                Is::Leaf(first)
            }
            DataType::Struct(members) => {
                let types = own.get_fields().iter().map(AsRef::as_ref);
                let members = self.columns(types, members, level, is_in_list)?;
                let known_by = members.iter().find_map(Column::leaf)?;
                Is::Struct { level, known_by, members }
            }
            DataType::List(item) if !is_in_list => {
                let [own_item] = between(own)?.get_fields() else { return None };
                let item_level = level.checked_add(1)?;
                let item = Box::new(self.column(own_item, item, item_level, true)?);
                Is::List { level, item_level, leaves: first..self.leaves.len(), item, is_map: false }
            }
            DataType::Map(entry, _) if !is_in_list => {
                let DataType::Struct(members) = entry.data_type() else { return None };
                let types = between(own)?.get_fields().iter().map(AsRef::as_ref);
                let item_level = level.checked_add(1)?;
                let members = self.columns(types, members, item_level, true)?;
                let known_by = members.first().filter(|key| !key.field.is_nullable())?.leaf()?;
                let is = Is::Struct { level: item_level, known_by, members };
                let field = Arc::new(Field::new(entry.name(), entry.data_type().clone(), false));
                let item = Box::new(Column { field, is });
                Is::List { level, item_level, leaves: first..self.leaves.len(), item, is_map: true }
            }
            _ => return None,
        };
        Some(Column {
            field: Arc::new(Field::new(field.name(), field.data_type().clone(), field.is_nullable())),
            is,
        })
    }
}

impl Column {
    /// A leaf that has a slot for each of its own, and no more.
    fn leaf(&self) -> Option<usize> {
        match &self.is {
            Is::Leaf(place) => Some(*place),
            Is::Struct { known_by, .. } => Some(*known_by),
            Is::List { .. } => None,
        }
    }
}

/// What lies between a list, or a map, and its items, as the format has it now; older ones are of other levels.
fn between(own: &Type) -> Option<&Type> {
    let [between] = own.get_fields() else { return None };
    let is_item = between.is_primitive() || between.name() == "array" || between.name().ends_with("_tuple");
    let repeats = between.get_basic_info().repetition() == Repetition::REPEATED;
    (repeats && !is_item).then_some(between)
}

fn leaves(own: &Type) -> usize {
    if own.is_primitive() { 1 } else { own.get_fields().iter().map(|member| leaves(member)).sum() }
}
