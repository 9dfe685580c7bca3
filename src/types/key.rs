//! Owns how names from logs may be shown: API keys hashed, control characters made visible. Knows no report.

use std::borrow::Cow;

use twox_hash::XxHash3_64;

/// A Google API key: `AIza` and 35 characters more.
const KEY_PREFIX: &str = "AIza";
const KEY_LENGTH: usize = 39;

/// A name as it may leave the program: whatever looks like an API key becomes `key-` and a hash, so that the
/// same key is still told as the same one; control characters, which a terminal would obey, become `\u{…}`.
pub fn shown(name: &str) -> Cow<'_, str> {
    // Nearly all names are of bytes that are shown as they are; few have a capital I.
    let is_plain = name.bytes().fold(true, |is_plain, byte| is_plain & matches!(byte, b' '..=b'~'));
    let has_control = !is_plain && name.chars().any(char::is_control);
    let may_be_key = name.contains('I') && name.contains(KEY_PREFIX);
    if !(has_control || may_be_key) {
        return Cow::Borrowed(name);
    }
    let mut shown = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find(KEY_PREFIX) {
        let length = rest[at..]
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
            .count();
        shown.push_str(&rest[..at]);
        let word = &rest[at..at + length];
        if length >= KEY_LENGTH {
            shown.push_str(&format!("key-{:016x}", XxHash3_64::oneshot(word.as_bytes())));
        } else {
            shown.push_str(word);
        }
        rest = &rest[at + length..];
    }
    shown.push_str(rest);
    if shown.chars().any(char::is_control) {
        shown = shown.chars().fold(String::new(), |mut out, char| {
            if char.is_control() {
                out.extend(char.escape_unicode())
            } else {
                out.push(char)
            }
            out
        });
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_an_api_key_is_hashed() {
        let key = format!("AIzaSy{}", "a".repeat(33));
        let hidden = shown(&format!("projects/{key}/x")).into_owned();
        assert!(
            !hidden.contains(&key) && hidden.starts_with("projects/key-") && hidden.ends_with("/x"),
            "{hidden}"
        );
        assert_eq!(shown("AIzaShort"), "AIzaShort");
        assert_eq!(shown("proj-1"), "proj-1");
    }

    #[test]
    fn a_terminal_has_nothing_to_obey() {
        assert_eq!(shown("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
    }
}
