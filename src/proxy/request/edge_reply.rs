//! The page or redirect of a rule, and the URL that a service wants to be asked by.
//!
//! They come before a version is picked, so no version, rollout, objective or mirror knows of them. The bodies of their
//! requests are not read, and no client is told to go on with one: the connection ends such a request as it does every
//! one that is refused (docs/http-rules.md#rule-20). A call of gRPC ends with its own kind of status, for its client
//! reads no page and follows no redirect.

use super::acquire::TableView;
use super::admit::Admitted;
use super::cache_headers;
use super::configured_reply::ConfiguredReply;
use super::early_response::EarlyResponse;
use super::edge_request::{EditFacts, edit_reply};
use super::header_edits::RequestId;
use super::local_reply::LocalReply;
use super::route_query::RouteQuery;
use crate::message::known_headers::{VARY, X_FORWARDED_PROTO, X_REQUEST_ID};
use crate::message::{Headers, RequestHead};
use crate::stats::RejectReason;
use crate::table::Service;
use crate::table::spec::edge::{AskedOrigin, Elsewhere, RuleTarget};
use crate::table::spec::fixed_response::{Redirect, RuleResponse};
use crate::table::spec::template::{TemplateFacts, TemplatePart, Variable};

/// What the rule with this index of `service` responds.
#[cold]
pub(crate) fn by_rule(service: &Service, rule: u16, query: &RouteQuery<'_>) -> EarlyResponse {
    let Some(definition) = service.spec.rules.get(usize::from(rule)) else { return not_there() };
    let reply = match &definition.target {
        RuleTarget::Respond(RuleResponse::Page(page)) => Ok(ConfiguredReply::of_page(page)),
        RuleTarget::Respond(RuleResponse::Redirect(redirect)) => of_redirect(redirect, query),
        RuleTarget::Version(_) | RuleTarget::Split => return not_there(),
    };
    match reply {
        Ok(mut reply) => {
            let headers = &mut reply.headers;
            let edge = service.spec.edge.as_deref();
            let facts = ReplyFacts { view: query, service };
            edit_reply(headers, edge.into_iter().map(|edge| &edge.service), || facts.of_edits());
            // What is said of the pages of a service is not said of those in their place. And by its URL alone a cache
            // would send everybody where a rule sends some; all rules before this one decide that it is its turn.
            let is_page = matches!(definition.target, RuleTarget::Respond(RuleResponse::Page(_)));
            let asks_who = service.spec.rules.iter().take(usize::from(rule) + 1).any(|rule| rule.when.asks_who());
            if is_page || asks_who {
                cache_headers::keep_out(headers);
            }
            edit_reply(headers, edge.and_then(|edge| edge.of_rule(Some(rule))).into_iter(), || facts.of_edits());
            if asks_who && !is_page {
                cache_headers::keep_out(headers);
            }
            facts.tell_id(headers);
            if let Some(vary) = &service.vary {
                cache_headers::note_vary(headers, vary);
            }
            EarlyResponse::Configured(Box::new(reply))
        }
        Err(reply) => reply.into(),
    }
}

/// A table has a rule where it has decided by it.
fn not_there() -> EarlyResponse {
    LocalReply::new(RejectReason::Internal, "the rule that decides is not there").into()
}

/// What the reply to a request depends on.
struct ReplyFacts<'q> {
    view: &'q RouteQuery<'q>,
    service: &'q Service,
}

impl ReplyFacts<'_> {
    fn id(&self) -> &[u8] {
        self.view.id.text(self.view.view.headers)
    }

    fn of_edits(&self) -> EditFacts {
        EditFacts {
            version: String::new(),
            slot: None,
            client: self.view.view.client,
            request_id: self.id().to_vec(),
            revision: self.view.acquired.table.revision,
        }
    }

    fn tell_id(&self, headers: &mut Headers) {
        if self.service.spec.policy.request_id_to_clients.has(self.view.admitted.trusted) {
            headers.insert(X_REQUEST_ID, self.id());
        }
    }
}

fn of_redirect(redirect: &Redirect, query: &RouteQuery<'_>) -> Result<ConfiguredReply, LocalReply> {
    let view = &query.view;
    if view.host.is_empty() && redirect.to.parts().contains(&TemplatePart::Variable(Variable::Host)) {
        return Err(LocalReply::new(RejectReason::BadHost, "found no Host header, want one to redirect to"));
    }
    let facts = TemplateFacts {
        version: "",
        slot: None,
        client: view.client,
        request_id: b"",
        revision: 0,
        host: view.host,
        path: view.path,
        rest: view.path.strip_prefix(redirect.prefix.as_bytes()).unwrap_or_default(),
        query: view.query,
    };
    ConfiguredReply::redirect(redirect.status, RejectReason::Redirected, &redirect.to.render(&facts))
}

/// Sends a client to the URL that the service wants to be asked by, if it has asked by another one: to its host and to
/// https at once, and by 308, with which the method and the body stay the same.
///
/// What a proxy that is trusted says of the scheme is believed, or the client would be sent round in a circle.
///
/// # Errors
/// The redirect.
#[inline]
pub(crate) fn check_url(
    acquired: &TableView,
    admitted: &Admitted,
    head: &RequestHead,
    id: &RequestId,
) -> Result<(), EarlyResponse> {
    let Some(edge) = acquired.edge() else { return Ok(()) };
    let line = admitted.host.map(|host| head.headers.text(host)).unwrap_or_default();
    let port = line.get(admitted.host_name_bytes..).and_then(|port| std::str::from_utf8(port).ok()).unwrap_or_default();
    let asked = AskedOrigin { host: admitted.host_name(&head.headers), port, secure: admitted.secure };
    let Some(Elsewhere { origin, to_https }) = edge.canonical.elsewhere(asked) else { return Ok(()) };
    let Some(origin) = origin else {
        return Err(LocalReply::new(RejectReason::BadHost, "found no Host header, want one to redirect to").into());
    };
    let location = [origin.as_bytes(), head.target.path_and_query()].concat();
    let reason = if to_https { RejectReason::RedirectedToHttps } else { RejectReason::Redirected };
    let status = LocalReply::new(reason, "").status();
    let mut reply = ConfiguredReply::redirect(status, reason, &location)?;
    if edge.canonical.https_port.is_some() && admitted.trusted {
        // The cache of the proxy before us may not tell the two schemes apart.
        reply.headers.append(VARY, X_FORWARDED_PROTO.as_str());
    }
    let facts = || EditFacts {
        version: String::new(),
        slot: None,
        client: admitted.client,
        request_id: id.text(&head.headers).to_vec(),
        revision: acquired.table.revision,
    };
    edit_reply(&mut reply.headers, [&edge.service].into_iter(), facts);
    Err(EarlyResponse::Configured(Box::new(reply)))
}
