//! Owns rows of a report, column by column, and the report's order of them. Rows are many and their texts few, so a text
//! is kept once and is a number in its column: rows are sorted by numbers.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

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
    Date(Vec<Option<i32>>),
    /// In microseconds: polars and every reader know them; what is shown are whole seconds.
    Instant(Vec<Option<i64>>),
    Text(Texts),
    Whole(Vec<Option<i64>>),
    Dollars(Vec<Option<i128>>),
    YesNo(Vec<Option<bool>>),
}

impl Rows {
    pub fn new(report: &'static Report) -> Rows {
        let cells = |column: &Column| match column.kind {
            Kind::Date => Cells::Date(Vec::new()),
            Kind::Instant => Cells::Instant(Vec::new()),
            Kind::Text => Cells::Text(Texts::default()),
            Kind::Whole => Cells::Whole(Vec::new()),
            Kind::Dollars => Cells::Dollars(Vec::new()),
            Kind::YesNo => Cells::YesNo(Vec::new()),
        };
        Rows { report, columns: report.columns.iter().map(cells).collect(), rows: 0 }
    }

    /// Whose rows they are.
    pub fn report(&self) -> &'static Report {
        self.report
    }

    /// Appends a row: a value for each column, of its kind. An empty text is null.
    pub fn push<const N: usize>(&mut self, values: [Value<'_>; N]) {
        assert_eq!(N, self.columns.len(), "{}: a value for each column", self.report.name);
        self.rows += 1;
        for (cells, value) in self.columns.iter_mut().zip(values) {
            match (cells, value) {
                (cells, Value::Same) => cells.push_same(),
                (Cells::Date(cells), Value::Date(day)) => cells.push(Some(day.0)),
                (Cells::Date(cells), Value::Null) => cells.push(None),
                (Cells::Instant(cells), Value::Instant(at)) => cells.push(Some(at.0.div_euclid(1_000))),
                (Cells::Instant(cells), Value::Null) => cells.push(None),
                (Cells::Text(cells), Value::Text(text)) => cells.push(text),
                (Cells::Text(cells), Value::Null) => cells.push(""),
                (Cells::Whole(cells), Value::Whole(whole)) => {
                    cells.push(Some(i64::try_from(whole).expect("sums are checked against 2^63")));
                }
                (Cells::Whole(cells), Value::Null) => cells.push(None),
                (Cells::Dollars(cells), Value::Dollars(pico)) => cells.push(Some(pico.0)),
                (Cells::Dollars(cells), Value::Null) => cells.push(None),
                (Cells::YesNo(cells), Value::YesNo(yes)) => cells.push(Some(yes)),
                (Cells::YesNo(cells), Value::Null) => cells.push(None),
                (_, value) => unreachable!("{}: {value:?} in a column of another kind", self.report.name),
            }
        }
    }

    /// Its columns, each with the cells of all rows as they were appended.
    pub fn columns(&self) -> impl Iterator<Item = (&'static Column, &Cells)> {
        self.report.columns.iter().zip(&self.columns)
    }

    /// The rows' places in the report's order.
    pub fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.rows as u32).collect();
        // From the last column of the key to the first, as many at once as 128 bits hold: an order stays within the next.
        let mut packed = vec![0u128; self.rows];
        let mut bits = 0;
        let sort = |order: &mut Vec<u32>, packed: &mut Vec<u128>| {
            order.sort_by_key(|row| packed[*row as usize]);
            packed.fill(0);
        };
        for name in self.report.key.iter().rev() {
            let place = self.report.columns.iter().position(|column| column.name == *name);
            let ranks = self.columns[place.expect("a key has columns of the report")].ranks();
            let greatest = ranks.iter().copied().max().unwrap_or(0);
            let own_bits = u64::BITS - greatest.leading_zeros();
            if own_bits == 0 {
                continue;
            }
            if bits + own_bits > u128::BITS {
                sort(&mut order, &mut packed);
                bits = 0;
            }
            for (packed, rank) in packed.iter_mut().zip(ranks) {
                *packed |= u128::from(rank) << bits;
            }
            bits += own_bits;
        }
        sort(&mut order, &mut packed);
        order
    }
}

