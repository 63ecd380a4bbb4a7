//! The segments of a config by their names, for the rules that use them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::build::Build;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::ErrorGuaranteed;
use crate::problem::{Mismatch, listed, suggest};
use crate::table::spec::Segment;

/// All segments, also those that were refused: a rule that names one of these has no problem of its own.
#[derive(Default)]
pub(crate) struct SegmentIndex(BTreeMap<String, Result<Arc<Segment>, ErrorGuaranteed>>);

impl SegmentIndex {
    /// All of these.
    pub(crate) fn new(segments: BTreeMap<String, Result<Arc<Segment>, ErrorGuaranteed>>) -> Self {
        Self(segments)
    }

    /// Whether all of them are good.
    pub(crate) fn check(&self) -> Result<(), ErrorGuaranteed> {
        self.0.values().try_for_each(|segment| segment.as_ref().map(|_| ()).map_err(|reported| *reported))
    }

    /// The segment that `text` names at `at`.
    pub(crate) fn find(
        &self,
        text: &str,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<Arc<Segment>, ErrorGuaranteed> {
        if let Some(segment) = self.0.get(text) {
            return segment.clone();
        }
        let known = || self.0.keys().map(String::as_str);
        let remedy = match suggest(text, known()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("add [{}]", ConfigPath::Root.key("segments").key(text)),
        };
        let wanted = if self.0.is_empty() { "none is defined".to_owned() } else { listed(known()) };
        let problem = Mismatch::new(format!("{text:?}"), format!("a segment: {wanted}"), remedy);
        Err(build.report.unless(&ConfigPath::Root.key("segments").key(text), at, problem))
    }
}
