//! The request: admit, decide, dial, forward, observe, with one side exit.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;

use http::header::ACCEPT;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::admit::{AdmitSettings, Admitted, BodyFraming, admit};
use super::answer::{AnswerBody, Exchange};
use super::body::{BodyState, Idle, RequestBody};
use super::dial::{Lease, dial};
use super::edit;
use super::forward::{Answer, Head, forward};
use super::framing::HeadFraming;
use super::observe::{Observer, Routed};
use super::refuse::{self, Refusal};
use super::worker::{Snapshot, Worker};
use crate::stats::Refused;
use crate::table::key::OwnKey;
use crate::table::{Candidate, RequestView, Undecided, Version, decide};

/// What a request needs to know of its connection.
#[derive(Debug)]
pub struct Peer {
    /// The other end.
    pub address: IpAddr,
    /// What its listener takes.
    pub admit: Rc<AdmitSettings>,
}

/// Answers one request.
///
/// # Errors
/// Never: a failure is an answer.
pub async fn handle(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    framing: Option<HeadFraming>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let (head, body) = request.into_parts();
    let mut observer = Observer::begin(&worker, &head, peer.address);
    let wants_json = head.headers.contains_key(ACCEPT) && refuse::wants_json(&head.headers);
    match exchange(&worker, &peer, framing, (head, body), &mut observer).await {
        Ok((answer, request_body, new_key)) => Ok(finish(worker, answer, Outcome { observer, request_body, new_key })),
        Err(refusal) => {
            let answer = refusal.answer(wants_json);
            observer.end_refused(&refusal, answer.body().size_hint().exact());
            let answer = answer.map(AnswerBody::Own);
            Ok(answer)
        }
    }
}

/// From the head of a request to the head of its answer.
async fn exchange(
    worker: &Rc<Worker>,
    peer: &Peer,
    framing: Option<HeadFraming>,
    (head, body): (Parts, Incoming),
    observer: &mut Observer,
) -> Result<(Forwarded, Rc<BodyState>, Option<OwnKey>), Refusal> {
    let admitted = admit(&head, framing, body_framing(&body), peer.address, &peer.admit)?;
    observer.client(admitted.client);
    let table = worker.snapshot();
    let target = target(&table, &head, &admitted)?;
    let route = route(worker, &table, (&head, &target, &admitted), observer).await?;
    let policy = &route.routed.service().spec.policy;
    let state = Rc::new(match admitted.body {
        BodyFraming::None => BodyState::of_no_body(observer.started()),
        BodyFraming::Length(_) | BodyFraming::Chunked => BodyState::default(),
    });
    let body = match admitted.body {
        BodyFraming::None => RequestBody::Empty,
        BodyFraming::Length(_) | BodyFraming::Chunked => {
            RequestBody::Stream { incoming: body, idle: Idle::new(policy.body_idle_timeout), state: Rc::clone(&state) }
        }
    };
    let (method, mut headers) = (head.method, head.headers);
    let facts = edit::RequestFacts {
        admitted: &admitted,
        peer: peer.address,
        method: &method,
        fresh_id: worker.random(),
        revision: table.revision,
    };
    let id = edit::request(&mut headers, &facts, &worker.settings.edit);
    observer.sent(&id, route.lease.endpoint().address);
    if admitted.host.is_none() {
        // Only HTTP/1.0 lets a client leave it out; HTTP/1.1 to the upstream does not.
        let address = route.lease.endpoint().address.to_string();
        headers.insert(http::header::HOST, address.parse().unwrap_or(http::HeaderValue::from_static("")));
    }
    let is_head = method == http::Method::HEAD;
    let request = (Head { method, uri: Uri::from(target), headers }, body);
    let answer = forward(worker, &route.routed, route.lease, request, (&state, observer)).await?;
    answer.lease.endpoint().succeeded();
    Ok((Forwarded { answer, is_head, routed: route.routed }, state, route.new_key))
}

/// The head of an answer and what its last edits need.
struct Forwarded {
    answer: Answer,
    is_head: bool,
    routed: Routed,
}

/// What goes on with the body of an answer.
struct Outcome {
    observer: Observer,
    request_body: Rc<BodyState>,
    new_key: Option<OwnKey>,
}

