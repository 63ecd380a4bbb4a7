//! `[segments.NAME]`: matches with a name, which rules share.

use std::collections::BTreeMap;

use super::condition::RawCondition;
use super::definition_index::DefinitionIndex;
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
) -> DefinitionIndex<Segment> {
    let mut index = index();
    for (name, raw) in raw {
        index.add(name, segment(name, raw, &at.key(name), build));
    }
    index
}

/// Of a config without segments.
pub(crate) fn index() -> DefinitionIndex<Segment> {
    let remedy = |name: &str| format!("add [{}]", ConfigPath::Root.key("segments").key(name));
    DefinitionIndex::new("segments", "a segment", remedy)
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
        "add header, cookie, query, method, path, client, attribute, any or not",
    );
    let when = raw.build(&index(), catches, at, build);
    Ok(Segment { name: name?, when: when? })
}
