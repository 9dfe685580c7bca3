//! Owns columns of texts, and the words of those that decide facts: each has a number that it keeps from batch to batch.

use std::hash::BuildHasher;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, StringArray, StringViewArray};
use arrow_schema::DataType;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// The number of a word that isn't plain.
pub(super) const NO_NUMBER: u32 = u32::MAX;
/// So many words of a dictionary have codes of a byte.
pub(super) const FEW: usize = 1 << 8;
const LONGEST_WORD: usize = 1 << 10;
/// Bytes of all words of a column that are kept.
const MOST_BYTES: usize = 16 << 20;

/// The words of one column that were met, each with a number; what is empty or null has 0.
pub(super) struct Words {
    hasher: RandomState,
    table: HashTable<u32>,
    /// By number; the first is none.
    texts: Vec<Box<[u8]>>,
    /// Numbers that aren't words' come first.
    before: u32,
    greatest: u32,
    bytes: usize,
    /// The dictionary that was learnt last, and the numbers of its words.
    dictionary: Option<StringArray>,
    numbers: Vec<u32>,
}

impl Words {
    pub(super) fn new(before: u32, greatest: u32) -> Words {
        Words {
            hasher: RandomState::default(),
            table: HashTable::new(),
            texts: vec![Box::default()],
            before,
            greatest,
            bytes: 0,
            dictionary: None,
            numbers: Vec::new(),
        }
    }

    /// The number of a word, a new one if nobody met it; [`NO_NUMBER`] when it is too long, or words are too many.
    pub(super) fn number(&mut self, text: &[u8]) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if text.len() > LONGEST_WORD {
            return NO_NUMBER;
        }
        let Words { hasher, table, texts, before, greatest, bytes, .. } = self;
        let hash = hasher.hash_one(text);
        let place = match table.find(hash, |place| *texts[*place as usize] == *text) {
            Some(place) => *place,
            None => {
                let place = texts.len() as u32;
                if *before + place > *greatest || *bytes + text.len() > MOST_BYTES {
                    return NO_NUMBER;
                }
                *bytes += text.len();
                texts.push(text.into());
                table.insert_unique(hash, place, |place| hasher.hash_one(&*texts[*place as usize]));
                place
            }
        };
        *before + place
    }

    /// The word that has a number.
    pub(super) fn text(&self, number: u32) -> Option<&[u8]> {
        let place = number.checked_sub(self.before).filter(|place| *place > 0)?;
        self.texts.get(place as usize).map(|text| &**text)
    }

    /// Learns the words of a dictionary, as a rule that of the batch before; gives their numbers.
    pub(super) fn learn(&mut self, dictionary: &StringArray) -> &[u32] {
        let is_same = |own: &StringArray| {
            own.value_data().as_ptr() == dictionary.value_data().as_ptr()
                && own.offsets().as_ptr() == dictionary.offsets().as_ptr()
                && own.len() == dictionary.len()
        };
        // The one before is kept, so no other can lie where it does.
        if !self.dictionary.as_ref().is_some_and(is_same) {
            self.numbers.clear();
            for place in 0..dictionary.len() {
                let number = match dictionary.is_null(place) {
                    true => 0,
                    false => self.number(dictionary.value(place).as_bytes()),
                };
                self.numbers.push(number);
            }
            self.dictionary = Some(dictionary.clone());
        }
        &self.numbers
    }
}

/// A column of texts.
pub(super) enum Text<'a> {
    Coded(&'a DictionaryArray<Int32Type>, &'a StringArray),
    View(&'a StringViewArray),
    Plain(&'a StringArray),
}

impl<'a> Text<'a> {
    pub(super) fn of(array: &'a ArrayRef) -> Option<Text<'a>> {
        match array.data_type() {
            DataType::Utf8 => Some(Text::Plain(array.as_string())),
            DataType::Utf8View => Some(Text::View(array.as_string_view())),
            DataType::Dictionary(..) => {
                let coded = array.as_dictionary_opt::<Int32Type>()?;
                Some(Text::Coded(coded, coded.values().as_string_opt()?))
            }
            _ => None,
        }
    }

    /// What stands there; anything where it is null.
    pub(super) fn bytes(&self, row: usize) -> &'a [u8] {
        match self {
            Text::Coded(coded, dictionary) => {
                let code = coded.keys().values()[row] as usize;
                if code < dictionary.len() { dictionary.value(code).as_bytes() } else { &[] }
            }
            Text::View(texts) => texts.value(row).as_bytes(),
            Text::Plain(texts) => texts.value(row).as_bytes(),
        }
    }

    pub(super) fn all_are(&self, is: impl Fn(&str) -> bool) -> bool {
        match self {
            Text::Coded(_, dictionary) => dictionary.iter().flatten().all(is),
            Text::View(texts) => texts.iter().flatten().all(is),
            Text::Plain(texts) => texts.iter().flatten().all(is),
        }
    }
}

/// Texts that are kept while their batch is read.
pub(super) enum Texts {
    None,
    View(StringViewArray),
    Text(StringArray),
    Coded(DictionaryArray<Int32Type>, StringArray),
}

impl Texts {
    pub(super) fn of(array: &ArrayRef) -> Option<Texts> {
        match array.data_type() {
            DataType::Utf8 => Some(Texts::Text(array.as_string().clone())),
            DataType::Utf8View => Some(Texts::View(array.as_string_view().clone())),
            DataType::Dictionary(..) => {
                let coded = array.as_dictionary_opt::<Int32Type>()?;
                Some(Texts::Coded(coded.clone(), coded.values().as_string_opt()?.clone()))
            }
            _ => None,
        }
    }

    /// What stands there; nothing where it is null.
    #[inline(always)]
    pub(super) fn bytes(&self, row: usize) -> &[u8] {
        match self {
            Texts::None => &[],
            Texts::Text(texts) if texts.is_null(row) => &[],
            Texts::Text(texts) => texts.value(row).as_bytes(),
            Texts::View(texts) if texts.is_null(row) => &[],
            Texts::View(texts) => texts.value(row).as_bytes(),
            Texts::Coded(codes, words) => match codes.key(row) {
                Some(code) if words.is_valid(code) => words.value(code).as_bytes(),
                _ => &[],
            },
        }
    }
}
