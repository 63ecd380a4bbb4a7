//! Collects problems while something is read and checked.

use std::collections::HashSet;

use super::config_path::ConfigPath;
use super::input::Input;
use super::tree::{Content, NodeId};
use crate::config::files::{ConfigFiles, ConfigKey};
use crate::problem::{Mismatch, PROBLEMS_MAX, Problem, ProblemKind, Problems};

/// Proof that a problem was reported. Only [`Report`] makes one, so a check that fails cannot forget to say why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorGuaranteed(());

/// The problems so far.
pub(crate) struct Report<'t> {
    /// The files that the config names.
    pub(crate) files: ConfigFiles,
    /// Where lines are looked up; none of a call.
    input: Option<&'t Input<'t>>,
    problems: Vec<Problem>,
    /// Paths that are not missing but misspelt.
    excused: Vec<String>,
    /// Whether there were more than are kept.
    cut: bool,
}

impl<'t> Report<'t> {
    /// A report on the text of a config, with nothing but what is wrong with its variables.
    pub(crate) fn new(input: &'t Input<'t>) -> Self {
        let mut report = Self { input: Some(input), ..Self::of_call() };
        report.extend(input.variable_problems());
        report
    }

    /// An empty report on a call.
    pub(crate) fn of_call() -> Self {
        Self { files: ConfigFiles::default(), input: None, problems: Vec::new(), excused: Vec::new(), cut: false }
    }

    /// The key at `path`.
    pub(crate) fn key(&self, path: &ConfigPath<'_>) -> ConfigKey {
        ConfigKey { line: self.input.and_then(|input| input.line_of(path)), path: path.to_string() }
    }

    /// Whether something stands at `path`.
    pub(crate) fn is_written(&self, path: &ConfigPath<'_>) -> bool {
        self.input.is_some_and(|input| input.value(path).is_some())
    }

    /// The text that stands at `path`, also if it was refused.
    pub(crate) fn written(&self, path: &ConfigPath<'_>) -> Option<String> {
        let Content::Text(text) = self.input?.value(path)?.content() else { return None };
        Some(text.to_owned())
    }

    /// Reports what is wrong at `path`.
    pub(crate) fn problem(&mut self, path: &ConfigPath<'_>, mut mismatch: Mismatch) -> ErrorGuaranteed {
        let ConfigKey { line, path } = self.key(path);
        if let Some(written) = self.input.and_then(|input| input.before_variables(&path)) {
            mismatch.remedy.push_str(&format!("; the file says {written:?}"));
        }
        self.add(Problem { line, ..mismatch.at(path, ProblemKind::Invalid) })
    }

    /// Reports a problem that knows where it is.
    pub(crate) fn add(&mut self, problem: Problem) -> ErrorGuaranteed {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.cut = true;
        }
        ErrorGuaranteed(())
    }

    /// Reports problems that know where they are.
    pub(crate) fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            self.add(problem);
        }
    }

    /// Reports that `path` is missing, unless something that stands there was refused already.
    pub(crate) fn missing(&mut self, path: &ConfigPath<'_>, mismatch: Mismatch) -> ErrorGuaranteed {
        self.unless(path, path, mismatch)
    }

    /// Reports what is wrong at `path`, unless it only follows from a problem with `cause`.
    pub(crate) fn unless(
        &mut self,
        cause: &ConfigPath<'_>,
        path: &ConfigPath<'_>,
        mismatch: Mismatch,
    ) -> ErrorGuaranteed {
        match self.touched(cause) {
            Some(reported) => reported,
            None => self.problem(path, mismatch),
        }
    }

    /// Whether something at or inside `path` was refused already.
    pub(crate) fn touched(&self, path: &ConfigPath<'_>) -> Option<ErrorGuaranteed> {
        let path = path.to_string();
        let inside = |other: &str| {
            other.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let mut paths = self.problems.iter().map(|problem| &problem.path).chain(&self.excused);
        paths.any(|other| inside(other)).then_some(ErrorGuaranteed(()))
    }

    /// Says that `path` stands in the file under a wrong name, so that it is not reported as missing too.
    pub(crate) fn excuse(&mut self, path: &ConfigPath<'_>) {
        self.excused.push(path.to_string());
    }

    /// What is not to be read, because it was reported before anything was.
    pub(super) fn left_out(&self) -> HashSet<NodeId> {
        self.input.map(Input::left_out).unwrap_or_default()
    }

    /// Whether the text at `path` came about by variables.
    pub(super) fn is_of_variables(&self, path: &ConfigPath<'_>) -> bool {
        self.input.is_some_and(|input| input.before_variables(&path.to_string()).is_some())
    }

    /// Whether further problems are dropped.
    pub(crate) fn is_full(&self) -> bool {
        self.cut
    }

    /// Everything that was reported; none if nothing was.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        if self.problems.is_empty() { Vec::new() } else { Problems::new(self.problems, self.cut).into() }
    }

    /// What was built, if there was no problem.
    pub(crate) fn finish<T>(self, built: Result<T, ErrorGuaranteed>) -> Result<T, Problems> {
        match built {
            Ok(built) if self.problems.is_empty() => Ok(built),
            Ok(_) | Err(ErrorGuaranteed(())) => Err(Problems::new(self.problems, self.cut)),
        }
    }
}
