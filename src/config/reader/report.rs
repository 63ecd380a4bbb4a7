//! Collects problems while a config is read and checked.

use super::config_path::Place;
use super::document::Document;
use super::problem::{Problem, Problems};
use crate::config::files::{Files, Key};

/// So many problems are one mistake that was copied: more would hide the first.
pub(crate) const PROBLEMS_MAX: usize = 100;

/// The last entry of a report that was cut.
pub(crate) fn and_more() -> Problem {
    Problem {
        line: None,
        path: String::new(),
        text: format!("found more than {PROBLEMS_MAX} problems, the rest is left out (mend these first)"),
    }
}

/// Proof that a problem was reported. Only [`Report`] makes one, so a check that fails cannot forget to say why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported(());

/// The problems so far.
pub(crate) struct Report<'t> {
    /// The files that the config names.
    pub(crate) files: Files,
    document: &'t Document<'t>,
    problems: Vec<Problem>,
    /// Paths that are not missing but misspelt.
    excused: Vec<String>,
    /// Whether there were more than are kept.
    cut: bool,
}

impl<'t> Report<'t> {
    /// An empty report on `document`.
    pub(crate) fn new(document: &'t Document<'t>) -> Self {
        Self { files: Files::default(), document, problems: Vec::new(), excused: Vec::new(), cut: false }
    }

    /// The key at `place`.
    pub(crate) fn key(&self, place: &Place<'_>) -> Key {
        Key { line: self.document.line_of(place), path: place.to_string() }
    }

    /// Reports `text` at `place`.
    pub(crate) fn problem(&mut self, place: &Place<'_>, text: impl Into<String>) -> Reported {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(self.key(place).problem(text.into()));
        } else {
            self.cut = true;
        }
        Reported(())
    }

    /// Reports that `place` is missing, unless something that stands there was refused already.
    pub(crate) fn missing(&mut self, place: &Place<'_>, text: impl Into<String>) -> Reported {
        self.unless(place, place, text)
    }

    /// Reports `text` at `place`, unless it only follows from a problem with `cause`.
    pub(crate) fn unless(&mut self, cause: &Place<'_>, place: &Place<'_>, text: impl Into<String>) -> Reported {
        match self.touched(cause) {
            Some(reported) => reported,
            None => self.problem(place, text),
        }
    }

    /// Whether something at or inside `place` was refused already.
    pub(crate) fn touched(&self, place: &Place<'_>) -> Option<Reported> {
        let path = place.to_string();
        let inside = |other: &str| {
            other.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let mut paths = self.problems.iter().map(|problem| &problem.path).chain(&self.excused);
        paths.any(|other| inside(other)).then_some(Reported(()))
    }

    /// Says that `place` stands in the file under a wrong name, so that it is not reported as missing too.
    pub(crate) fn excuse(&mut self, place: &Place<'_>) {
        self.excused.push(place.to_string());
    }

    /// Whether further problems are dropped.
    pub(crate) fn is_full(&self) -> bool {
        self.cut
    }

    /// What was built, if there was no problem.
    pub(crate) fn finish<T>(mut self, built: Result<T, Reported>) -> Result<T, Problems> {
        if self.cut {
            self.problems.push(and_more());
        }
        match built {
            Ok(built) if self.problems.is_empty() => Ok(built),
            Ok(_) | Err(Reported(())) => Err(Problems::new(self.problems)),
        }
    }
}
