//! What is wrong with a change: where, what was found, what is wanted, what to do. A change is refused with all of them.

use std::error::Error;
use std::fmt;

/// How many names an answer lists: enough for a look, not a dump of ten thousand services.
const NAMES_MAX: usize = 20;

/// How many names a line of the log lists.
const LOGGED_MAX: usize = 5;

/// One problem of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind it is.
    pub kind: FaultKind,
    /// Where it is: a path such as `services.shop.split.v3`.
    pub place: String,
    /// What was found.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
    /// What to do.
    pub remedy: String,
}

/// Whose the problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A version that would get requests is known to have nobody to answer them; a caller can insist.
    NoEndpoint,
    /// The state does not allow the change at this time.
    Conflict,
    /// The thing that was addressed is not there.
    Unknown,
    /// The values are wrong.
    Invalid,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found {}, want {} ({})", self.place, self.found, self.wanted, self.remedy)
    }
}

impl Fault {
    /// A value that is wrong.
    #[must_use]
    pub fn invalid(
        place: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
        remedy: &str,
    ) -> Self {
        let kind = FaultKind::Invalid;
        Self { kind, place: place.into(), found: found.into(), wanted: wanted.into(), remedy: remedy.to_owned() }
    }

    /// A service that is not there.
    #[must_use]
    pub fn no_service<'a>(place: impl Into<String>, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let kind = FaultKind::Unknown;
        let remedy = "name a service of the config".to_owned();
        Self { kind, place: place.into(), found: quoted("service", name), wanted: one_of(known), remedy }
    }

    /// A version that the service does not have.
    #[must_use]
    pub fn no_version<'a>(
        kind: FaultKind,
        place: impl Into<String>,
        name: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Self {
        let remedy = "name a version of the service, or add this one to the config".to_owned();
        Self { kind, place: place.into(), found: quoted("version", name), wanted: one_of(known), remedy }
    }
}

/// An error with all of its causes, for an answer or a line of the log.
#[must_use]
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `version "v3"`, so that spaces and empty names are seen.
fn quoted(what: &str, name: &str) -> String {
    format!("unknown {what} {name:?}")
}

/// `one of v1, v2`, cut after twenty names.
#[must_use]
pub(crate) fn one_of<'a>(known: impl Iterator<Item = &'a str>) -> String {
    let mut known = known.peekable();
    if known.peek().is_none() {
        return "none: the config has none".to_owned();
    }
    let listed: Vec<_> = known.by_ref().take(NAMES_MAX).collect();
    let more = known.count();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("one of {}{rest}", listed.join(", "))
}

/// The first few of some names, and how many more there are: for a log, whose lines are read.
#[must_use]
pub(crate) fn few<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
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
    fn a_log_names_a_few_and_counts_the_rest() {
        let names: Vec<String> = (0..1_000).map(|n| format!("s{n}")).collect();
        let names = |count: usize| names[..count].iter().map(String::as_str);
        assert_eq!(few(names(0)), Vec::<String>::new());
        assert_eq!(few(names(5)), ["s0", "s1", "s2", "s3", "s4"]);
        assert_eq!(few(names(6)), ["s0", "s1", "s2", "s3", "s4", "and 1 more"]);
        assert_eq!(few(names(1_000)).last().map(String::as_str), Some("and 995 more"));
    }
}
