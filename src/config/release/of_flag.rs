//! `[flags.NAME.rollout]`: what of a plan holds for a flag.
//!
//! A flag is moved in a rule, and both variants are served by the endpoints of the versions that serve anyway. What a
//! plan does to endpoints of a new version has nothing to be done to: to upgrade them, and to ask them before they get
//! users.

use super::section::RolloutSection;
use crate::config::build::Build;
use crate::config::flag::RawFlag;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::problem::Mismatch;
use crate::rollout::release::{Release, Shape};

/// The release of a flag that has a section for it.
pub(crate) fn build(
    flag: &RawFlag,
    name: &str,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Option<Result<Release, ErrorGuaranteed>> {
    let raw = flag.rollout()?;
    let at = at.key("rollout");
    if let Some(mismatch) = flag.unreleasable(name) {
        return Some(Err(build.report.problem(&at, mismatch)));
    }
    let release = raw.build(&at, build);
    Some(release.and_then(|release| check_shape(&release, true, &at, &mut build.report).map(|()| release)))
}

/// The plan of a flag, unless its section or the call says something else: what the config says of services is for
/// their versions, with their endpoints and hooks.
///
/// A burst of failures is tolerated of a version because a process may pause and be no worse for it. Both variants of a
/// flag are served by the same processes, so that a pause fails both alike, and what only one of them fails is its own.
pub(crate) fn section() -> RolloutSection {
    let judge = serde_json::json!({ "tolerate_burst": "0s" });
    RolloutSection::new([("judge".to_owned(), judge)].into_iter().collect())
}

/// Reports what a flag cannot be released by; `alone`: there are no versions beside it.
pub(crate) fn check_shape(
    release: &Release,
    alone: bool,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<(), ErrorGuaranteed> {
    if let Shape::Rolling(_) = release.shape {
        let found = "rolling, which upgrades endpoints";
        let wanted = "canary or blue_green: a flag has no endpoints of its own";
        return Err(report.problem(&at.key("strategy"), Mismatch::new(found, wanted, "choose one of them")));
    }
    if alone && !release.smoke.is_empty() {
        let found = "requests that ask the endpoints of a new version";
        let wanted = "none: a flag has no endpoints of its own";
        return Err(report.problem(&at.key("smoke"), Mismatch::new(found, wanted, "remove it")));
    }
    Ok(())
}
