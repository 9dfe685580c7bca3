//! Owns an item as a shape sees it: the few values that it reads, borrowed from the item's text; what nobody reads is
//! proved to be JSON and left where it lies, so a prompt of a megabyte costs nothing. What values mean is for shapes.

use std::borrow::Cow;

use super::faults::whole_number;
use super::map;
use crate::read::json::{Json, Kind, Malformed};
use crate::suspense::{Refusal, quoted};
use crate::types::reason::Reason;
use crate::types::usage::GREATEST_COUNT;

/// An item that holds more values that are read than this is refused. What real ones have most is spans: a collector's batch
/// of 8,192, with twenty attributes each, fits.
const MOST_VALUES: usize = 1 << 20;
/// In one object; so that looking for keys that stand twice stays cheap.
const MOST_MEMBERS: usize = 1 << 10;

type Members<'item> = Vec<(Cow<'static, str>, Value<'item>)>;

/// A value, as it lies in the item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'item> {
    Null,
    Bool(bool),
    /// As it is written.
    Number(Cow<'item, str>),
    Text(Cow<'item, str>),
    List(Vec<Value<'item>>),
    /// Members in their order, no key twice.
    Object(Members<'item>),
}

/// Which members of objects are read, wherever they stand; all others are left.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    /// Keys in camelCase. An item may write them in snake_case too; both are kept under the name given here.
    pub named: &'static [&'static str],
    /// Keys (in the item's own spelling) under which everything is read, because keys there are the user's.
    pub whole: &'static [&'static str],
}

impl Fields {
    /// Whether the value at the end of a path of keys is read.
    pub fn keep(&self, path: &[&str]) -> bool {
        let user = path.iter().position(|key| self.whole.contains(key));
        path[..user.unwrap_or(path.len())].iter().all(|key| self.name(key).is_some())
    }

    fn name(&self, key: &str) -> Option<&'static str> {
        let named = |key: &str| self.named.iter().copied().find(|name| *name == key);
        named(key).or_else(|| named(&camel_case(key)?))
    }
}

/// No key by name.
const SKETCH: Fields = Fields { named: &[], whole: &[] };

const NULL: &Value<'static> = &Value::Null;

impl<'item> Value<'item> {
    /// Reads an item; refuses what is no JSON, has a key twice among those that are read, or too many values.
    pub fn read(item: &'item [u8], fields: &Fields) -> Result<Value<'item>, Refusal<'static>> {
        Reader::new(fields, None, 0).item(item)
    }

    /// Reads an item of which those members `cells` may be JSON in a text, as they are where a table was exported.
    pub fn read_opening(
        item: &'item [u8],
        fields: &Fields,
        cells: &[&str],
    ) -> Result<Value<'item>, Refusal<'static>> {
        let mut value = Value::read(item, fields)?;
        if let Value::Object(members) = &mut value {
            for (_, member) in members.iter_mut().filter(|(name, _)| cells.contains(&&**name)) {
                let Value::Text(text) = &*member else { continue };
                if !text.starts_with(['{', '[']) {
                    continue;
                }
                match Value::read(text.as_bytes(), fields) {
                    Ok(opened) => *member = opened.into_owned(),
                    Err(refusal) if refusal.reason == Reason::DuplicateKey => return Err(refusal),
                    // A text that only begins like one.
                    Err(_) => {}
                }
            }
        }
        Ok(value)
    }

    /// Reads a row: a dotted column is a member of an object, and a cell of one of the columns `cells` is JSON if it can
    /// be.
    pub fn read_row(
        item: &'item [u8],
        fields: &Fields,
        cells: &[&str],
    ) -> Result<Value<'item>, Refusal<'static>> {
        Reader::new(fields, Some(&|column| cells.contains(&column)), 0).item(item)
    }

    /// Reads all keys of an item and of the objects right below it: enough to tell its shape.
    pub fn sketch(item: &'item [u8], is_row: bool) -> Result<Value<'item>, Refusal<'static>> {
        let is_cell: &dyn Fn(&str) -> bool = &|_| true;
        Reader::new(&SKETCH, is_row.then_some(is_cell), 2).item(item)
    }

