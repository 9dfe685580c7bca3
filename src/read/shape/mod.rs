//! Owns the shapes: how an export spells a request. This file has their table and tells them apart; each shape is one
//! file beside it, and the canonical decoder judges what all of them make.
//!
//! ```text
//! item ─Value::read─▶ Value ─Shape::read─▶ Items: Record ─write─▶ canonical JSON ─Decoder─▶ request, or a reason
//!                                             ├── a part of one (chunks of an id, merged in the order of the input)
//!                                             └── no request, of a kind
//! ```
//!
//! **A further shape** is a file `<name>.rs` with one `pub const SHAPE: Shape`, and a line in [`SHAPES`]:
//! 1. `fields`: the keys it reads, in camelCase (snake_case is understood too); `whole` for keys whose members are the
//!    user's own. What isn't listed is never kept, so list no prompt and no answer.
//! 2. `tells`: whether an item is one of this shape, by marks that no other shape has. It is asked about a sketch (all
//!    keys of two levels, of lists the first item) when an input is told, and about each item as read with `fields`;
//!    so its marks stand in `fields` too, and it says yes to the shape's own items that are no requests. An item that
//!    it doesn't tell is `other_shape`.
//! 3. `read`: gives for each item one thing or several to [`Items`]: [`Items::request`] for a call, [`Items::part`] for
//!    a chunk of one (with `merges: true`: such an input is read by one thread, in order), [`Items::not_request`] for
//!    what is whole but no call. One given nothing counts as one `event`. It judges nothing: values go into the
//!    [`record::Record`] as they lie, so a negative count or a missing model is refused by the decoder with its reason.
//!    It leaves out what the shape lacks: flags fill it in there ([`crate::read::settings::Defaults`]).
//! 4. `cells`: of rows of a table (CSV, Parquet), the columns whose text is JSON. Dotted column names are objects.
//! 5. `mapped`, `lacks`, `documented`: its page of docs/shapes is made from them (`RERATE_UPDATE=1 cargo test docs`),
//!    messages name a field as `mapped` spells it, and run.json says what `lacks` makes unknowable.
//! 6. Cases in `fixtures/cases`, one for each sample that is read.

mod batch;
mod cached_content;
pub mod canonical;
mod clock;
mod cloud_logging;
pub mod columns;
mod completion;
pub mod cursor;
pub mod faults;
mod fields;
mod gemini_cli;
mod helicone;
mod interactions;
mod joint;
mod langfuse;
mod litellm;
mod live;
pub mod map;
mod openai;
mod otlp;
pub mod plain;
mod provider;
mod quota_failure;
pub mod raw;
pub mod record;
pub mod spelling;
pub mod usage_metadata;
pub mod value;
mod vertex;

use crate::types::reason::Reason;
use crate::types::tier::words;
use record::Record;
use value::{Fields, Value};

/// All shapes, in the order in which an item is tried: those with marks of their own, the canonical record, then the
/// raw answers, whose marks others have too. What a map reads is told by nothing.
pub const SHAPES: &[&Shape] = &[
    &cloud_logging::SHAPE,
    &vertex::SHAPE,
    &gemini_cli::SHAPE,
    &otlp::SHAPE,
    &helicone::SHAPE,
    &batch::SHAPE,
    &interactions::SHAPE,
    &litellm::SHAPE,
    &langfuse::SHAPE,
    &openai::SHAPE,
    &canonical::SHAPE,
    &live::SHAPE,
    &raw::SHAPE,
    &map::SHAPE,
];

/// One shape: what the code and its page of documentation know of it.
#[derive(Debug)]
pub struct Shape {
    /// As `--shape` takes it, and the name of its page.
    pub name: &'static str,
    /// What its items are, in the plural.
    pub title: &'static str,
    /// Where its schema is documented.
    pub documented: &'static str,
    /// In words, by what it is told.
    pub told_by: &'static str,
    pub tells: fn(&Value<'_>) -> bool,
    pub fields: Fields,
    /// Columns of a table whose cells are JSON.
    pub cells: &'static [&'static str],
    pub mapped: &'static [Mapped],
    pub lacks: &'static [Lack],
    /// Chunks of one request may lie apart, so an input is read in its order.
    pub merges: bool,
    pub read: Read,
}

