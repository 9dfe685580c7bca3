//! Owns rows of a report, column by column, and the report's order of them. Rows are many and their texts few, so a text
//! is kept once and is a number in its column: rows are sorted by numbers.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::{Column, Kind, Report, Value};
use crate::types::day::{Day, Instant};
use crate::types::money::Pico;

/// Rows of a report.
pub struct Rows {
    report: &'static Report,
    columns: Vec<Cells>,
    rows: usize,
}

/// A column's cells.
pub enum Cells {
    Date(Plain<i32>),
    /// In microseconds: polars and every reader know them; what is shown are whole seconds.
    Instant(Plain<i64>),
    Text(Box<Texts>),
    Whole(Plain<i64>),
    Dollars(Plain<i128>),
    YesNo(Plain<bool>),
}

/// A column of what is as long in each row.
pub struct Plain<T> {
    /// Something also where there is null.
    pub values: Vec<T>,
    /// Whether a row's cell is null, of all rows up to the last that is.
    nulls: Vec<bool>,
}

impl Rows {
    /// Rows with room for so many: what isn't filled of it takes no memory.
    pub fn new(report: &'static Report, room: usize) -> Rows {
        let cells = |column: &Column| match column.kind {
            Kind::Date => Cells::Date(Plain::new(room)),
            Kind::Instant => Cells::Instant(Plain::new(room)),
            Kind::Text => Cells::Text(Box::new(Texts::new(room))),
            Kind::Whole => Cells::Whole(Plain::new(room)),
            Kind::Dollars => Cells::Dollars(Plain::new(room)),
            Kind::YesNo => Cells::YesNo(Plain::new(room)),
        };
        Rows { report, columns: report.columns.iter().map(cells).collect(), rows: 0 }
    }

    /// Whose rows they are.
    pub fn report(&self) -> &'static Report {
        self.report
    }

    /// How many they are.
    pub fn height(&self) -> usize {
        self.rows
    }

    /// Appends a row: a value for each column, of its kind. An empty text is null.
    pub fn push<const N: usize>(&mut self, values: [Value<'_>; N]) {
        let mut row = self.append(1);
        values.into_iter().for_each(|value| row.all(value));
    }

    /// Appends so many rows, column by column from the first on: where rows are very many, as what a column needs stays near.
    pub fn append(&mut self, rows: usize) -> Appended<'_> {
        self.rows += rows;
        Appended { rows, columns: self.columns.iter_mut() }
    }

    /// Its columns, each with the cells of all rows.
    pub fn columns(&self) -> impl Iterator<Item = (&'static Column, &Cells)> {
        self.report.columns.iter().zip(&self.columns)
    }

    /// Puts the rows into the report's order.
    pub fn sort(&mut self) {
        for (column, cells) in self.columns() {
            let (report, rows) = (self.report.name, cells.rows());
            assert_eq!(rows, self.rows, "{report}: {} has a cell in each row", column.name);
        }
        // From the last column of the key to the first: an order stays within the next.
        let mut order = Order::new(self.rows);
        for name in self.report.key.iter().rev() {
            let place = self.report.columns.iter().position(|column| column.name == *name);
            self.columns[place.expect("a key has columns of the report")].order(&mut order);
        }
        order.sort();
        if !order.rows.is_sorted() {
            self.columns.iter_mut().for_each(|cells| cells.reorder(&order.rows));
        }
    }
}

/// An order of rows: by one column after the other, each of more weight than all before it.
struct Order {
    rows: Vec<u32>,
    /// Of each row the numbers that it isn't sorted by yet, and how many bits they take.
    packed: Vec<u64>,
    bits: u32,
}

impl Order {
    fn new(rows: usize) -> Order {
        Order { rows: (0..rows as u32).collect(), packed: vec![0; rows], bits: 0 }
    }

