//! Suggestions for a name that is not known: the one that was meant, and all that there are.

/// The name in `known` that is a few slips of the finger away from `text`.
///
/// Damerau-Levenshtein, because it counts a swap of two letters as one slip, which Levenshtein does not; at most a
/// third of the word may differ. A number is no slip: who writes `v3` does not mean `v1`. Small and capital letters are
/// the same, or half of `On` would differ from `on`.
pub(crate) fn suggest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let slips_max = text.chars().count() / 3;
    let small = text.to_lowercase();
    let slips = |name: &str| strsim::damerau_levenshtein(text, name).min(in_small_letters(&small, name));
    // Of those that are as near, the one in the same letters.
    let distances = known.into_iter().map(|name| ((slips(name), strsim::damerau_levenshtein(text, name)), name));
    let near = distances.filter(|((slips, _), name)| *slips <= slips_max && !differ_in_digits(text, name));
    near.min().map(|(_, name)| name)
}

/// How many slips are left when capital letters are none.
fn in_small_letters(small: &str, name: &str) -> usize {
    strsim::damerau_levenshtein(small, &name.to_lowercase())
}

/// Whether nothing but digits makes the difference.
fn differ_in_digits(one: &str, other: &str) -> bool {
    let letters = |text: &'_ str| text.chars().filter(|char| !char.is_ascii_digit()).collect::<String>();
    one != other && letters(one) == letters(other)
}

/// `v1, v2, v3`, cut after sixteen names.
pub(crate) fn listed<'k>(known: impl IntoIterator<Item = &'k str>) -> String {
    const LISTED_MAX: usize = 16;
    let mut names: Vec<&str> = known.into_iter().take(LISTED_MAX + 1).collect();
    if names.len() > LISTED_MAX {
        names[LISTED_MAX] = "...";
    }
    names.join(", ")
}

/// `one of v1, v2`, cut after twenty names: enough for a look, not a dump of ten thousand services.
pub(crate) fn one_of<'a>(known: impl Iterator<Item = &'a str>) -> String {
    const NAMES_MAX: usize = 20;
    let mut known = known.peekable();
    if known.peek().is_none() {
        return "none: the config has none".to_owned();
    }
    let listed: Vec<_> = known.by_ref().take(NAMES_MAX).collect();
    let more = known.count();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("one of {}{rest}", listed.join(", "))
}

/// The first five of some names, and how many more there are: for a log, whose lines are read.
#[must_use]
pub(crate) fn few<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    const LOGGED_MAX: usize = 5;
    let mut names = names.into_iter();
    let mut listed: Vec<_> = names.by_ref().take(LOGGED_MAX).map(str::to_owned).collect();
    let more = names.count();
    if more > 0 {
        listed.push(format!("and {more} more"));
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_few() {
        let known = ["hosts", "paths", "sticky", "connect_timeout"];
        assert_eq!(suggest("host", known), Some("hosts"));
        assert_eq!(suggest("stikcy", known), Some("sticky"));
        assert_eq!(suggest("conect_timout", known), Some("connect_timeout"));
        assert_eq!(suggest("timeout", known), None);
        assert_eq!(suggest("", known), None);
    }

    #[test]
    fn capital_letters_are_no_slips() {
        assert_eq!(suggest("On", ["off", "on"]), Some("on"));
        assert_eq!(suggest("OFF", ["off", "on"]), Some("off"));
        assert_eq!(suggest("HSOTS", ["hosts"]), Some("hosts"));
        assert_eq!(suggest("no", ["off", "on"]), None, "a word of its own");
        assert_eq!(suggest("V3", ["v1", "v2"]), None, "another number");
    }

    #[test]
    fn what_has_little_in_common_and_another_number_are_no_slips() {
        let versions = ["v1", "v2", "shop-v12"];
        for other in ["v3", "v9", "w1", "v", "v11", "shop-v13", "shop-v1"] {
            assert_eq!(suggest(other, versions), None, "{other}");
        }
        assert_eq!(suggest("shpo-v12", versions), Some("shop-v12"));
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(listed(["a", "b"]), "a, b");
        assert!(listed(["x"; 20]).ends_with("x, ..."));
    }

    #[test]
    fn a_log_names_a_few_and_counts_the_rest() {
        let names: Vec<String> = (0..1_000).map(|n| format!("s{n}")).collect();
        let names = |count: usize| names[..count].iter().map(String::as_str);
        assert_eq!(few(names(0)), Vec::<String>::new());
        assert_eq!(few(names(5)), ["s0", "s1", "s2", "s3", "s4"]);
        assert_eq!(few(names(6)), ["s0", "s1", "s2", "s3", "s4", "and 1 more"]);
        assert_eq!(few(names(1_000)).last().map(String::as_str), Some("and 995 more"));
    }
}
