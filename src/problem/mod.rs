//! The problems of what a person wrote: a config, the body of a call, a change, the plan of a rollout.
//!
//! A [`Problem`] says where, of which kind, what was found, what is wanted and what to do, each in a field of its own.
//! A check that does not know where the value stands makes a [`Mismatch`]; what knows the place adds it. There are two
//! renderings: [`Display`](fmt::Display) for the terminal and the log, and the list of problems in a body of RFC 9457,
//! which `admin` makes of the fields.
//!
//! Why not a text: a plan goes through the reader of the config and is answered over HTTP, field by field. With texts
//! the second reader has to take apart what the first one put together, and a comma in a value breaks it. Why not an
//! error type for each check: nothing in the program acts on what exactly was wrong, only people do, and all that
//! decides something (the status of an answer) is the [`ProblemKind`].
//!
//! What must stay true: nothing here, and nothing that uses it, reads a rendered text back. A found value that may be a
//! secret is shortened by the check that finds it.

pub(crate) mod strict_json;
mod suggest;
pub(crate) mod utf8;

use std::error::Error;
use std::fmt;

pub(crate) use self::suggest::{few, listed, one_of, suggest};

/// One thing that is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The path, such as `services.shop.rules[2].use`, with the elements of lists counted from 1; empty when it is
    /// about the whole.
    pub path: String,
    /// The line in the file, from 1; none when nothing in a file stands for it, such as a section that is missing, and
    /// in a call.
    pub line: Option<usize>,
    /// Whose the problem is.
    pub kind: ProblemKind,
    /// What was found.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
    /// What to do.
    pub remedy: String,
}

/// Whose a problem is, from what may pass to what has to be mended first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// A version that would get requests is known to have no usable endpoint; a caller can insist.
    NoEndpoint,
    /// The state does not allow the change at this time.
    Conflict,
    /// The thing that was addressed is not there.
    Unknown,
    /// The value is wrong.
    Invalid,
    /// The text is not TOML, for the reason that its parser gives, such as `duplicate key`.
    Syntax(String),
}

/// What is wrong with a value, wherever it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// What was found.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
    /// What to do.
    pub remedy: String,
}

impl Mismatch {
    /// `found` where something else is `wanted`, and what to do.
    pub(crate) fn new(found: impl Into<String>, wanted: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { found: found.into(), wanted: wanted.into(), remedy: remedy.into() }
    }

    /// The problem that this is at `path`.
    pub(crate) fn at(self, path: impl Into<String>, kind: ProblemKind) -> Problem {
        let Self { found, wanted, remedy } = self;
        Problem { path: path.into(), line: None, kind, found, wanted, remedy }
    }
}

impl Problem {
    /// A value that is wrong.
    #[must_use]
    pub fn invalid(
        path: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Mismatch::new(found, wanted, remedy).at(path, ProblemKind::Invalid)
    }

    /// What the state does not allow at this time.
    pub(crate) fn conflict(
        path: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Mismatch::new(found, wanted, remedy).at(path, ProblemKind::Conflict)
    }

    /// A service that is not there.
    pub(crate) fn no_service<'a>(path: impl Into<String>, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.collect();
        let remedy = meant(name, &known, "name a service of the config");
        Mismatch::new(format!("unknown service {name:?}"), one_of(known.into_iter()), remedy)
            .at(path, ProblemKind::Unknown)
    }

    /// A flag that is not there.
    pub(crate) fn no_flag<'a>(path: impl Into<String>, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.collect();
        let remedy = meant(name, &known, "name a flag of the config");
        Mismatch::new(format!("unknown flag {name:?}"), one_of(known.into_iter()), remedy)
            .at(path, ProblemKind::Unknown)
    }

    /// An experiment that is not there.
    pub(crate) fn no_experiment<'a>(
        path: impl Into<String>,
        name: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Self {
        let remedy = match suggest(name, known.clone()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "name an experiment of the config".to_owned(),
        };
        Mismatch::new(format!("unknown experiment {name:?}"), one_of(known), remedy).at(path, ProblemKind::Unknown)
    }

    /// A version that the service does not have.
    pub(crate) fn no_version<'a>(
        kind: ProblemKind,
        path: impl Into<String>,
        name: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.collect();
        let remedy = meant(name, &known, "name a version of the service, or add this one to the config");
        Mismatch::new(format!("unknown version {name:?}"), one_of(known.into_iter()), remedy).at(path, kind)
    }
}