impl Cells {
    /// What stands in a row.
    pub fn value(&self, row: u32) -> Value<'_> {
        let row = row as usize;
        match self {
            Cells::Date(cells) => cells[row].map(Day).into(),
            Cells::Instant(cells) => cells[row].map(|micros| Instant(micros * 1_000)).into(),
            Cells::Text(texts) => Some(texts.text(texts.rows[row])).filter(|text| !text.is_empty()).into(),
            Cells::Whole(cells) => cells[row].map(i64::cast_unsigned).into(),
            Cells::Dollars(cells) => cells[row].map(Pico).into(),
            Cells::YesNo(cells) => cells[row].map_or(Value::Null, Value::YesNo),
        }
    }

    fn push_same(&mut self) {
        fn again<T: Copy>(cells: &mut Vec<T>) {
            cells.push(*cells.last().expect("a row before"));
        }
        match self {
            Cells::Date(cells) => again(cells),
            Cells::Instant(cells) | Cells::Whole(cells) => again(cells),
            Cells::Text(texts) => again(&mut texts.rows),
            Cells::Dollars(cells) => again(cells),
            Cells::YesNo(cells) => again(cells),
        }
    }

    /// For each row a number that orders as its cell does; 0 of nulls.
    fn ranks(&self) -> Vec<u64> {
        fn from_least<T: Copy + Into<i64>>(cells: &[Option<T>]) -> Vec<u64> {
            let least = cells.iter().flatten().map(|cell| (*cell).into()).min().unwrap_or(0);
            let rank =
                |cell: T| cell.into().abs_diff(least).checked_add(1).expect("no key spans all numbers");
            cells.iter().map(|cell| cell.map_or(0, rank)).collect()
        }
        match self {
            Cells::Date(cells) => from_least(cells),
            Cells::Instant(cells) | Cells::Whole(cells) => from_least(cells),
            Cells::Text(texts) => texts.ranks(),
            Cells::Dollars(_) | Cells::YesNo(_) => unreachable!("no key has such a column"),
        }
    }
}

/// Texts, each once, and for each row its text's place among them, None of null.
pub type Dictionary<Text> = (Vec<Text>, Vec<Option<u32>>);

/// A column of texts, each kept once.
#[derive(Default)]
pub struct Texts {
    /// The texts, one after the other, and where each ends. The first is empty and stands for null.
    bytes: String,
    ends: Vec<usize>,
    /// Places of texts, by a hash that is another one in each run: texts of a log may be forged.
    table: HashTable<u32>,
    hasher: RandomState,
    /// For each row its text's place.
    rows: Vec<u32>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        if self.ends.is_empty() {
            self.ends.push(0);
        }
        let place = match self.rows.last() {
            _ if text.is_empty() => 0,
            Some(last) if self.text(*last) == text => *last,
            _ => self.find(text),
        };
        self.rows.push(place);
    }

    fn find(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        if let Some(place) = self.table.find(hash, |place| self.text(*place) == text) {
            return *place;
        }
        let place = self.ends.len() as u32;
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        self.table.insert_unique(hash, place, |place| hasher.hash_one(text_at(bytes, ends, *place)));
        place
    }

    fn text(&self, place: u32) -> &str {
        text_at(&self.bytes, &self.ends, place)
    }

    fn ranks(&self) -> Vec<u64> {
        let mut places: Vec<u32> = (0..self.ends.len() as u32).collect();
        places.sort_unstable_by_key(|place| self.text(*place));
        let mut rank_of = vec![0; places.len()];
        for (rank, place) in places.into_iter().enumerate() {
            rank_of[place as usize] = rank as u64;
        }
        self.rows.iter().map(|place| rank_of[*place as usize]).collect()
    }

    /// The texts of some rows, in the order in which they first stand there.
    pub fn dictionary(&self, rows: &[u32]) -> Dictionary<&str> {
        const NOT_YET: u32 = u32::MAX;
        let mut new_places = vec![NOT_YET; self.ends.len()];
        let mut texts = Vec::new();
        let place = |row: &u32| {
            let place = self.rows[*row as usize];
            let new_place = &mut new_places[place as usize];
            if *new_place == NOT_YET && place > 0 {
                *new_place = texts.len() as u32;
                texts.push(self.text(place));
            }
            (place > 0).then_some(*new_place)
        };
        let places = rows.iter().map(place).collect();
        (texts, places)
    }
}

fn text_at<'t>(bytes: &'t str, ends: &[usize], place: u32) -> &'t str {
    let place = place as usize;
    let begin = place.checked_sub(1).map_or(0, |before| ends[before]);
    &bytes[begin..ends[place]]
}
