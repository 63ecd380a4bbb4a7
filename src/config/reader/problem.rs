//! What is wrong with a config, as its author reads it: one line a problem, all of them at once.

use std::fmt;

use super::report::{PROBLEMS_MAX, and_more};

/// One thing that is wrong: where, and what was found, what is wanted and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The line in the file, from 1; `None` when nothing in the file stands for it, such as a section that is missing.
    pub line: Option<usize>,
    /// The path of the key, such as `services.shop.rules[2].use`, with list elements counted from 1; empty when the
    /// text is not TOML at that place.
    pub path: String,
    /// What was found, what is wanted, what to do.
    pub text: String,
}

/// `line 12: services.shop.split: weights sum to 110, want 100 (lower v1 to 90)`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)
    }
}

/// Everything that is wrong with a config, at least one problem, in the order of the file; those without a line come
/// last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Puts `problems` into the order of the file.
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty(), "a report of problems has at least one");
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        Self(problems)
    }

    /// All of these, which different looks at one config have found; none when there is none.
    #[must_use]
    pub fn all(mut problems: Vec<Problem>) -> Option<Self> {
        if problems.len() > PROBLEMS_MAX && problems.last() != Some(&and_more()) {
            problems.truncate(PROBLEMS_MAX);
            problems.push(and_more());
        }
        (!problems.is_empty()).then(|| Self::new(problems))
    }

    /// The same about a text that nobody has seen.
    pub(crate) fn without_lines(mut self) -> Self {
        self.0.iter_mut().for_each(|problem| problem.line = None);
        self
    }

    /// The problems, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
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

impl std::error::Error for Problems {}
