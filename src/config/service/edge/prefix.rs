//! `strip_prefix` and `replace_prefix`: the beginning of paths, as endpoints are to see it.

use serde::Deserialize;

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::problem::Mismatch;
use crate::table::spec::PathPrefix;
use crate::table::spec::edge::PrefixRewrite;

#[derive(Clone, Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawPrefixReplacement {
    from: Option<String>,
    to: Option<String>,
}

/// What becomes of the prefix, if anything does.
pub(super) fn build(
    strip: Option<&str>,
    replace: Option<&RawPrefixReplacement>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Option<PrefixRewrite>, ErrorGuaranteed> {
    let (strip_at, replace_at) = (at.key("strip_prefix"), at.key("replace_prefix"));
    match (strip, replace) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            let mismatch = Mismatch::new("it beside strip_prefix", "one of the two", "remove one");
            Err(report.problem(&replace_at, mismatch))
        }
        (Some(text), None) => {
            let from = prefix(Some(text), &strip_at, report)?;
            if from.as_str().is_empty() {
                let mismatch = Mismatch::new("the root", "a prefix such as \"/api\"", "leave it out");
                return Err(report.problem(&strip_at, mismatch));
            }
            let to = prefix(Some("/"), &strip_at, report)?;
            Ok(Some(PrefixRewrite { from, to }))
        }
        (None, Some(raw)) => {
            let from = prefix(raw.from.as_deref(), &replace_at.key("from"), report);
            let to = prefix(raw.to.as_deref(), &replace_at.key("to"), report);
            let (from, to) = (from?, to?);
            if from == to {
                let mismatch = Mismatch::new(format!("{to} for {from}"), "two prefixes that differ", "leave it out");
                return Err(report.problem(&replace_at, mismatch));
            }
            Ok(Some(PrefixRewrite { from, to }))
        }
    }
}

fn prefix(text: Option<&str>, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<PathPrefix, ErrorGuaranteed> {
    let wanted = "a path that begins with / and has only visible ASCII without ? and #";
    let Some(text) = text else {
        return Err(report.missing(at, Mismatch::new("none", wanted, "add it")));
    };
    // What no endpoint may be asked for by a client, a file does not ask for by mistake either.
    let is_clear =
        !text.contains("//") && !text.contains('\\') && !text.split('/').any(|part| matches!(part, "." | ".."));
    PathPrefix::new(text).filter(|_| is_clear).ok_or_else(|| {
        let remedy = if text.starts_with('/') { "write it without //, ., .. and \\" } else { "begin it with /" };
        report.problem(at, Mismatch::new(format!("{text:?}"), wanted, remedy))
    })
}