    /// A member; null where there is none, or this is no object.
    pub fn get(&self, key: &str) -> &Value<'item> {
        let members = match self {
            Value::Object(members) => members.as_slice(),
            _ => &[],
        };
        members.iter().find(|(name, _)| name == key).map_or(NULL, |(_, value)| value)
    }

    /// A member of a member of …; null where there is none.
    pub fn at(&self, path: &[&str]) -> &Value<'item> {
        path.iter().fold(self, |value, key| value.get(key))
    }

    /// The first member of these names that isn't missing.
    pub fn first_of(&self, keys: &[&str]) -> &Value<'item> {
        keys.iter().map(|key| self.get(key)).find(|value| !value.is_missing()).unwrap_or(NULL)
    }

    pub fn has(&self, key: &str) -> bool {
        !self.get(key).is_missing()
    }

    /// Null and the empty string are missing.
    pub fn is_missing(&self) -> bool {
        matches!(self, Value::Null) || self.text().is_some_and(str::is_empty)
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number within bounds, in a string too; as the decoder would read it.
    pub fn count(&self) -> Option<u64> {
        match self {
            Value::Number(digits) | Value::Text(digits) => {
                whole_number(digits).filter(|count| *count <= GREATEST_COUNT)
            }
            _ => None,
        }
    }

    /// A text that is a number, as that number.
    pub fn loose(&self) -> Value<'item> {
        let is_number = |text: &str| {
            let mut json = Json::new(text);
            json.kind() == Ok(Kind::Number)
                && json.skip().is_ok()
                && json.end().is_ok()
                && text.trim() == text
        };
        match self {
            Value::Text(text) if is_number(text) => Value::Number(text.clone()),
            value => value.clone(),
        }
    }

    /// The items of a list; none where this is no list.
    pub fn items(&self) -> &[Value<'item>] {
        match self {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The members of an object; none where this is no object.
    pub fn members(&self) -> &[(Cow<'static, str>, Value<'item>)] {
        match self {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    pub fn is_object(&self) -> bool {
        matches!(self, Value::Object(_))
    }

    /// As a message says it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    /// What a message says of an item of which nothing is known: its kind, and the first keys of an object.
    pub fn described(&self) -> String {
        const SHOWN: usize = 6;
        let members = self.members();
        if members.is_empty() {
            return self.kind().to_string();
        }
        // A name is one word; what has several may be text that somebody wrote, unless fields are called so.
        let name = |key: &str| match key.contains(' ') && !map::is_called(key) {
            true => format!("a name of {} bytes", key.len()),
            false => quoted(key),
        };
        let keys: Vec<String> = members.iter().take(SHOWN).map(|(key, _)| name(key)).collect();
        let more = if members.len() > SHOWN { " and more" } else { "" };
        format!("an object with {}{more}", keys.join(", "))
    }

    /// Appends it as JSON.
    pub fn write(&self, json: &mut String) {
        match self {
            Value::Null => json.push_str("null"),
            Value::Bool(is) => json.push_str(if *is { "true" } else { "false" }),
            Value::Number(digits) => json.push_str(digits),
            Value::Text(text) => write_text(text, json),
            Value::List(items) => {
                json.push('[');
                for (place, item) in items.iter().enumerate() {
                    json.push_str(if place > 0 { "," } else { "" });
                    item.write(json);
                }
                json.push(']');
            }
            Value::Object(members) => {
                json.push('{');
                for (place, (key, value)) in members.iter().enumerate() {
                    json.push_str(if place > 0 { "," } else { "" });
                    write_text(key, json);
                    json.push(':');
                    value.write(json);
                }
                json.push('}');
            }
        }
    }
}

impl Value<'_> {
    fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(is) => Value::Bool(is),
            Value::Number(digits) => Value::Number(Cow::Owned(digits.into_owned())),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Value::Object(members) => {
                Value::Object(members.into_iter().map(|(key, value)| (key, value.into_owned())).collect())
            }
        }
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Value::Number(number.to_string().into())
    }
}

impl<'item> From<&'item str> for Value<'item> {
    fn from(text: &'item str) -> Self {
        Value::Text(text.into())
    }
}

/// Appends a text as JSON.
pub fn write_text(text: &str, json: &mut String) {
    json.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if !matches!(byte, b'"' | b'\\' | 0..=0x1f) {
            continue;
        }
        json.push_str(&text[plain..at]);
        match byte {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            control => json.push_str(&format!("\\u{control:04x}")),
        }
        plain = at + 1;
    }
    json.push_str(&text[plain..]);
    json.push('"');
}

struct Reader<'f> {
    fields: &'f Fields,
    /// Of a row: which columns hold JSON.
    is_cell: Option<&'f dyn Fn(&str) -> bool>,
    /// For so many levels every key is read.
    all: usize,
    /// Values that may still come.
    left: usize,
    /// A key that stands twice.
    doubled: Option<String>,
}

