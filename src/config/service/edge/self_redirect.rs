//! A redirect that leads to a request which its own rule holds for again: browsers give up after twenty of them.
//!
//! It is tried with paths that the rule asks for. What else a rule asks for, such as a cookie, a browser has in the
//! next request as well. A circle over several rules or services is not found here.

use http::Method;

use super::super::route;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::problem::Mismatch;
use crate::table::spec::fixed_response::Redirect;
use crate::table::spec::template::{TemplateFacts, TemplatePart, Variable};
use crate::table::spec::{Condition, HostPattern, Pattern};

/// A rule that redirects.
pub(super) struct RedirectingRule<'a> {
    pub(super) redirect: &'a Redirect,
    pub(super) when: &'a Condition,
    /// The hosts of its service; none means any.
    pub(super) hosts: &'a [HostPattern],
}

/// Refuses a redirect to itself.
pub(super) fn check(
    rule: &RedirectingRule<'_>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<(), ErrorGuaranteed> {
    let asks_for_query = !rule.when.query.is_empty();
    let has_query = rule.redirect.to.parts().contains(&TemplatePart::Variable(Variable::Query));
    // Without it the next request is another one.
    if asks_for_query && !has_query {
        return Ok(());
    }
    // With these a browser goes on with a GET.
    let becomes_get = matches!(rule.redirect.status.as_u16(), 301..=303);
    let asks_for_get = rule.when.methods.is_empty() || rule.when.methods.contains(&Method::GET);
    if becomes_get && !asks_for_get {
        return Ok(());
    }
    let mut paths = samples(rule.when).into_iter();
    let Some((path, location)) = paths.find_map(|path| leads_back(rule, &path).map(|location| (path, location))) else {
        return Ok(());
    };
    let mismatch = Mismatch::new(
        format!("a redirect of {path} to {location}, which the rule redirects again"),
        "another place than one that the rule itself holds for",
        "ask for a path in when, or redirect elsewhere; canonical_host and redirect_https redirect hosts and schemes",
    );
    Err(report.problem(at, mismatch))
}

/// Paths that the condition asks for.
fn samples(when: &Condition) -> Vec<String> {
    match &when.path {
        None => vec!["/".to_owned(), "/x".to_owned()],
        Some(Pattern::Exact(text)) => vec![text.to_string()],
        Some(Pattern::OneOf(texts)) => texts.iter().map(ToString::to_string).collect(),
        Some(Pattern::Prefix(prefix)) => {
            let trimmed = prefix.trim_end_matches('/');
            [prefix.to_string(), format!("{trimmed}/x")].into_iter().filter(|path| path.starts_with('/')).collect()
        }
        Some(Pattern::Suffix(suffix)) => vec![format!("/x{suffix}")],
        // What fits is not known; a place without variables is looked at all the same.
        Some(Pattern::Regex(_) | Pattern::SemVer(_) | Pattern::Number(_) | Pattern::Present) => vec!["/".to_owned()],
    }
}

/// Where a request for `path` is sent, if the rule holds there again.
fn leads_back(rule: &RedirectingRule<'_>, path: &str) -> Option<String> {
    // In the place of the host that is asked for, whatever it is.
    const ASKED: &str = "host.invalid";
    let facts = TemplateFacts {
        version: "",
        slot: None,
        client: [127, 0, 0, 1].into(),
        request_id: b"",
        revision: 0,
        host: ASKED,
        path: path.as_bytes(),
        rest: path.strip_prefix(&*rule.redirect.prefix).unwrap_or_default().as_bytes(),
        query: None,
    };
    let location = String::from_utf8(rule.redirect.to.render(&facts)).ok()?;
    let rest = location.strip_prefix("https://").or_else(|| location.strip_prefix("http://"));
    let (authority, target) = match rest {
        None => (ASKED, location.as_str()),
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
    };
    let name = authority.rsplit_once(':').map_or(authority, |(name, _port)| name);
    let next = target.split(['?', '#']).next().filter(|path| !path.is_empty()).unwrap_or("/");
    let again = (name == ASKED || route::answers(rule.hosts, name)) && rule.when.may_hold_at(next.as_bytes());
    let shown = location.replace(ASKED, "{host}");
    again.then_some(shown)
}