    /// By a number of each row, none above `greatest`.
    fn by(&mut self, greatest: u64, numbers: impl Iterator<Item = u64>) {
        let bits = u64::BITS - greatest.leading_zeros();
        if bits == 0 {
            return;
        }
        if self.bits + bits > u64::BITS {
            self.sort();
            self.packed.fill(0);
            self.bits = 0;
        }
        for (packed, number) in self.packed.iter_mut().zip(numbers) {
            *packed |= number << self.bits;
        }
        self.bits += bits;
    }

    /// Sorts by what is packed, a byte at a time from the last on; rows that agree stay as they are.
    fn sort(&mut self) {
        let Order { rows, packed, bits } = self;
        if rows.is_sorted_by_key(|row| packed[*row as usize]) {
            return;
        }
        let mut sorted = rows.clone();
        for shift in (0..*bits).step_by(8) {
            let byte = |key: u64| usize::from((key >> shift) as u8);
            let mut places = [0; 256];
            packed.iter().for_each(|key| places[byte(*key)] += 1);
            let mut begin = 0;
            for place in &mut places {
                begin += std::mem::replace(place, begin);
            }
            for row in rows.iter() {
                let place = &mut places[byte(packed[*row as usize])];
                sorted[*place] = *row;
                *place += 1;
            }
            std::mem::swap(rows, &mut sorted);
        }
    }
}

/// Rows whose columns are being filled.
pub struct Appended<'r> {
    rows: usize,
    columns: std::slice::IterMut<'r, Cells>,
}

impl Appended<'_> {
    /// The next column has this in all rows.
    #[inline]
    pub fn all<'v>(&mut self, value: impl Into<Value<'v>>) {
        self.columns.next().expect("no more columns than there are").push(value.into(), self.rows);
    }

    /// The next column has these, one in each row.
    #[inline]
    pub fn each<'v>(&mut self, values: impl IntoIterator<Item: Into<Value<'v>>>) {
        self.each_in(values.into_iter().map(|value| (value, 1)));
    }

    /// The next column has these, each in so many rows.
    #[inline]
    pub fn each_in<'v, V: Into<Value<'v>>>(&mut self, values: impl IntoIterator<Item = (V, usize)>) {
        let cells = self.columns.next().expect("no more columns than there are");
        values.into_iter().for_each(|(value, rows)| cells.push(value.into(), rows));
    }
}

impl Cells {
    /// Appends a value so many times.
    #[inline(always)]
    fn push(&mut self, value: Value<'_>, rows: usize) {
        match (self, value) {
            (Cells::Date(cells), Value::Date(day)) => cells.push(day.0, rows),
            (Cells::Date(cells), Value::Null) => cells.push_null(rows),
            (Cells::Instant(cells), Value::Instant(at)) => cells.push(at.0.div_euclid(1_000), rows),
            (Cells::Instant(cells) | Cells::Whole(cells), Value::Null) => cells.push_null(rows),
            (Cells::Text(cells), Value::Text(text)) => cells.push(text, rows),
            (Cells::Text(cells), Value::Null) => cells.push("", rows),
            (Cells::Whole(cells), Value::Whole(whole)) => {
                cells.push(i64::try_from(whole).expect("sums are checked against 2^63"), rows);
            }
            (Cells::Dollars(cells), Value::Dollars(pico)) => cells.push(pico.0, rows),
            (Cells::Dollars(cells), Value::Null) => cells.push_null(rows),
            (Cells::YesNo(cells), Value::YesNo(yes)) => cells.push(yes, rows),
            (Cells::YesNo(cells), Value::Null) => cells.push_null(rows),
            (_, value) => unreachable!("{value:?} in a column of another kind"),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Cells::Date(cells) => cells.values.len(),
            Cells::Instant(cells) | Cells::Whole(cells) => cells.values.len(),
            Cells::Text(texts) => texts.places.len(),
            Cells::Dollars(cells) => cells.values.len(),
            Cells::YesNo(cells) => cells.values.len(),
        }
    }

