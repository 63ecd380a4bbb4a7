//! What stands behind the `?` of a call, and which calls only tell what would happen if it says so.

use std::collections::BTreeSet;

use axum::http::{Method, Uri};

use crate::problem::Problem;

/// The calls that take `?dry_run`.
#[derive(Clone, Debug, Default)]
pub(crate) struct DryCalls(BTreeSet<(&'static str, String)>);

impl DryCalls {
    /// Those of these methods at these routes.
    pub(crate) fn new(calls: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self(calls.into_iter().collect())
    }

    /// Whether the call of this method at this route is one.
    pub(crate) fn has(&self, method: &Method, route: &str) -> bool {
        self.0.iter().any(|(known, at)| *known == method.as_str() && at == route)
    }
}

/// Whether a call says that it is only to tell what would happen, and nothing else beside that.
#[must_use]
pub(crate) fn says_dry_run(uri: &Uri) -> bool {
    let mut problems = Vec::new();
    dry_run(uri, &mut problems) && problems.is_empty()
}

/// `?dry_run`, of a call that has no other parameter.
pub(crate) fn dry_run(uri: &Uri, problems: &mut Vec<Problem>) -> bool {
    let query = query(uri, &["dry_run"], problems);
    match query.first() {
        None | Some((_, "false")) => false,
        Some((_, "true" | "")) => true,
        Some((_, other)) => {
            let found = format!("{other:?}");
            problems.push(Problem::invalid("?dry_run", found, "true or false", "leave it out for false"));
            false
        }
    }
}

/// The parameters of the query, of which only `known` ones are good. Their values are words and numbers, so there is
/// nothing to decode.
pub(crate) fn query<'a>(uri: &'a Uri, known: &[&str], problems: &mut Vec<Problem>) -> Vec<(&'a str, &'a str)> {
    let pairs = uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty());
    let mut parameters: Vec<(&str, &str)> = Vec::new();
    for (key, value) in pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
        if !known.contains(&key) || parameters.iter().any(|(other, _)| *other == key) {
            let found = if known.contains(&key) { "a parameter twice" } else { "an unknown parameter" };
            let wanted = if known.is_empty() { "none".to_owned() } else { format!("only {}, once", known.join(", ")) };
            problems.push(Problem::invalid(format!("?{key}"), found, wanted, "leave it out"));
        }
        parameters.push((key, value));
    }
    parameters.retain(|(key, _)| known.contains(key));
    parameters
}
