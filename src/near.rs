//! Owns the guess at what a misspelled name was meant to be. Whether a name is known is for whoever asks.

use std::path::Path;

/// The known word nearest to `word`, when it is near enough to be a slip; none where two are as near.
pub fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    const SLIP: f64 = 0.8;
    let word = word.to_lowercase();
    let (mut best, mut likeness, mut tied) = (None, SLIP, false);
    for candidate in known {
        let own = strsim::jaro_winkler(&word, &candidate.to_lowercase());
        if own > likeness {
            (best, likeness, tied) = (Some(candidate), own, false);
        } else if own == likeness && best.is_some_and(|best| best != candidate) {
            tied = true;
        }
    }
    best.filter(|_| !tied)
}

/// What stands beside a path and is named almost like it.
pub fn nearest_path(path: &Path) -> Option<String> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut names: Vec<String> = std::fs::read_dir(parent)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let near = nearest(path.file_name()?.to_str()?, names.iter().map(String::as_str))?;
    Some(path.with_file_name(near).display().to_string())
}

/// `one of a, b, c; did you mean b?`
pub fn one_of(word: &str, known: &[&str]) -> String {
    let guess = nearest(word, known.iter().copied()).map(|near| format!("; did you mean {near}?"));
    format!("one of {}{}", known.join(", "), guess.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_guessed_in_any_case_and_a_tie_is_not() {
        let usage_tiers = ["free", "tier1", "tier2", "tier3"];
        assert_eq!(nearest("Tier-1", usage_tiers), Some("tier1"));
        assert_eq!(nearest("FREE", usage_tiers), Some("free"));
        assert_eq!(nearest("tier4", usage_tiers), None);
        assert_eq!(nearest("paid", usage_tiers), None);
        assert_eq!(nearest("modle", ["model", "model", "metric"]), Some("model"));
    }
}
