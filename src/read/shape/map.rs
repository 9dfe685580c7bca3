//! Owns column maps: what a user says of a table or of JSON that no other shape knows (`--map FILE`, TOML), and the map
//! that is proposed for one. A map says where fields lie; what they come to is for the canonical decoder.
//!
//! ```toml
//! timestamp_format = "epoch_ms"          # or epoch_s; text (RFC 3339) where it isn't given
//! [columns]                              # a field of a record, or a count of its usage ← a column, or a path with dots
//! timestamp = "created"
//! promptTokenCount = "usage.input_tokens"
//! [constants]                            # where a field has no column, or its cell is empty
//! method = "generateContent"
//! [words.status]                         # what a cell says ← what a record says
//! success = 200
//! error = "failed"
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::canonical::Field;
use super::record::{Record, without_provider};
use super::usage_metadata::Member;
use super::value::{Fields, Value};
use super::{Items, Mapped, Read, Shape};
use crate::books::accounts::{self, line_at};
use crate::books::dated::{self, Mistake};
use crate::books::read_text;
use crate::error::Result;
use crate::near::{nearest, one_of};
use crate::types::day::Instant;
use crate::types::key::shown;
use crate::types::meter::QUANTITIES;
use crate::types::tier::words;

/// As its page says it, and as inputs read by a map are named. What an input's own map says is beside it.
pub const SHAPE: Shape = Shape {
    name: "map",
    title: "items read by a column map",
    documented: "here; `rerate check LOGS` proposes a map for a file of unknown shape, by the names of its columns",
    told_by: "nothing: `--map FILE` says so for all inputs. An item with fewer than two of the map's columns is another's",
    tells: |_| false,
    fields: Fields { named: &[], whole: &[] },
    cells: &[],
    mapped: &[
        Mapped {
            from: "[columns] FIELD = \"column\"",
            to: "FIELD",
            note: "any field of the canonical record, count of usageMetadata or meter of quantities; the column may be a path with \
                   dots (`usage.input`), into objects or into JSON in a cell",
        },
        Mapped {
            from: "timestamp_format = \"text\"",
            to: "timestamp",
            note: "`epoch_s` or `epoch_ms`: seconds or milliseconds since 1970, a fraction may follow; text is RFC 3339 (--time-zone)",
        },
        Mapped {
            from: "[constants] FIELD = \"word\"",
            to: "FIELD",
            note: "where the field has no column, or its cell is empty",
        },
        Mapped {
            from: "[words.FIELD] found = \"word\"",
            to: "FIELD",
            note: "what a cell says in words of its own, like `success = 200` of status; a word that isn't there stands as it is",
        },
    ],
    lacks: &[],
    merges: false,
    read: Read::Items(|_, _| {}),
};

words! {
    /// How times are written.
    TimeFormat { Text = "text", EpochS = "epoch_s", EpochMs = "epoch_ms" }
}

/// A record is told by so many of a map's columns: one alone is in many a log of something else.
const FEWEST_COLUMNS: usize = 2;
/// Fields whose column holds a list or an object.
const WHOLE: [&str; 5] = ["usageMetadata", "quantities", "labels", "tools", "cached_content"];

#[derive(Debug)]
pub struct Map {
    timestamp_format: TimeFormat,
    /// Column by field, of [`fields`].
    columns: BTreeMap<&'static str, String>,
    constants: BTreeMap<&'static str, Value<'static>>,
    /// By field and what a cell says.
    words: BTreeMap<&'static str, BTreeMap<String, Value<'static>>>,
}

/// What a map may name: fields of a record, members of its usageMetadata, meters of its quantities.
fn fields() -> Vec<&'static str> {
    let fields = Field::ALL.iter().map(|field| field.name());
    let members = Member::ALL.iter().map(|member| member.name());
    fields.chain(members).chain(QUANTITIES.iter().map(|meter| meter.name())).collect()
}