/// Where a request goes, and the connection for it.
struct Route {
    routed: Routed,
    lease: Lease,
    new_key: Option<OwnKey>,
}

/// Decides and dials, and decides again without the versions whose endpoints took no connection.
async fn route(
    worker: &Rc<Worker>,
    table: &Snapshot,
    (head, target, admitted): (&Parts, &PathAndQuery, &Admitted),
    observer: &mut Observer,
) -> Result<Route, Refusal> {
    let view = RequestView {
        method: &head.method,
        host: admitted.host_name(),
        path: target.path(),
        query: target.query(),
        headers: &head.headers,
        client: admitted.client,
    };
    let chance = worker.random();
    let mut dead: Vec<&Version> = Vec::new();
    loop {
        let now_ms = worker.clock_ms(Instant::now());
        let usable = |version: &Candidate<'_>| {
            version.usable(now_ms) && !dead.iter().any(|tried| std::ptr::eq(*tried, &**version))
        };
        let decision = match decide(table, &view, chance, usable) {
            Ok(decision) => decision,
            Err(Undecided::NoService) => {
                return Err(Refusal::new(Refused::NoService, "no service answers this host and path"));
            }
            Err(Undecided::NoVersion { service_index, assigned, .. }) => {
                observer.unroutable(Routed::at(table, service_index, assigned));
                return Err(if dead.is_empty() {
                    let detail = "no version with a share of this service has a usable endpoint";
                    Refusal::new(Refused::NoEndpoint, detail)
                } else {
                    let detail = "no endpoint of a version with a share of this service takes a connection";
                    Refusal::new(Refused::ConnectFailed, detail)
                });
            }
        };
        let routed = Routed::new(table, &decision);
        observer.routed(routed.clone(), &decision);
        let connect_timeout = decision.service.spec.policy.connect_timeout;
        match dial(worker, decision.version(), connect_timeout, false, observer).await {
            Ok(lease) => return Ok(Route { routed, lease, new_key: decision.new_key }),
            Err(_no_connection) => dead.push(decision.version()),
        }
    }
}

/// The target in origin form, with the path that is both routed and forwarded (rule 10).
fn target(table: &Snapshot, head: &Parts, admitted: &Admitted) -> Result<PathAndQuery, Refusal> {
    let bad = || Refusal::new(Refused::BadTarget, "the path climbs above the root, or its encoding is broken");
    let given = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let text = match (table.forwarded_path(admitted.host_name(), given.path()), given.query()) {
        (Err(_bad_path), _) => return Err(bad()),
        (Ok(Cow::Borrowed(_)), _) => return Ok(given),
        (Ok(Cow::Owned(path)), Some(query)) => format!("{path}?{query}"),
        (Ok(Cow::Owned(path)), None) => path,
    };
    text.parse().ok().ok_or_else(bad)
}

/// How hyper will read the body: that is what the upstream will be told.
fn body_framing(body: &Incoming) -> BodyFraming {
    match body.size_hint().exact() {
        Some(0) => BodyFraming::None,
        Some(length) => BodyFraming::Length(length),
        None => BodyFraming::Chunked,
    }
}

/// The last edits of an answer; from here on its body carries the exchange.
fn finish(worker: Rc<Worker>, forwarded: Forwarded, outcome: Outcome) -> Response<AnswerBody> {
    let Forwarded { answer: Answer { response, mut lease }, is_head, routed } = forwarded;
    let Outcome { mut observer, request_body, new_key } = outcome;
    let (mut head, incoming) = response.into_parts();
    observer.answered(head.status);
    // To an origin that answered in HTTP/1.0, hyper's client speaks HTTP/1.0 from then on, and drops a chunked body
    // without an error.
    lease.last = head.version != http::Version::HTTP_11;
    let bodiless = is_head || head.status == http::StatusCode::NOT_MODIFIED;
    edit::answer(&mut head.headers, head.status, incoming.size_hint().exact(), bodiless, &worker.settings.edit);
    if let Some(key) = new_key {
        edit::set_own_cookie(&mut head.headers, &key);
    }
    head.version = http::Version::HTTP_11;
    head.extensions.clear();
    let idle = Idle::new(routed.service().spec.policy.body_idle_timeout);
    let exchange = Exchange { worker, observer, lease, request_body };
    Response::from_parts(head, AnswerBody::upstream(incoming, idle, exchange))
}
