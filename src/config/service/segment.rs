//! `[segments.NAME]`: matches with a name, which rules share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::condition::RawCondition;
use crate::config::build::Build;
use crate::config::check;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::ErrorGuaranteed;
use crate::problem::Mismatch;
use crate::problem::{listed, suggest};
use crate::table::spec::Segment;

/// All segments, also those that were refused: a rule that names one of these has no problem of its own.
#[derive(Default)]
pub(crate) struct SegmentIndex(BTreeMap<String, Result<Arc<Segment>, ErrorGuaranteed>>);

impl SegmentIndex {
    /// Builds every segment.
    pub(crate) fn build(raw: &BTreeMap<String, RawCondition>, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Self {
        let one = |(name, raw): (&String, &RawCondition)| {
            let segment = segment(name, raw, &at.key(name), build).map(Arc::new);
            (name.clone(), segment)
        };
        Self(raw.iter().map(one).collect())
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

/// One segment.
fn segment(
    name: &str,
    raw: &RawCondition,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<Segment, ErrorGuaranteed> {
    let name = check::name(name, at, &mut build.report);
    if raw.has_segment() {
        let text =
            Mismatch::new("a segment in a segment", "other matches, for segments do not nest", "list both in the rule");
        return Err(build.report.problem(&at.key("segment"), text));
    }
    let catches = Mismatch::new(
        "no match",
        "at least one, for it would hold for every request",
        "add header, cookie, query, method, path or client",
    );
    let when = raw.build(&SegmentIndex::default(), catches, at, build);
    Ok(Segment { name: name?, when: when? })
}