impl<'f> Reader<'f> {
    fn new(fields: &'f Fields, is_cell: Option<&'f dyn Fn(&str) -> bool>, all: usize) -> Reader<'f> {
        Reader { fields, is_cell, all, left: MOST_VALUES, doubled: None }
    }

    fn item<'item>(mut self, item: &'item [u8]) -> Result<Value<'item>, Refusal<'static>> {
        let refused = |reason, detail: &str| Err(Refusal::of_line(reason, detail));
        let Ok(text) = std::str::from_utf8(item) else {
            return refused(Reason::MalformedJson, "the line isn't valid UTF-8");
        };
        let mut json = Json::new(text);
        let value = match self.is_cell {
            Some(is_cell) => self.row(&mut json, is_cell),
            None => self.value(&mut json, self.all),
        };
        match value.and_then(|value| json.end().map(|()| value)) {
            Err(Malformed) if self.left == 0 => refused(
                Reason::LineTooLong,
                &format!("the line has more than {MOST_VALUES} values that are read"),
            ),
            Err(Malformed) => refused(Reason::MalformedJson, "the line isn't valid JSON"),
            Ok(value) => match self.doubled {
                Some(key) if self.all == 0 => refused(Reason::DuplicateKey, &format!("{key} stands twice")),
                _ => Ok(value),
            },
        }
    }

    fn row<'item>(
        &mut self,
        json: &mut Json<'item>,
        is_cell: &dyn Fn(&str) -> bool,
    ) -> Result<Value<'item>, Malformed> {
        let mut members = Members::new();
        json.object(|json, column| {
            let mut all = self.all;
            let mut path = Vec::new();
            for key in column.split('.') {
                let Some((name, below)) = self.name(key, all) else {
                    return json.skip();
                };
                path.push(name);
                all = below;
            }
            let value = match self.value(json, all)? {
                Value::Text(text) if is_cell(&path[0]) && text.starts_with(['{', '[']) => {
                    self.cell(text, all)
                }
                value => value,
            };
            self.put(&mut members, path, value);
            Ok(())
        })?;
        Ok(Value::Object(members))
    }

    /// The JSON of a cell; where it is none, its text.
    fn cell<'item>(&mut self, text: Cow<'item, str>, all: usize) -> Value<'item> {
        let mut json = Json::new(&text);
        let value = self.value(&mut json, all).and_then(|value| json.end().map(|()| value.into_owned()));
        value.unwrap_or(Value::Text(text))
    }

    fn put<'item>(
        &mut self,
        members: &mut Members<'item>,
        mut path: Vec<Cow<'static, str>>,
        value: Value<'item>,
    ) {
        let key = path.remove(0);
        let own = members.iter_mut().find(|(name, _)| *name == key);
        match (own, path.is_empty()) {
            (Some((_, Value::Object(below))), false) => self.put(below, path, value),
            (Some(_), _) => self.doubled = Some(quoted(&key)),
            (None, true) => members.push((key, value)),
            (None, false) => {
                let mut below = Members::new();
                self.put(&mut below, path, value);
                members.push((key, Value::Object(below)));
            }
        }
    }

    /// Reads a value; under it every key for `all` levels.
    fn value<'item>(&mut self, json: &mut Json<'item>, all: usize) -> Result<Value<'item>, Malformed> {
        self.left = self.left.checked_sub(1).filter(|left| *left > 0).ok_or_else(|| {
            self.left = 0;
            Malformed
        })?;
        Ok(match json.kind()? {
            Kind::Null => json.skip().map(|()| Value::Null)?,
            Kind::Bool => {
                let is = json.is_true()?;
                Value::Bool(is)
            }
            Kind::Number => Value::Number(json.number()?.into()),
            Kind::String => Value::Text(json.string()?),
            Kind::Array => {
                // A sketch is of objects: the first item of a list says what kind of list it is.
                let most = if self.fields.named.is_empty() { 1 } else { usize::MAX };
                let mut items = Vec::new();
                json.array(|json| {
                    if items.len() == most {
                        return json.skip();
                    }
                    items.push(self.value(json, all)?);
                    Ok(())
                })?;
                Value::List(items)
            }
            Kind::Object => {
                let mut members = Members::new();
                json.object(|json, key| {
                    let Some((name, all)) = self.name(key, all) else {
                        return json.skip();
                    };
                    if members.iter().any(|(other, _)| *other == name) {
                        self.doubled.get_or_insert_with(|| quoted(&name));
                        return json.skip();
                    }
                    let value = self.value(json, all)?;
                    if members.len() == MOST_MEMBERS {
                        self.left = 0;
                        return Err(Malformed);
                    }
                    members.push((name, value));
                    Ok(())
                })?;
                Value::Object(members)
            }
        })
    }

    /// Under which name a key is kept, if it is, and for how many levels every key below it.
    fn name(&self, key: &str, all: usize) -> Option<(Cow<'static, str>, usize)> {
        if let Some(name) = self.fields.name(key) {
            return Some((Cow::Borrowed(name), all.saturating_sub(1)));
        }
        if let Some(name) = self.fields.whole.iter().find(|name| **name == key) {
            return Some((Cow::Borrowed(name), usize::MAX));
        }
        (all > 0).then(|| (Cow::Owned(key.to_string()), all.saturating_sub(1)))
    }
}