/// How an item is read.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    /// It is a canonical record; of a row one is made.
    AsItIs(fn(&Value<'_>, &mut Items)),
    Items(fn(&Value<'_>, &mut Items)),
    /// As a user's map says, which also tells its items.
    ByMap(&'static map::Map),
}

/// Where a field of the canonical record comes from.
#[derive(Debug)]
pub struct Mapped {
    /// As the shape spells it.
    pub from: &'static str,
    /// A field of the canonical record, or of its usageMetadata.
    pub to: &'static str,
    /// What a reader should know; may be empty.
    pub note: &'static str,
}

/// Something that items of a shape don't say.
#[derive(Debug)]
pub struct Lack {
    pub what: &'static str,
    /// What says it instead.
    pub instead: Option<&'static str>,
    /// What can't be known without it.
    pub so: &'static str,
}

/// What several shapes lack, in the same words.
mod lack {
    use super::Lack;

    pub const PROJECT: Lack = Lack {
        what: "project",
        instead: Some("--project"),
        so: "quotas of several projects can't be told apart",
    };
    pub const USAGE_TIER: Lack = Lack {
        what: "usage tier",
        instead: Some("--usage-tier, or an accounts file"),
        so: "limits are unknown, and nothing can be charged",
    };
    pub const SERVICE_TIER: Lack = Lack {
        what: "service tier",
        instead: Some("--service-tier"),
        so: "flex and priority look like standard",
    };
    pub const MODALITIES: Lack =
        Lack { what: "modalities", instead: None, so: "images and audio are priced as text" };
}

words! {
    /// Why a whole item is no call of this API.
    NotRequest {
        /// Another service's or provider's call: Vertex AI, or a `service` that isn't this API's.
        OtherService = "other_service",
        /// An event, a span or a state that stands beside calls.
        Event = "event",
        /// Sums of calls that stand as items of their own.
        Metric = "metric",
        /// An answer from a gateway's own cache.
        CacheAnswer = "cache_answer",
        /// A call that hadn't ended when it was logged.
        Unfinished = "unfinished",
    }
}

/// What the items of an input come to, in order.
#[derive(Debug, Default)]
pub struct Items {
    pub list: Vec<Item>,
}

#[derive(Debug)]
pub enum Item {
    Request(Record),
    /// A chunk of a request; without an id, of the stream that is under way.
    Part(Option<Box<str>>, Record),
    NotRequest(NotRequest),
    /// Why, and what is known of it all the same.
    Refused(Reason, String, Record),
}

impl Items {
    pub fn request(&mut self, record: Record) {
        self.list.push(Item::Request(record));
    }

    /// A chunk of the request with this id; without one, of the stream of a container that has streams, else a request
    /// of its own.
    pub fn part(&mut self, id: Option<&str>, record: Record) {
        self.list.push(Item::Part(id.map(Box::from), record));
    }

    pub fn not_request(&mut self, kind: NotRequest) {
        self.list.push(Item::NotRequest(kind));
    }

    /// For what the decoder can't see in a record; `known` has the time, the id and the model as far as they are there.
    pub fn refuse(&mut self, reason: Reason, detail: impl Into<String>, known: Record) {
        self.list.push(Item::Refused(reason, detail.into(), known));
    }
}

impl Shape {
    pub fn named(name: &str) -> Option<&'static Shape> {
        SHAPES.iter().copied().find(|shape| shape.name == name)
    }

    /// The shape of an item, if it is any's.
    pub fn tell(sketch: &Value<'_>) -> Option<&'static Shape> {
        SHAPES.iter().copied().find(|shape| (shape.tells)(sketch))
    }

    /// Whether an item, as read with its fields, is one of this shape.
    pub fn is_own(&self, item: &Value<'_>) -> bool {
        match self.read {
            Read::ByMap(map) => map.tells(item),
            _ => (self.tells)(item),
        }
    }

    /// What an item comes to.
    pub fn read_item(&self, item: &Value<'_>, items: &mut Items) {
        match self.read {
            Read::AsItIs(read) | Read::Items(read) => read(item, items),
            Read::ByMap(map) => map.read(item, items),
        }
    }

    /// What a message says of a canonical field, in the words of the shape.
    pub fn in_own_words(&self, detail: String, reason: Reason) -> String {
        // What is missing may have been looked for in several places, so it keeps the name that flags go by.
        if reason == Reason::MissingField {
            return detail;
        }
        let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let words = detail.split_inclusive(|char| !is_name(char));
        let own = |word: &str| {
            let name = word.trim_end_matches(|char| !is_name(char));
            let mapped = self.mapped.iter().find(|mapped| mapped.to == name && mapped.from != name)?;
            Some(format!("{}{}", mapped.from, &word[name.len()..]))
        };
        words.map(|word| own(word).unwrap_or_else(|| word.to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_their_fields_stand_once() {
        for (place, shape) in SHAPES.iter().enumerate() {
            assert!(SHAPES[..place].iter().all(|other| other.name != shape.name), "{}", shape.name);
            for (place, key) in shape.fields.named.iter().enumerate() {
                assert!(!shape.fields.named[..place].contains(key), "{}: {key} stands twice", shape.name);
            }
        }
    }

    #[test]
    fn messages_name_fields_as_the_shape_does() {
        let detail = |text: &str, reason| raw::SHAPE.in_own_words(text.to_string(), reason);
        assert_eq!(detail("status is 302; expected", Reason::BadStatus), "error.code is 302; expected");
        assert_eq!(detail("there is no model", Reason::MissingField), "there is no model");
    }
}
