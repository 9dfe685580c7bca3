//! Parquet files that are damaged, or that no writer would write: what is missing is told, the rest counts, and nothing
//! ends the program. Pages are made here byte by byte, and the end of a file says of them what a test wants.

use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::basic::Encoding;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::SchemaDescriptor;
use rerate::read::container::parquet::{Rows, Stored};
use rerate::read::lines::Block;
use rerate::read::settings::Settings;
use rerate::types::origin::InputId;
use rerate::types::reason::Reason;

use crate::run::{rerate, stderr};

/// Codes of the format.
const PLAIN: u8 = 0;
const RLE: u8 = 3;
const RLE_DICTIONARY: u8 = 8;

const FIELDS: [&str; 6] = ["request_id", "timestamp", "project_id", "model", "method", "status"];

/// A row group.
struct Group {
    /// As the end of the file says.
    rows: i64,
    /// Of each leaf.
    chunks: Vec<Chunk>,
}

/// The pages of a leaf.
#[derive(Default)]
struct Chunk {
    pages: Vec<u8>,
    values: i64,
    has_dictionary: bool,
    /// Added to where the end of the file says that it begins.
    moved: i64,
}

impl Chunk {
    fn of(pages: Vec<Vec<u8>>, values: usize) -> Chunk {
        Chunk { pages: pages.concat(), values: values as i64, ..Chunk::default() }
    }
}

/// So many requests that cost nothing, in pages of `a_page` rows.
fn requests(total: usize, a_page: usize) -> Group {
    let chunk = |field: &str| {
        let text = |row: usize| match field {
            "request_id" => format!("{total}-{row:06}"),
            "timestamp" => "2026-06-01T12:00:00Z".to_string(),
            "project_id" => "p".to_string(),
            "model" => "models/gemini-2.5-flash".to_string(),
            "method" => "countTokens".to_string(),
            _ => "200".to_string(),
        };
        let rows: Vec<usize> = (0..total).collect();
        let page = |rows: &[usize]| {
            let texts: Vec<u8> = rows.iter().flat_map(|row| plain(&text(*row))).collect();
            page(rows.len(), PLAIN, &texts)
        };
        Chunk::of(rows.chunks(a_page).map(page).collect(), rows.len())
    };
    Group { rows: total as i64, chunks: FIELDS.map(chunk).into() }
}

fn schema(more: &str) -> String {
    let columns: String = FIELDS.map(|field| format!("required binary {field} (STRING); ")).concat();
    format!("message log {{ {columns} {more} }}")
}

fn file(schema: &str, groups: Vec<Group>) -> Vec<u8> {
    let schema = Arc::new(SchemaDescriptor::new(Arc::new(parse_message_type(schema).expect("a schema"))));
    let mut bytes = b"PAR1".to_vec();
    let mut of_groups = Vec::new();
    for Group { rows, chunks } in groups {
        let mut columns = Vec::new();
        for (place, chunk) in chunks.into_iter().enumerate() {
            let start = bytes.len() as i64 + chunk.moved;
            let column = ColumnChunkMetaData::builder(schema.column(place))
                .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
                .set_num_values(chunk.values)
                .set_total_compressed_size(chunk.pages.len() as i64)
                .set_total_uncompressed_size(chunk.pages.len() as i64)
                .set_dictionary_page_offset(chunk.has_dictionary.then_some(start))
                .set_data_page_offset(start);
            columns.push(column.build().expect("a column"));
            bytes.extend(chunk.pages);
        }
        let group = RowGroupMetaData::builder(schema.clone()).set_num_rows(rows);
        of_groups.push(group.set_column_metadata(columns).build().expect("a group"));
    }
    let rows = of_groups.iter().map(RowGroupMetaData::num_rows).sum();
    let of_file = FileMetaData::new(1, rows, None, None, schema, None);
    let metadata = ParquetMetaData::new(of_file, of_groups);
    ParquetMetaDataWriter::new(&mut bytes, &metadata).finish().expect("memory takes it");
    bytes
}