/// What to do about a name that is not known: take the one that is meant, or else do something.
fn meant(name: &str, known: &[&str], otherwise: &str) -> String {
    suggest(name, known.iter().copied())
        .map_or_else(|| otherwise.to_owned(), |meant| format!("did you mean {meant:?}?"))
}

/// `found 110, want 1 to 100 (lower it to 100)`
impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, wanted, remedy } = self;
        write!(f, "found {found}, want {wanted} ({remedy})")
    }
}

/// `line 12: services.shop.split: found weights that sum to 110, want a sum of 100 (lower v1 to 90)`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, kind, found, wanted, remedy } = self;
        if let Some(line) = line {
            write!(f, "line {line}: ")?;
        }
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        if let ProblemKind::Syntax(what) = kind {
            write!(f, "not TOML: {what}: ")?;
        }
        write!(f, "found {found}, want {wanted} ({remedy})")
    }
}

/// An error with all of its causes, for a response or a line of the log.
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

/// More problems than this are one mistake that was copied: more would hide the first.
pub(crate) const PROBLEMS_MAX: usize = 100;

/// The last entry of a list that was cut.
pub(crate) fn more_problems() -> Problem {
    let found = format!("more than {PROBLEMS_MAX} problems");
    Problem::invalid("", found, "fewer, to list them all", "mend these first")
}

/// Everything that is wrong with a text, at least one problem, in the order of its lines; those without a line come
/// last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Puts `problems` into the order of the text, and says at the end when some were left out.
    pub(crate) fn new(mut problems: Vec<Problem>, cut: bool) -> Self {
        debug_assert!(!problems.is_empty(), "a report of problems has at least one");
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        if cut {
            problems.push(more_problems());
        }
        Self(problems)
    }

    /// The problems, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

/// The problems, in order.
impl From<Problems> for Vec<Problem> {
    fn from(problems: Problems) -> Self {
        problems.0
    }
}

/// One line a problem.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_in_the_terminal() {
        let sum = Mismatch::new("weights that sum to 110", "a sum of 100", "lower v1 to 90");
        let in_a_call = sum.at("services.shop.split", ProblemKind::Invalid);
        let text = "services.shop.split: found weights that sum to 110, want a sum of 100 (lower v1 to 90)";
        assert_eq!(in_a_call.to_string(), text);
        assert_eq!(Problem { line: Some(12), ..in_a_call }.to_string(), format!("line 12: {text}"));
        let kind = ProblemKind::Syntax("duplicate key".to_owned());
        let twice = Problem { line: Some(3), ..Mismatch::new("\"a\"", "every key once", "remove one").at("", kind) };
        assert_eq!(twice.to_string(), "line 3: not TOML: duplicate key: found \"a\", want every key once (remove one)");
    }

    #[test]
    fn a_wrong_value_weighs_more_than_a_missing_thing() {
        use ProblemKind::{Conflict, Invalid, NoEndpoint, Unknown};
        assert!(NoEndpoint < Conflict && Conflict < Unknown && Unknown < Invalid);
    }

    #[test]
    fn problems_stand_in_the_order_of_the_text() {
        let at = |line: Option<usize>| Problem { line, ..Problem::invalid("x", "1", "2", "write 2") };
        let problems = Problems::new(vec![at(None), at(Some(7)), at(Some(2))], true);
        let lines: Vec<_> = problems.as_slice().iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [Some(2), Some(7), None, None]);
        assert!(
            problems
                .to_string()
                .ends_with("found more than 100 problems, want fewer, to list them all (mend these first)")
        );
    }
}