/// `prompt_token_count` as `promptTokenCount`; None for what has no underscore within.
fn camel_case(key: &str) -> Option<String> {
    if !key.contains('_') || key.starts_with('_') {
        return None;
    }
    let mut words = key.split('_');
    let first = words.next().unwrap_or_default().to_string();
    Some(words.fold(first, |mut name, word| {
        let mut chars = word.chars();
        name.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(chars.as_str());
        name
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: Fields = Fields { named: &["usageMetadata", "promptTokenCount", "id"], whole: &["labels"] };

    fn read(item: &str) -> Result<String, (Reason, String)> {
        let value =
            Value::read(item.as_bytes(), &FIELDS).map_err(|refusal| (refusal.reason, refusal.detail))?;
        let mut json = String::new();
        value.write(&mut json);
        Ok(json)
    }

    #[test]
    fn only_what_is_named_is_kept_in_either_spelling() {
        let item = r#"{"x":[1,{"id":2}],"usage_metadata":{"prompt_token_count":"7","y":{}},"id":"é\n\u0001","labels":{"a":{"b":[1.50]}}}"#;
        let kept =
            r#"{"usageMetadata":{"promptTokenCount":"7"},"id":"é\u000a\u0001","labels":{"a":{"b":[1.50]}}}"#;
        assert_eq!(read(item), Ok(kept.to_string()));
    }

    #[test]
    fn a_key_twice_in_two_spellings_is_twice() {
        let twice = r#"{"usageMetadata":{},"usage_metadata":{}}"#;
        assert_eq!(read(twice), Err((Reason::DuplicateKey, "\"usageMetadata\" stands twice".to_string())));
        assert!(read(r#"{"x":1,"x":2}"#).is_ok(), "nobody reads it");
        assert_eq!(read(r#"{"x":NaN}"#).unwrap_err().0, Reason::MalformedJson);
    }

    #[test]
    fn an_item_of_very_many_values_is_refused() {
        let many = format!(r#"{{"labels":[{}0]}}"#, "0,".repeat(MOST_VALUES));
        assert_eq!(read(&many).unwrap_err().0, Reason::LineTooLong);
        assert!(read(&many.replace("labels", "others")).is_ok(), "what isn't read costs nothing");
    }

    #[test]
    fn a_sketch_has_the_keys_of_two_levels() {
        let item = br#"{"a":{"b":{"c":1},"d":2},"e":[{"f":{"g":1}},{"h":1}]}"#;
        let sketch = Value::sketch(item, false).unwrap();
        assert!(sketch.at(&["a", "b"]).is_object() && sketch.at(&["a", "b", "c"]).is_missing());
        assert!(sketch.get("e").items()[0].has("f") && sketch.get("e").items().len() == 1);
        assert_eq!(sketch.described(), "an object with \"a\", \"e\"");
    }

    #[test]
    fn a_row_has_objects_in_dotted_columns_and_in_cells() {
        let row = |item: &str| {
            let value = Value::read_row(item.as_bytes(), &FIELDS, &["usageMetadata"]);
            value.map(|value| {
                let mut json = String::new();
                value.write(&mut json);
                json
            })
        };
        let flat = r#"{"usageMetadata.promptTokenCount":"7","x.y":"1","labels.a b":"c","labels.d":"[1]"}"#;
        let nested = r#"{"usageMetadata":{"promptTokenCount":"7"},"labels":{"a b":"c","d":"[1]"}}"#;
        assert_eq!(row(flat).unwrap(), nested);
        let cell = r#"{"usageMetadata":"{\"promptTokenCount\":7,\"x\":1}","id":"{}"}"#;
        assert_eq!(row(cell).unwrap(), r#"{"usageMetadata":{"promptTokenCount":7},"id":"{}"}"#);
        assert_eq!(row(r#"{"usageMetadata":"{oops"}"#).unwrap(), r#"{"usageMetadata":"{oops"}"#);
        assert_eq!(row(r#"{"id":"1","id":"2"}"#).unwrap_err().reason, Reason::DuplicateKey);
    }
}