impl Map {
    /// Reads a map's file; the error has all its mistakes.
    pub fn load(file: &Path) -> Result<Map> {
        let name = file.display().to_string();
        let text = read_text(file, "; rerate check LOGS proposes a map").map_err(|mistake| vec![mistake]);
        let map = text.and_then(|text| Map::parse(&name, &text));
        map.or_else(|mistakes| {
            dated::refuse(&mistakes)?;
            unreachable!("a map that isn't read has a mistake")
        })
    }

    fn parse(file: &str, text: &str) -> std::result::Result<Map, Vec<Mistake>> {
        let table = accounts::table(file, text).map_err(|mistake| vec![mistake])?;
        let mut reader = Reader { file, text, mistakes: Vec::new() };
        let map = reader.map(&table);
        if reader.mistakes.is_empty() { Ok(map) } else { Err(reader.mistakes) }
    }

    /// A shape of its own, which lives as long as the program: a run has few maps.
    pub fn into_shape(self) -> &'static Shape {
        let leak = |names: BTreeSet<String>| -> &'static [&'static str] {
            Vec::leak(names.into_iter().map(|name| &*String::leak(name)).collect())
        };
        let (mut named, mut whole, mut cells) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (field, column) in &self.columns {
            let parts: Vec<&str> = column.split('.').collect();
            let is_whole = WHOLE.contains(field);
            // A key of JSON may itself have dots.
            for from in 0..parts.len() {
                for to in from + 1..=parts.len() {
                    let key = parts[from..to].join(".");
                    let is_last = to == parts.len() && is_whole && *field != "usageMetadata";
                    if is_last {
                        whole.insert(key)
                    } else {
                        named.insert(key)
                    };
                }
            }
            if parts.len() > 1 || is_whole {
                cells.insert(parts[0].to_string());
            }
        }
        if self.columns.contains_key("usageMetadata") {
            let members = Member::ALL.iter().map(|member| member.name());
            named.extend(members.chain(["modality", "tokenCount"]).map(str::to_string));
        }
        let mapped = self.columns.iter().map(|(field, column)| Mapped {
            from: String::leak(column.clone()),
            to: field,
            note: "",
        });
        Box::leak(Box::new(Shape {
            fields: Fields { named: leak(named), whole: leak(whole) },
            cells: leak(cells),
            mapped: Vec::leak(mapped.collect()),
            read: Read::ByMap(Box::leak(Box::new(self))),
            ..SHAPE
        }))
    }

    pub fn tells(&self, item: &Value<'_>) -> bool {
        let found = self.columns.values().filter(|column| find(item, column).is_some()).count();
        found >= FEWEST_COLUMNS.min(self.columns.len())
    }

    pub fn read(&self, item: &Value<'_>, items: &mut Items) {
        let mut record = Record::default();
        for field in Field::ALL.iter().map(|field| field.name()) {
            let value = self.value(item, field);
            match (field, &value) {
                ("timestamp", _) => match self.timestamp(&value) {
                    Some(at) => record.set_text(field, &at.to_string()),
                    None => record.set(field, &as_text(value)),
                },
                ("status" | "latency_ms", _) => record.set(field, &value.loose()),
                ("model" | "model_version" | "base_model", Value::Text(name)) => {
                    record.set_text(field, without_provider(name));
                }
                ("usageMetadata" | "quantities" | "cached_content", Value::Object(members)) => {
                    let members: Vec<_> =
                        members.iter().map(|(key, value)| (&**key, value.loose())).collect();
                    let members: Vec<_> = members.iter().map(|(key, value)| (*key, value)).collect();
                    record.set_object(field, &members);
                }
                _ if WHOLE.contains(&field) => record.set(field, &value),
                _ => record.set(field, &as_text(value)),
            }
        }
        let of = |names: &mut dyn Iterator<Item = &'static str>| -> Vec<_> {
            names
                .map(|name| (name, self.value(item, name)))
                .filter(|(_, value)| !value.is_missing())
                .collect()
        };
        let members = of(&mut Member::ALL.iter().map(|member| member.name()));
        let members: Vec<_> = members.iter().map(|(name, value)| (*name, value)).collect();
        record.set_usage(&members);
        let quantities = of(&mut QUANTITIES.iter().map(|meter| meter.name()));
        if !quantities.is_empty() {
            let quantities: Vec<_> = quantities.iter().map(|(name, value)| (*name, value)).collect();
            record.set_object("quantities", &quantities);
        }
        items.request(record);
    }

    /// What an item says of a field, in the words of a record; else the constant.
    fn value<'item>(&self, item: &Value<'item>, field: &str) -> Value<'item> {
        let cell = self.columns.get(field).and_then(|column| find(item, column));
        let Some(cell) = cell.filter(|cell| !cell.is_missing()) else {
            return self.constants.get(field).cloned().unwrap_or(Value::Null);
        };
        let word = match cell {
            Value::Text(word) | Value::Number(word) => word,
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            _ => return cell.clone(),
        };
        let words = self.words.get(field);
        words.and_then(|words| words.get(word)).cloned().unwrap_or_else(|| cell.clone())
    }

    /// A time since 1970; None of what is text, or no such time.
    fn timestamp(&self, value: &Value<'_>) -> Option<Instant> {
        let (Value::Text(written) | Value::Number(written)) = value else { return None };
        match self.timestamp_format {
            TimeFormat::Text => None,
            TimeFormat::EpochS => since_1970(written, 9),
            TimeFormat::EpochMs => since_1970(written, 6),
        }
    }
}

