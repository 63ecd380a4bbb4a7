//! Definitions of a config that others name: segments, attributes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::problem::{Mismatch, listed, suggest};

/// All definitions of one section by their names, also those that were refused: who names one of these has no problem
/// of their own.
pub(crate) struct DefinitionIndex<T> {
    /// `segments`
    section: &'static str,
    /// `a segment`
    noun: &'static str,
    /// What to do about a name that is not there.
    remedy: fn(&str) -> String,
    all: BTreeMap<String, Result<Arc<T>, ErrorGuaranteed>>,
}

impl<T> DefinitionIndex<T> {
    /// No definitions yet of what `noun` is, in the section of that name; `remedy` says how one is added.
    pub(crate) fn new(section: &'static str, noun: &'static str, remedy: fn(&str) -> String) -> Self {
        Self { section, noun, remedy, all: BTreeMap::new() }
    }

    /// Takes in one.
    pub(crate) fn add(&mut self, name: &str, definition: Result<T, ErrorGuaranteed>) {
        self.all.insert(name.to_owned(), definition.map(Arc::new));
    }

    /// Takes in one that is known to be good.
    pub(crate) fn add_known(&mut self, name: &str, definition: &Arc<T>) {
        self.all.insert(name.to_owned(), Ok(Arc::clone(definition)));
    }

    /// Those that are good, in order of their names.
    pub(crate) fn good(&self) -> impl Iterator<Item = Arc<T>> {
        self.all.values().filter_map(|found| found.as_ref().ok()).map(Arc::clone)
    }

    /// Whether all of them are good.
    pub(crate) fn check(&self) -> Result<(), ErrorGuaranteed> {
        self.all.values().try_for_each(|found| found.as_ref().map(|_| ()).map_err(|reported| *reported))
    }

    /// The definition that `text` names at `at`.
    pub(crate) fn find(
        &self,
        text: &str,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Arc<T>, ErrorGuaranteed> {
        if let Some(found) = self.all.get(text) {
            return found.clone();
        }
        let known = || self.all.keys().map(String::as_str);
        let section = ConfigPath::Root.key(self.section);
        let remedy = match suggest(text, known()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => (self.remedy)(text),
        };
        let wanted = if self.all.is_empty() { "none is defined".to_owned() } else { listed(known()) };
        let problem = Mismatch::new(format!("{text:?}"), format!("{}: {wanted}", self.noun), remedy);
        Err(report.unless(&section.key(text), at, problem))
    }
}