    /// What stands in a row.
    #[inline]
    pub fn value(&self, row: usize) -> Value<'_> {
        match self {
            Cells::Date(cells) => cells.get(row).map(Day).into(),
            Cells::Instant(cells) => cells.get(row).map(|micros| Instant(micros * 1_000)).into(),
            Cells::Text(texts) => Some(texts.text(texts.places[row])).filter(|text| !text.is_empty()).into(),
            Cells::Whole(cells) => cells.get(row).map(i64::cast_unsigned).into(),
            Cells::Dollars(cells) => cells.get(row).map(Pico).into(),
            Cells::YesNo(cells) => cells.get(row).map_or(Value::Null, Value::YesNo),
        }
    }

    /// Orders rows by their cells, null first.
    fn order(&self, order: &mut Order) {
        match self {
            Cells::Date(cells) => cells.order(order),
            Cells::Instant(cells) | Cells::Whole(cells) => cells.order(order),
            Cells::Text(texts) => texts.order(order),
            Cells::Dollars(_) | Cells::YesNo(_) => unreachable!("no key has such a column"),
        }
    }

    fn reorder(&mut self, order: &[u32]) {
        match self {
            Cells::Date(cells) => cells.reorder(order),
            Cells::Instant(cells) | Cells::Whole(cells) => cells.reorder(order),
            Cells::Text(texts) => reorder(&mut texts.places, order),
            Cells::Dollars(cells) => cells.reorder(order),
            Cells::YesNo(cells) => cells.reorder(order),
        }
    }
}

/// Appends a value so many times, nearly always once.
#[inline(always)]
fn push<T: Copy>(values: &mut Vec<T>, value: T, times: usize) {
    match times {
        1 => values.push(value),
        _ => values.resize(values.len() + times, value),
    }
}

fn reorder<T: Copy>(cells: &mut Vec<T>, order: &[u32]) {
    *cells = order.iter().map(|row| cells[*row as usize]).collect();
}

impl<T: Copy + Default> Plain<T> {
    fn new(room: usize) -> Plain<T> {
        Plain { values: Vec::with_capacity(room), nulls: Vec::new() }
    }

    #[inline(always)]
    fn push(&mut self, value: T, rows: usize) {
        push(&mut self.values, value, rows);
    }

    #[inline(always)]
    fn push_null(&mut self, rows: usize) {
        self.nulls.resize(self.values.len(), false);
        self.nulls.resize(self.values.len() + rows, true);
        self.push(T::default(), rows);
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.get(row) == Some(&true)
    }

    /// Of some rows which have a value; None where all have.
    pub fn validity(&self, rows: Range<usize>) -> Option<impl Iterator<Item = bool>> {
        let validity = rows.map(|row| !self.is_null(row));
        (!self.nulls.is_empty() && !validity.clone().all(|is_valid| is_valid)).then_some(validity)
    }

    #[inline]
    fn get(&self, row: usize) -> Option<T> {
        (!self.is_null(row)).then_some(self.values[row])
    }

    fn reorder(&mut self, order: &[u32]) {
        reorder(&mut self.values, order);
        if !self.nulls.is_empty() {
            self.nulls.resize(order.len(), false);
            reorder(&mut self.nulls, order);
        }
    }
}

impl<T: Copy + Default + Ord + Into<i64>> Plain<T> {
    fn order(&self, order: &mut Order) {
        let ends = self.values.iter().min().zip(self.values.iter().max());
        let Some((least, greatest)) = ends.map(|(least, greatest)| ((*least).into(), (*greatest).into()))
        else {
            return;
        };
        let above = |value: T| value.into().abs_diff(least);
        let (values, greatest) = (self.values.iter().copied(), greatest.abs_diff(least));
        if self.nulls.is_empty() {
            return order.by(greatest, values.map(above));
        }
        // None is far below 0, so there is room for null.
        let values = values.enumerate();
        order.by(
            1 + greatest,
            values.map(|(row, value)| if self.is_null(row) { 0 } else { 1 + above(value) }),
        );
    }
}

const RECENT: usize = 32;