/// A text as it stands in a page.
fn plain(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// Levels as they stand in a page: each so many times.
fn levels(runs: &[(u8, usize)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (level, times) in runs {
        varint(&mut bytes, (*times as u64) << 1);
        bytes.push(*level);
    }
    [&(bytes.len() as u32).to_le_bytes(), &bytes[..]].concat()
}

/// A page of values and what comes before them, with what it hashes to.
fn page(slots: usize, encoding: u8, bytes: &[u8]) -> Vec<u8> {
    // Field 5: values, their encoding, those of levels.
    let mut of_values = vec![0x1c];
    for number in [slots as i64, i64::from(encoding), i64::from(RLE), i64::from(RLE)] {
        field(&mut of_values, number);
    }
    whole(0, &of_values, bytes)
}

/// The words of a chunk.
fn dictionary(words: &[&str]) -> Vec<u8> {
    // Field 7: words, their encoding.
    let mut of_words = vec![0x3c];
    for number in [words.len() as i64, i64::from(PLAIN)] {
        field(&mut of_words, number);
    }
    whole(2, &of_words, &words.iter().flat_map(|word| plain(word)).collect::<Vec<_>>())
}

/// A page of a kind: fields 1 to 4, what it is, and what it holds.
fn whole(kind: i64, of_kind: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    let mut page = Vec::new();
    for number in [kind, bytes.len() as i64, bytes.len() as i64, i64::from(crc.sum() as i32)] {
        field(&mut page, number);
    }
    [&page, of_kind, &[0, 0], bytes].concat()
}

/// A whole number, as the field after the last one.
fn field(bytes: &mut Vec<u8>, number: i64) {
    bytes.push(0x15);
    varint(bytes, (number << 1 ^ number >> 63) as u64);
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// What is read of a file.
#[derive(Debug)]
struct Made {
    rows: i64,
    /// What is told of each time when rows aren't read.
    told: Vec<String>,
}

const BY_PAGES: bool = false;
/// With details no column is read by its pages.
const BY_ARROW: bool = true;

fn read(bytes: &[u8], detail: bool) -> Made {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("a log");
    let settings = Settings { detail, ..Settings::default() };
    let stored = Stored::file(file.path());
    let parts = Rows::open(InputId(0), "log".into(), stored, &settings, 2, Arc::default()).expect("a log");
    let mut made = Made { rows: 0, told: Vec::new() };
    for mut part in parts {
        let mut block = Block::default();
        while part.next(&mut block).expect("a file") {
            made.rows += block.rows.as_ref().map_or(0, RecordBatch::num_rows) as i64;
            made.told.extend(block.ended_by.take().map(|(reason, why)| {
                assert_eq!(reason, Reason::TruncatedInput, "{why}");
                why
            }));
        }
    }
    made
}

/// Where a text stands.
fn places_of(bytes: &[u8], text: &str) -> Vec<usize> {
    memchr::memmem::find_iter(bytes, text).collect()
}

/// The numbers in a text.
fn numbers(text: &str) -> Vec<i64> {
    let words = text.split(|letter: char| !letter.is_ascii_digit());
    words.filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn a_flipped_byte_is_found_by_the_crc_of_its_page() {
    let mut words = requests(300, 100);
    let codes = |rows| [&[0], &levels(&[(0, rows)])[4..]].concat();
    let pages = vec![dictionary(&["countTokens"]), page(300, RLE_DICTIONARY, &codes(300))];
    words.chunks[4] = Chunk { has_dictionary: true, ..Chunk::of(pages, 300) };
    for (group, flipped) in [(requests(300, 100), "300-000250"), (words, "countTokens")] {
        let mut bytes = file(&schema(""), vec![group]);
        for detail in [BY_PAGES, BY_ARROW] {
            let made = read(&bytes, detail);
            assert_eq!((made.rows, made.told.len()), (300, 0), "{detail}: {made:?}");
        }
        let place = places_of(&bytes, flipped)[0];
        bytes[place] ^= 1;
        for detail in [BY_PAGES, BY_ARROW] {
            let made = read(&bytes, detail);
            assert!(made.rows < 300 && made.told.len() == 1, "{flipped}, {detail}: {made:?}");
        }
    }
}

#[test]
fn which_rows_of_a_broken_file_are_not_read_is_told() {
    let groups = || vec![requests(300, 100), requests(20_000, 500), requests(17_000, 17_000), requests(1, 1)];
    let sound = file(&schema(""), groups());
    // With the last row of its group.
    for (row, end) in [("300-000250", 300), ("20000-019999", 20_300), ("17000-000250", 37_300)] {
        let mut bytes = sound.clone();
        let place = places_of(&bytes, row)[0];
        bytes[place] ^= 1;
        for detail in [BY_PAGES, BY_ARROW] {
            let made = read(&bytes, detail);
            let [told] = &made.told[..] else { panic!("{row}, {detail}: {made:?}") };
            let [first, last] = numbers(told)[..] else { panic!("{told}") };
            assert!(told.ends_with("aren't read"), "{told}");
            assert_eq!(made.rows + last + 1 - first, 37_301, "{row}, {detail}: {told}");
            assert!(first <= last && last == end, "{row}, {detail}: {told}");
        }
    }
    // Of one row.
    let mut bytes = file(&schema(""), vec![requests(17_000, 500), requests(1, 1)]);
    let place = *places_of(&bytes, "countTokens").last().expect("a method");
    bytes[place] ^= 1;
    for detail in [BY_PAGES, BY_ARROW] {
        let made = read(&bytes, detail);
        assert_eq!(made.told, ["the Parquet file is broken: row 17001 isn't read"], "{detail}");
    }
}

#[test]
fn of_a_group_that_says_another_number_of_rows_what_is_missing_is_told() {
    for (has, says) in [(300, 500), (500, 300), (300, 301), (300, 299), (300, 0), (300, -1), (1, 5000)] {
        let lies = || Group { rows: says, ..requests(has, 100) };
        for (first, groups) in [
            (0, vec![lies()]),
            (0, vec![lies(), requests(20_000, 1_000)]),
            (17_000, vec![requests(17_000, 1_000), lies()]),
        ] {
            let others = groups.iter().map(|group| group.rows).sum::<i64>() - says;
            let bytes = file(&schema(""), groups);
            for detail in [BY_PAGES, BY_ARROW] {
                let made = read(&bytes, detail);
                let [told] = &made.told[..] else { panic!("{says} for {has}, {detail}: {made:?}") };
                let of_it = made.rows - others;
                match numbers(told)[..] {
                    [from, to] => assert_eq!(of_it + (to + 1 - from), says, "{has}, {detail}: {told}"),
                    [row] if told.contains("isn't read") => {
                        assert_eq!((of_it + 1, row), (says, first + says), "{has}, {detail}: {told}")
                    }
                    // What it has beyond what it says has no number.
                    [row] => assert_eq!((of_it, row), (says.max(0), first + says.max(0)), "{told}"),
                    _ => panic!("{says} for {has}, {detail}: {told}"),
                }
            }
        }
    }
}

/// As many groups, each in the one before it, and a number.
fn of_depth(depth: usize) -> Vec<u8> {
    let mut bytes = vec![0x15, 2, 0x19, 0xfc];
    varint(&mut bytes, depth as u64 + 1);
    // The root: its name and how many it has.
    bytes.extend([0x48, 1, b'r', 0x15, 2, 0]);
    for _ in 1..depth {
        // It may be missing.
        bytes.extend([0x35, 2, 0x18, 1, b'g', 0x15, 2, 0]);
    }
    bytes.extend([0x15, 4, 0x25, 2, 0x18, 1, b'n', 0]);
    // No rows and no groups.
    bytes.extend([0x16, 0, 0x19, 0x0c, 0]);
    ended(bytes)
}

fn ended(end: Vec<u8>) -> Vec<u8> {
    let length = (end.len() as u32).to_le_bytes();
    [b"PAR1", &end[..], &length, b"PAR1"].concat()
}

#[test]
fn a_schema_that_is_too_deep_or_too_large_is_refused() {
    for depth in [2, 128] {
        let made = read(&of_depth(depth), BY_PAGES);
        assert_eq!((made.rows, &made.told[..]), (0, &[][..]), "{depth} levels");
    }
    for depth in [129, 9_999] {
        let made = read(&of_depth(depth), BY_PAGES);
        assert_eq!(made.told, ["the Parquet file's schema is more than 128 levels deep"], "{depth} levels");
    }
    let told = "the Parquet file's schema has 200001 columns and groups; more than 10000 aren't read";
    assert_eq!(read(&of_depth(200_000), BY_PAGES).told, [told]);
    // Members that aren't there take no memory.
    let mut bytes = vec![0x15, 2, 0x19, 0x1c, 0x48, 1, b'r', 0x15];
    varint(&mut bytes, (i32::MAX as u64) << 1);
    bytes.extend([0, 0x16, 0, 0x19, 0x0c, 0]);
    assert_eq!(read(&ended(bytes), BY_PAGES).told, ["the Parquet file is broken"]);
    // Another schema before the list, or a list that says its length otherwise: by an id that is cut to 16 bits.
    let honest = of_depth(2);
    let version = honest.windows(2).position(|bytes| bytes == [0x15, 2]).expect("a version");
    for other in
        [&[0x05, 0x82, 0x80, 0x08, 2][..], &[0x15, 2, 0x09, 0x84, 0x80, 0x08][..], &[0x1c, 0, 0x15, 2][..]]
    {
        let end = [other, &honest[version + 2..honest.len() - 8]].concat();
        assert_eq!(read(&ended(end), BY_PAGES).told, ["the Parquet file is broken"]);
    }
}

/// Requests with a list of one tool each, whose levels are these.
fn with_tools(element: &str, repeats: &[(u8, usize)], of_values: &[(u8, usize)]) -> Vec<u8> {
    let values: Vec<u8> = (0..300).flat_map(|_| plain("google_search")).collect();
    let bytes = [levels(repeats), levels(of_values), values].concat();
    let mut group = requests(300, 300);
    group.chunks.push(Chunk::of(vec![page(300, PLAIN, &bytes)], 300));
    let list = format!("optional group tools (LIST) {{ repeated group list {{ {element} }} }}");
    file(&schema(&list), vec![group])
}

#[test]
fn a_list_that_begins_in_no_row_is_broken() {
    let of_lists = |repeats: &[_]| with_tools("optional binary element (STRING);", repeats, &[(3, 300)]);
    for detail in [BY_PAGES, BY_ARROW] {
        let made = read(&of_lists(&[(0, 300)]), detail);
        assert_eq!((made.rows, made.told.len()), (300, 0), "{detail}: {made:?}");
        let made = read(&of_lists(&[(1, 1), (0, 299)]), detail);
        assert!(made.told.len() == 1 && made.rows < 300, "{detail}: {made:?}");
    }
}

#[test]
fn a_level_that_no_value_has_is_broken() {
    for (element, greatest) in [("required", 2), ("optional", 3)] {
        let element = format!("{element} binary element (STRING);");
        for (level, told) in [(greatest, 0), (greatest + 1, 1)] {
            let levels = [(greatest, 100), (level, 1), (greatest, 199)];
            let made = read(&with_tools(&element, &[(0, 300)], &levels), BY_PAGES);
            assert_eq!(made.told.len(), told, "level {level} of {greatest}: {made:?}");
        }
    }
}

/// A page of nulls has codes of no word, and some writers leave out how wide they are.
#[test]
fn a_page_without_the_width_of_its_codes_has_no_values() {
    let mut group = requests(300, 300);
    let nulls = page(300, RLE_DICTIONARY, &levels(&[(0, 300)]));
    group.chunks.push(Chunk { has_dictionary: true, ..Chunk::of(vec![dictionary(&[]), nulls], 300) });
    let made = read(&file(&schema("optional binary usage_tier (STRING);"), vec![group]), BY_PAGES);
    assert_eq!((made.rows, made.told.len()), (300, 0), "{made:?}");
}

/// With columns that lie before the file, or beyond it.
pub fn misplaced() -> [Vec<u8>; 3] {
    [-1 << 40, -20_000, 1 << 40].map(|moved| {
        let mut group = requests(300, 100);
        group.chunks[3].moved = moved;
        file(&schema(""), vec![group, requests(20_000, 20_000)])
    })
}

#[test]
fn a_column_that_lies_nowhere_is_missing() {
    for bytes in misplaced() {
        for detail in [BY_PAGES, BY_ARROW] {
            let made = read(&bytes, detail);
            assert_eq!((made.rows, made.told.len()), (20_000, 1), "{detail}: {made:?}");
            assert_eq!(numbers(&made.told[0]), [1, 300], "{detail}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("log.parquet"), bytes).expect("a log");
        let told = stderr(&rerate(folder.path(), &["check", "log.parquet", "--usage-tier", "tier1"]));
        assert!(told.contains("rows 1 to 300 aren't read") && !told.contains("panicked"), "{told}");
    }
}

#[test]
fn a_broken_first_group_hides_no_other() {
    let mut bytes = file(&schema(""), vec![requests(17_000, 17_000), requests(20_000, 20_000)]);
    bytes[4..100].fill(0xff);
    for detail in [BY_PAGES, BY_ARROW] {
        let made = read(&bytes, detail);
        assert_eq!(made.rows, 20_000, "{detail}: {made:?}");
        assert_eq!(made.told, ["the Parquet file is broken: rows 1 to 17000 aren't read"], "{detail}");
    }
    // The second group's, which begins with it.
    let second = places_of(&bytes, "20000-000000")[0];
    bytes[second - 40..second + 100].fill(0xff);
    // What the shape is told by can be read: it has no ids.
    for detail in [BY_PAGES, BY_ARROW] {
        let made = read(&bytes, detail);
        let told = ["1 to 17000", "17001 to 37000"]
            .map(|rows| format!("the Parquet file is broken: rows {rows} aren't read"));
        assert_eq!((made.rows, made.told), (0, told.to_vec()), "{detail}");
    }
    // Of a file of which nothing can be read there is one record.
    let (before, length) = bytes[..bytes.len() - 4].split_last_chunk::<4>().expect("a file");
    let footer = before.len() - u32::from_le_bytes(*length) as usize;
    bytes[4..footer].fill(0xff);
    let made = read(&bytes, BY_PAGES);
    assert_eq!(made.told, ["the Parquet file is broken: rows 1 to 37000 aren't read"]);
}