/// Numbers of ids and names are as good as their digits.
fn as_text(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Number(digits) => Value::Text(digits),
        value => value,
    }
}

/// `1763942400.25` of a unit of 10^`places` nanoseconds; what is finer than a nanosecond is cut.
fn since_1970(written: &str, places: u32) -> Option<Instant> {
    let (whole, fraction) = written.split_once('.').unwrap_or((written, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let unit = 10i64.pow(places);
    let cut = &fraction[..fraction.len().min(places as usize)];
    let of_fraction = match cut.parse::<i64>() {
        Ok(digits) => digits * 10i64.pow(places - cut.len() as u32),
        Err(_) => 0,
    };
    whole.parse::<i64>().ok()?.checked_mul(unit)?.checked_add(of_fraction).map(Instant)
}

/// What stands at a path with dots; a key may have dots of its own.
fn find<'v, 'item>(value: &'v Value<'item>, path: &str) -> Option<&'v Value<'item>> {
    let member = |key: &str| value.members().iter().find(|(name, _)| name == key).map(|(_, value)| value);
    member(path).or_else(|| {
        let dots = path.match_indices('.');
        dots.into_iter().find_map(|(dot, _)| find(member(&path[..dot])?, &path[dot + 1..]))
    })
}

struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn map(&mut self, top: &DeTable<'_>) -> Map {
        self.refuse_unknown(top, &["timestamp_format", "columns", "constants", "words"]);
        let timestamp_format = top.get("timestamp_format").and_then(|value| {
            let word = value.get_ref().as_str().unwrap_or_default();
            let known = TimeFormat::from_name(word);
            if known.is_none() {
                let known: Vec<&str> = TimeFormat::ALL.iter().map(|format| format.name()).collect();
                let what = format!("timestamp_format is {word:?}; expected {}", one_of(word, &known));
                self.mistake(value.span().start, what);
            }
            known
        });
        let columns = self.entries(top, "columns", |value| {
            value
                .as_str()
                .filter(|column| !column.is_empty())
                .map(str::to_string)
                .ok_or("the name of a column")
        });
        let constants = self.entries(top, "constants", word);
        let mut words = BTreeMap::new();
        if let Some(table) = self.table(top, "words") {
            for field in self.known_fields(table) {
                let own: Vec<_> = self.table(table, field).into_iter().flatten().collect();
                let own = own.into_iter().filter_map(|(found, value)| match word(value.get_ref()) {
                    Ok(word) => Some((found.get_ref().to_string(), word)),
                    Err(expected) => {
                        let what = format!("{} of [words.{field}]: expected {expected}", found.get_ref());
                        self.mistake(value.span().start, what);
                        None
                    }
                });
                let own: BTreeMap<String, Value<'static>> = own.collect();
                words.insert(field, own);
            }
        }
        if columns.is_empty() {
            self.mistake(
                0,
                "[columns] is empty; it says where fields are, like model = \"model_name\"".to_string(),
            );
        }
        let says = |table: &str| {
            let table = top.get(table).and_then(|value| value.get_ref().as_table());
            table.is_some_and(|table| table.contains_key("status"))
        };
        if !says("columns") && !says("constants") {
            let what = "status has no column; give it one, or a constant (status = 200) if only calls that went well are logged";
            self.mistake(0, what.to_string());
        }
        for (whole, mut parts) in [
            ("usageMetadata", Member::ALL.iter().map(|member| member.name()).collect::<Vec<_>>()),
            ("quantities", QUANTITIES.iter().map(|meter| meter.name()).collect()),
        ] {
            parts.retain(|part| columns.contains_key(part) || constants.contains_key(part));
            if columns.contains_key(whole) && !parts.is_empty() {
                let what = format!("{whole} has a column, and {} too; give one", parts.join(", "));
                self.mistake(0, what);
            }
        }
        let timestamp_format = timestamp_format.unwrap_or(TimeFormat::Text);
        Map { timestamp_format, columns, constants, words }
    }

    /// The members of the table `[name]` by field.
    fn entries<T>(
        &mut self,
        top: &DeTable<'_>,
        name: &str,
        read: fn(&DeValue<'_>) -> std::result::Result<T, &'static str>,
    ) -> BTreeMap<&'static str, T> {
        let Some(table) = self.table(top, name) else { return BTreeMap::new() };
        let mut entries = BTreeMap::new();
        for field in self.known_fields(table) {
            let Some(value) = table.get(field) else { continue };
            match read(value.get_ref()) {
                Ok(read) => drop(entries.insert(field, read)),
                Err(expected) => {
                    self.mistake(value.span().start, format!("{field} of [{name}]: expected {expected}"));
                }
            }
        }
        entries
    }

    fn known_fields(&mut self, table: &DeTable<'_>) -> Vec<&'static str> {
        let known = fields();
        for key in table.keys().filter(|key| !known.contains(&&**key.get_ref())) {
            let found = key.get_ref();
            let guess = match nearest(found, known.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => "the README has the fields of a record".to_string(),
            };
            self.mistake(
                key.span().start,
                format!("{found} is no field of a record, nor a count of its usage; {guess}"),
            );
        }
        known.into_iter().filter(|field| table.contains_key(*field)).collect()
    }

    fn table<'t, 'i>(&mut self, top: &'t DeTable<'i>, name: &str) -> Option<&'t DeTable<'i>> {
        let value = top.get(name)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.mistake(value.span().start, format!("{name} is no table; write [{name}]"));
        }
        table
    }

    fn refuse_unknown(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&&**key.get_ref())) {
            let what =
                format!("there is no key {}; expected {}", key.get_ref(), one_of(key.get_ref(), known));
            self.mistake(key.span().start, what);
        }
    }

    fn mistake(&mut self, at: usize, what: String) {
        self.mistakes.push(Mistake { place: format!("{}:{}", self.file, line_at(self.text, at)), what });
    }
}

