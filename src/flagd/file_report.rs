//! What is wrong with a file, each with its place.

use crate::problem::{Mismatch, PROBLEMS_MAX, Problem, ProblemKind, Problems};

use super::json_pointer::JsonPointer;

/// A part of a file is not usable, and why has been reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reported(());

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(crate) struct FileReport {
    problems: Vec<Problem>,
    cut: bool,
}

impl FileReport {
    /// Something is wrong at `at`.
    pub(crate) fn problem(
        &mut self,
        at: &JsonPointer<'_>,
        found: impl Into<String>,
        wanted: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Reported {
        self.add(at.to_string(), Mismatch::new(found, wanted, remedy))
    }

    /// The same, at a place that is written already.
    pub(crate) fn add(&mut self, at: String, mismatch: Mismatch) -> Reported {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(mismatch.at(at, ProblemKind::Invalid));
        } else {
            self.cut = true;
        }
        Reported(())
    }

    /// The whole, if nothing is wrong with it.
    pub(crate) fn finish<T>(self, whole: Result<T, Reported>) -> Result<T, Problems> {
        match whole {
            Ok(whole) if self.problems.is_empty() => Ok(whole),
            _ => Err(Problems::new(self.problems, self.cut)),
        }
    }
}
