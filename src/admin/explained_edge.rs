//! What the edge of a service does with a request that is explained: what it edits, and where it sends the client
//! instead. Values that are made for each request, such as its id, are shown by the names of their variables.

use serde::Serialize;
use utoipa::ToSchema;

use crate::table::spec::edge::{AskedOrigin, Elsewhere, HeaderEdit};
use crate::table::spec::fixed_response::{Redirect, RuleResponse};
use crate::table::spec::template::{Template, TemplateFacts};
use crate::table::{Decision, RequestView, Service};

/// What is edited of a request and of its response.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct ExplainedEdits {
    /// Of the head that the endpoint gets, in order: `set x-env: prod`, `add ...`, `remove x-debug`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    request: Vec<String>,
    /// Of the head of the response.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    response: Vec<String>,
    /// The path that the endpoint is asked for, if it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

/// The edits of a request that was decided on; `certain` says whether its version is known. None: there are none.
#[must_use]
pub(super) fn explained_edits(
    view: &RequestView<'_>,
    decision: &Decision<'_>,
    revision: u64,
    certain: bool,
) -> Option<ExplainedEdits> {
    let edge = decision.service.spec.edge.as_deref()?;
    let version = certain.then_some(decision.version);
    let name = if certain { decision.version().name.as_str() } else { "{version}" };
    let slot = decision.slot.filter(|_| certain);
    let facts = facts(view, name, slot, revision);
    let mut edits = ExplainedEdits::default();
    if edge.version_to_endpoints {
        edits.request.push(format!("set x-pointsman-version: {name}"));
    }
    for of in edge.edits(version, decision.rule) {
        edits.request.extend(of.request.iter().map(|edit| words(edit, &facts)));
        edits.response.extend(of.response.iter().map(|edit| words(edit, &facts)));
    }
    let rewrite = edge.rewrite(version, decision.rule);
    edits.path = rewrite.and_then(|rewrite| match rewrite.apply(view.path) {
        Ok(path) => path.map(|path| String::from_utf8_lossy(&path).into_owned()),
        Err(unclear) => Some(format!("refused: {unclear}")),
    });
    let is_empty = edits.request.is_empty() && edits.response.is_empty() && edits.path.is_none();
    (!is_empty).then_some(edits)
}

fn facts<'a>(view: &RequestView<'a>, version: &'a str, slot: Option<u32>, revision: u64) -> TemplateFacts<'a> {
    TemplateFacts {
        version,
        slot,
        client: view.client,
        request_id: b"{request_id}",
        revision,
        host: view.host,
        path: view.path,
        rest: b"",
        query: view.query,
    }
}

fn words(edit: &HeaderEdit, facts: &TemplateFacts<'_>) -> String {
    let value = |value: &Template| String::from_utf8_lossy(&value.render(facts)).into_owned();
    match edit {
        HeaderEdit::Remove(name) => format!("remove {name}"),
        HeaderEdit::Set(name, text) => format!("set {name}: {}", value(text)),
        HeaderEdit::Add(name, text) => format!("add {name}: {}", value(text)),
    }
}

/// What a rule responds to this request: `503 with 12 bytes of text/html`, `307 to https://new.example/x`.
#[must_use]
pub(super) fn explained_response(response: &RuleResponse, view: &RequestView<'_>) -> String {
    match response {
        RuleResponse::Page(_) => response.words(),
        RuleResponse::Redirect(redirect) => {
            let Redirect { status, to, prefix } = &**redirect;
            let rest = view.path.strip_prefix(prefix.as_bytes()).unwrap_or_default();
            let facts = TemplateFacts { rest, ..facts(view, "", None, 0) };
            format!("{} to {}", status.as_u16(), String::from_utf8_lossy(&to.render(&facts)))
        }
    }
}

/// The URL that a service sends this request to, because it wants to be asked by another one.
#[must_use]
pub(super) fn explained_url(service: &Service, view: &RequestView<'_>, secure: bool) -> Option<String> {
    let edge = service.spec.edge.as_deref()?;
    let Elsewhere { origin, .. } = edge.canonical.elsewhere(AskedOrigin { host: view.host, port: "", secure })?;
    let query = view.query.map(|query| format!("?{}", String::from_utf8_lossy(query))).unwrap_or_default();
    Some(format!("308 to {}{}{query}", origin?, String::from_utf8_lossy(view.path)))
}