/// A word or a number that a record may say.
fn word(value: &DeValue<'_>) -> std::result::Result<Value<'static>, &'static str> {
    match (value.as_str(), value.as_integer()) {
        (Some(word), _) if !word.is_empty() => Ok(Value::Text(word.to_string().into())),
        (_, Some(number)) if number.radix() == 10 => Ok(Value::Number(number.as_str().to_string().into())),
        _ => Err("a word in quotes, or a whole number"),
    }
}

/// How fields are called in logs of others, without capitals and what isn't a letter or digit; the likeliest first.
const CALLED: [(&str, &[&str]); 17] = [
    ("request_id", &["requestid", "responseid", "callid", "generationid", "logid", "id", "uuid"]),
    (
        "timestamp",
        &[
            "timestamp",
            "createdat",
            "starttime",
            "requesttime",
            "requestcreatedat",
            "loggingtime",
            "eventtime",
            "created",
            "createtime",
            "datetime",
            "time",
            "ts",
            "date",
        ],
    ),
    ("project_id", &["projectid", "gcpproject", "project", "projectnumber"]),
    ("model", &["model", "modelname", "modelid", "requestmodel", "modelversion"]),
    ("method", &["method", "apimethod", "methodname", "endpoint", "operation"]),
    ("status", &["statuscode", "httpstatus", "responsestatus", "status", "responsecode", "code", "outcome"]),
    ("usageMetadata", &["usagemetadata"]),
    (
        "promptTokenCount",
        &[
            "prompttokencount",
            "inputtokens",
            "prompttokens",
            "inputtokencount",
            "tokensin",
            "tokensinput",
            "usageinput",
        ],
    ),
    (
        "candidatesTokenCount",
        &[
            "candidatestokencount",
            "outputtokens",
            "completiontokens",
            "outputtokencount",
            "tokensout",
            "tokensoutput",
            "usageoutput",
        ],
    ),
    (
        "cachedContentTokenCount",
        &[
            "cachedcontenttokencount",
            "cachedtokens",
            "cachedinputtokens",
            "inputcachedtokens",
            "cachereadinputtokens",
        ],
    ),
    (
        "thoughtsTokenCount",
        &["thoughtstokencount", "thoughttokens", "thoughtstokens", "thinkingtokens", "reasoningtokens"],
    ),
    ("toolUsePromptTokenCount", &["tooluseprompttokencount", "tooltokens", "toolusetokens"]),
    ("totalTokenCount", &["totaltokencount", "totaltokens", "tokenstotal"]),
    ("service_tier", &["servicetier"]),
    ("usage_tier", &["usagetier"]),
    ("api_key_id", &["apikeyid", "keyid"]),
    ("latency_ms", &["latencyms", "durationms", "delayms"]),
];
/// A column's name as it is compared.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_lowercase()).collect()
}

