//! `[segments.NAME]`: matches with a name, which rules share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::condition::RawCondition;
use super::segment_index::SegmentIndex;
use crate::config::build::Build;
use crate::config::check;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::ErrorGuaranteed;
use crate::problem::Mismatch;
use crate::table::spec::Segment;

/// Builds every segment.
pub(crate) fn build_all(
    raw: &BTreeMap<String, RawCondition>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> SegmentIndex {
    let one =
        |(name, raw): (&String, &RawCondition)| (name.clone(), segment(name, raw, &at.key(name), build).map(Arc::new));
    SegmentIndex::new(raw.iter().map(one).collect())
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
