//! `redirect` of a rule: where to go instead.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;

use super::self_redirect::{self, RedirectingRule};
use super::variable_text;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Quantity, Setting};
use crate::problem::Mismatch;
use crate::table::spec::fixed_response::Redirect;
use crate::table::spec::template::{Template, TemplatePart, Variable};
use crate::table::spec::{Condition, HostPattern, Pattern};

#[derive(Clone, Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawRuleRedirect {
    to: Option<String>,
    status: Option<Setting<Quantity>>,
}

/// The methods and bodies stay the same, and browsers do not keep it for good.
const STATUS: usize = 307;

impl RawRuleRedirect {
    /// The redirect of a rule with this condition, of a service for these hosts.
    pub(crate) fn build(
        &self,
        when: &Condition,
        hosts: &[HostPattern],
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Arc<Redirect>, ErrorGuaranteed> {
        let status = self.status(&at.key("status"), report);
        let to_at = at.key("to");
        let Some(text) = &self.to else {
            let mismatch = Mismatch::new("none", WANTED, "add to = \"https://HOST{path}{query}\"");
            return Err(report.missing(&to_at, mismatch));
        };
        let to = variable_text::build(text, &Variable::OF_REDIRECTS, &to_at, report)?;
        check_beginning(text, &to_at, report)?;
        let prefix = prefix_of(when);
        if has(&to, Variable::Rest) && prefix.is_none() {
            let mismatch = Mismatch::new(
                "{rest} without a path prefix in when",
                "a prefix, of which it is the rest",
                "write when = { path = { prefix = \"/old\" } }, or {path} instead",
            );
            return Err(report.problem(&to_at, mismatch));
        }
        let redirect = Redirect { status: status?, to, prefix: prefix.unwrap_or_default().into() };
        self_redirect::check(&RedirectingRule { redirect: &redirect, when, hosts }, &to_at, report)?;
        Ok(Arc::new(redirect))
    }

    fn status(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<StatusCode, ErrorGuaranteed> {
        let number = self.status.map_or(STATUS, |status| status.0.0);
        let found = [301_u16, 302, 303, 307, 308].into_iter().find(|known| usize::from(*known) == number);
        found.and_then(|number| StatusCode::from_u16(number).ok()).ok_or_else(|| {
            let remedy = "write 308 for good, or leave it out for 307";
            report.problem(at, Mismatch::new(number.to_string(), "301, 302, 303, 307 or 308", remedy))
        })
    }
}

const WANTED: &str = "a URL such as \"https://shop.example.com{path}{query}\" or a path such as \"/new{rest}{query}\"";

/// That no text of a client can become the host: it stands in the file, or there is none. A path begins with a slash
/// and so does `{path}`; two of them begin a host.
fn check_beginning(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<(), ErrorGuaranteed> {
    let bad = |remedy: &str| Err(Mismatch::new(format!("{text:?}"), WANTED, remedy));
    // A request without a query leaves nothing in its place, and browsers leave out what controls.
    let rendered = text.replace("{query}", "");
    let text = if text.contains(char::is_control) { "" } else { rendered.as_str() };
    let begins_with_slash =
        |text: &str| text.starts_with(['/', '\\']) || text.starts_with("{path}") || text.starts_with("{rest}");
    let found = if let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.split("{path}").next().unwrap_or_default();
        let host = host.split("{rest}").next().unwrap_or_default().split("{query}").next().unwrap_or_default();
        if host.is_empty() || host.contains(['@', '\\']) { bad("name a host behind the scheme") } else { Ok(()) }
    } else if let Some(rest) = text.strip_prefix('/') {
        if begins_with_slash(rest) { bad("begin it with one /, or a client could name the host") } else { Ok(()) }
    } else {
        bad("begin it with https://, http:// or /")
    };
    found.map_err(|mismatch| report.problem(at, mismatch))
}

fn has(to: &Template, variable: Variable) -> bool {
    to.parts().contains(&TemplatePart::Variable(variable))
}

/// The prefix that a condition asks for in the path, without a slash at its end.
fn prefix_of(when: &Condition) -> Option<&str> {
    match &when.path {
        Some(Pattern::Prefix(prefix)) => Some(prefix.trim_end_matches('/')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reader::input::Input;

    #[test]
    fn no_text_of_a_client_can_become_the_host() {
        for (text, good) in [
            ("/{query}{path}", false),
            ("/{query}/x", false),
            ("/\t{path}", false),
            ("https://{query}{path}", false),
            ("https://a.example{path}{query}", true),
            ("https://{host}{path}", true),
            ("https://{host}:8443{path}", true),
            ("http://a.example/x", true),
            ("/new{rest}{query}", true),
            ("/", true),
            ("/{query}", true),
            ("{path}", false),
            ("/{path}", false),
            ("/{rest}", false),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("https://{path}", false),
            ("https://", false),
            ("https:///x", false),
            ("https://user@a.example/", false),
            ("javascript:alert(1)", false),
            ("a.example/x", false),
        ] {
            let input = Input::toml("").expect("no text");
            let mut report = Report::new(&input);
            assert_eq!(check_beginning(text, &ConfigPath::Root.key("to"), &mut report).is_ok(), good, "{text}");
        }
    }
}