/// Whether some field goes by this name.
pub fn is_called(name: &str) -> bool {
    let name = plain(name);
    CALLED.iter().any(|(_, names)| names.contains(&&*name))
}

/// Fields that a proposed map says something of even where no column is called so.
const NEEDED: [&str; 4] = ["request_id", "timestamp", "model", "status"];

/// The names of an item's members, and of the members of those, with dots.
pub fn columns(sketch: &Value<'_>) -> Vec<String> {
    const MOST: usize = 1 << 10;
    let below = |key: &str, value: &Value<'_>| -> Vec<String> {
        let members = value.members().iter().map(|(name, _)| format!("{key}.{name}"));
        std::iter::once(key.to_string()).chain(members).collect()
    };
    sketch.members().iter().flat_map(|(key, value)| below(key, value)).take(MOST).collect()
}

/// A map for a file with these columns, to be completed by hand; None where hardly any is called like a field. It names
/// only columns that are called so: what others are called may be somebody's text.
pub fn propose(columns: &[String]) -> Option<String> {
    let is_name = |column: &&String| {
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "_-. ".contains(char);
        column.chars().all(is_plain) && shown(column) == **column
    };
    let columns: Vec<&String> = columns.iter().filter(is_name).collect();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let (mut lines, mut found) = (String::new(), 0);
    let (mut has_status, mut has_usage) = (false, false);
    for (field, names) in CALLED {
        let called = |name: &&str| {
            let own = |column: &&&String| {
                let last = column.rsplit('.').next().unwrap_or_default();
                !taken.contains(column.as_str()) && (plain(column) == *name || plain(last) == *name)
            };
            columns.iter().find(own).copied()
        };
        // Counts within usageMetadata that is read whole need no line of their own.
        let is_within = has_usage && field.ends_with("TokenCount");
        match names.iter().find_map(called) {
            Some(column) if !is_within => {
                lines.push_str(&format!("{field} = \"{column}\"\n"));
                taken.insert(column);
                found += 1;
                has_status |= field == "status";
                has_usage |= field == "usageMetadata";
            }
            None if NEEDED.contains(&field) && field != "status" => {
                lines.push_str(&format!("# {field} = \"?\"\n"));
            }
            _ => {}
        }
    }
    if found < FEWEST_COLUMNS {
        return None;
    }
    let status = match has_status {
        true => {
            "# [words.status]                      # where it isn't an HTTP status\n# success = 200\n# error = \"failed\"\n"
        }
        false => {
            "[constants]\n# status = 200                        # if only calls that went well are logged\n"
        }
    };
    Some(format!(
        "timestamp_format = \"text\"             # or epoch_s, epoch_ms\n[columns]\n{lines}{status}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::shape::Item;

    fn read(map: &str, item: &str, is_row: bool) -> Option<String> {
        let shape = Map::parse("map.toml", map).expect("a map").into_shape();
        let value = match is_row {
            true => Value::read_row(item.as_bytes(), &shape.fields, shape.cells),
            false => Value::read(item.as_bytes(), &shape.fields),
        };
        let value = value.expect("JSON");
        let mut items = Items::default();
        shape.is_own(&value).then(|| {
            shape.read_item(&value, &mut items);
            let [Item::Request(record)] = items.list.as_slice() else { panic!("one request") };
            let mut json = String::new();
            record.write(&mut json);
            json
        })
    }

    #[test]
    fn a_column_is_a_path_into_objects_cells_and_dotted_names() {
        let map =
            "[columns]\nmodel = \"m.name\"\npromptTokenCount = \"m.in.tokens\"\n[constants]\nstatus = 200\n";
        let record = r#"{"model":"x","status":200,"usageMetadata":{"promptTokenCount":"3"}}"#;
        for (item, is_row) in [
            (r#"{"m":{"name":"google/x","in":{"tokens":"3"}},"y":1}"#, false),
            (r#"{"m.name":"x","m.in.tokens":"3"}"#, false),
            (r#"{"m":{"name":"x","in.tokens":"3"}}"#, false),
            (r#"{"m.name":"x","m.in.tokens":"3"}"#, true),
            (r#"{"m":"{\"name\":\"x\",\"in\":{\"tokens\":\"3\"}}"}"#, true),
        ] {
            assert_eq!(read(map, item, is_row).as_deref(), Some(record), "{item}");
        }
        assert_eq!(read(map, r#"{"m":{"name":"x"}}"#, false), None, "one column alone");
    }

    #[test]
    fn times_since_1970_are_read_to_the_nanosecond() {
        for (written, places, nanos) in [
            ("1763942400", 9, Some(1_763_942_400_000_000_000)),
            ("1763942400.25", 9, Some(1_763_942_400_250_000_000)),
            ("1.1234567899", 9, Some(1_123_456_789)),
            ("1763942400123", 6, Some(1_763_942_400_123_000_000)),
            ("1.5", 6, Some(1_500_000)),
            ("-1", 9, None),
            ("1e9", 9, None),
            ("99999999999999", 9, None),
            ("", 9, None),
            (".5", 9, None),
        ] {
            assert_eq!(since_1970(written, places), nanos.map(Instant), "{written}");
        }
    }

    #[test]
    fn a_proposed_map_is_a_map_and_names_no_other_column() {
        let columns: Vec<String> = [
            "Log ID",
            "Created At",
            "Model Name",
            "usage",
            "usage.input_tokens",
            "Status",
            "a secret text",
            "\u{5bc6} total tokens",
        ]
        .map(String::from)
        .into();
        let map = propose(&columns).expect("a map");
        assert!(!map.contains("secret"));
        let map = Map::parse("map.toml", &map).expect("a map");
        let expected = [
            ("model", "Model Name"),
            ("promptTokenCount", "usage.input_tokens"),
            ("request_id", "Log ID"),
            ("status", "Status"),
            ("timestamp", "Created At"),
        ];
        assert_eq!(
            map.columns.iter().map(|(field, column)| (*field, &**column)).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(propose(&["one".to_string(), "model".to_string()]), None);
    }
}
