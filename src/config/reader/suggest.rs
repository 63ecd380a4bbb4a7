//! The known name that somebody meant.

/// The name in `known` that is a few slips of the finger away from `text`.
///
/// Damerau-Levenshtein, because it counts a swap of two letters as one slip, which Levenshtein does not; at most a
/// third of the word may differ, and always one letter.
pub(crate) fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let slips_max = (text.chars().count() / 3).max(1);
    let distances = known.into_iter().map(|name| (strsim::damerau_levenshtein(text, name), name));
    distances.filter(|(slips, _)| *slips <= slips_max).min().map(|(_, name)| name)
}

/// `v1, v2, v3`, cut after a dozen.
pub(crate) fn listed<'k>(known: impl IntoIterator<Item = &'k str>) -> String {
    const LISTED_MAX: usize = 16;
    let mut names: Vec<&str> = known.into_iter().take(LISTED_MAX + 1).collect();
    if names.len() > LISTED_MAX {
        names[LISTED_MAX] = "...";
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_few() {
        let known = ["hosts", "paths", "sticky", "connect_timeout"];
        assert_eq!(nearest("host", known), Some("hosts"));
        assert_eq!(nearest("stikcy", known), Some("sticky"));
        assert_eq!(nearest("conect_timout", known), Some("connect_timeout"));
        assert_eq!(nearest("timeout", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(listed(["a", "b"]), "a, b");
        assert!(listed(["x"; 20]).ends_with("x, ..."));
    }
}