/// A column of texts, each kept once.
pub struct Texts {
    /// The texts, one after the other, and where each ends. The first is empty and stands for null.
    all: String,
    ends: Vec<usize>,
    /// Places of texts, by a hash that is another one in each run: texts of a log may be forged.
    table: HashTable<u32>,
    hasher: RandomState,
    /// By where texts were when they came: where they are, and their places.
    recent: [(usize, usize, u32); RECENT],
    /// For each row its text's place.
    pub places: Vec<u32>,
}

impl Texts {
    fn new(room: usize) -> Texts {
        Texts {
            all: String::new(),
            ends: vec![0],
            table: HashTable::new(),
            hasher: RandomState::default(),
            recent: [(0, 0, 0); RECENT],
            places: Vec::with_capacity(room),
        }
    }

    fn push(&mut self, text: &str, rows: usize) {
        // Most texts come again and again from where they came from before.
        let (begin, end, place) = self.recent[Texts::recent(text)];
        let is_it = self.all.as_bytes()[begin..end] == *text.as_bytes();
        let place = if is_it { place } else { self.find(text) };
        push(&mut self.places, place, rows);
    }

    fn recent(text: &str) -> usize {
        (text.as_ptr() as usize >> 2 ^ text.len()) % RECENT
    }

    #[cold]
    fn find(&mut self, text: &str) -> u32 {
        let place = if text.is_empty() { 0 } else { self.find_or_add(text) };
        let Range { start, end } = range(&self.ends, place);
        self.recent[Texts::recent(text)] = (start, end, place);
        place
    }

    fn find_or_add(&mut self, text: &str) -> u32 {
        let own = hash(&self.hasher, text.as_bytes());
        if let Some(place) = self.table.find(own, |place| self.bytes(*place) == text.as_bytes()) {
            return *place;
        }
        let place = self.ends.len() as u32;
        self.all.push_str(text);
        self.ends.push(self.all.len());
        let (all, ends, hasher) = (self.all.as_bytes(), &self.ends, &self.hasher);
        self.table.insert_unique(own, place, |place| hash(hasher, &all[range(ends, *place)]));
        place
    }

    fn bytes(&self, place: u32) -> &[u8] {
        &self.all.as_bytes()[range(&self.ends, place)]
    }

    /// The text that a place stands for.
    pub fn text(&self, place: u32) -> &str {
        &self.all[range(&self.ends, place)]
    }

    fn order(&self, order: &mut Order) {
        let mut places: Vec<u32> = (0..self.ends.len() as u32).collect();
        places.sort_unstable_by_key(|place| self.text(*place));
        let mut ranks = vec![0; places.len()];
        for (rank, place) in (0..).zip(places) {
            ranks[place as usize] = rank;
        }
        let greatest = ranks.len() - 1;
        order.by(greatest as u64, self.places.iter().map(|place| ranks[*place as usize]));
    }

    /// Its texts by place; the first is empty and stands for null.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).map(|place| self.text(place))
    }

    /// The texts of some rows in the order in which they first stand there, and for each row its text's place among
    /// them.
    pub fn dictionary(&self, rows: Range<usize>) -> (Vec<&str>, Vec<u32>) {
        const NOT_YET: u32 = u32::MAX;
        let mut new_places = vec![NOT_YET; self.ends.len()];
        let mut texts = Vec::new();
        let place = |place: &u32| {
            let new_place = &mut new_places[*place as usize];
            if *new_place == NOT_YET {
                // A null stands for any.
                *new_place = if *place == 0 { 0 } else { texts.len() as u32 };
                texts.extend((*place > 0).then(|| self.text(*place)));
            }
            *new_place
        };
        let places = self.places[rows].iter().map(place).collect();
        (texts, places)
    }

    /// Of some rows which have a text; None where all have.
    pub fn validity(&self, rows: Range<usize>) -> Option<impl Iterator<Item = bool>> {
        let places = &self.places[rows];
        places.contains(&0).then(|| places.iter().map(|place| *place > 0))
    }
}

/// Where the bytes of a text are.
fn range(ends: &[usize], place: u32) -> Range<usize> {
    let place = place as usize;
    place.checked_sub(1).map_or(0, |before| ends[before])..ends[place]
}

fn hash(hasher: &RandomState, bytes: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}
