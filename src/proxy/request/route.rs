//! The step that decides where a request goes, and connects to it.
//!
//! The decision itself is pure, and made by [`decide_at`], which `explain` and the simulator ask as well; [`decide`] is
//! what of it concerns one request. It is made again without the versions whose endpoints took no connection, so
//! deciding and dialing are one step and not two.
//!
//! All decisions of a request are made by one table and one draw of chance.

use super::admit::BodyFraming;
use super::chaos_draw::{self, DecidedRequest};
use super::context::RequestContext;
use super::destination::Destination;
use super::dial::{NoConnection, dial};
use super::early_response::EarlyResponse;
use super::edge_reply;
use super::local_reply::LocalReply;
use super::route_query::RouteQuery;
use super::upstream_connection::UpstreamConnection;
use crate::proxy::body::body_limit;
use crate::proxy::report::canary_sample::Draw;
use crate::proxy::worker::Worker;
use crate::stats::RejectReason;
use crate::table::key::OwnKey;
use crate::table::{Candidate, Cause, Decision, RouteError, Version, decide_at};

/// Where a request goes, and the connection for it.
pub(crate) struct Route {
    /// The version.
    pub destination: Destination,
    /// Why it is this one.
    pub cause: Cause,
    /// A connection to one of its endpoints.
    pub connection: UpstreamConnection,
    /// The slot that the version was chosen by; none if a rule chose.
    pub slot: Option<u32>,
    /// The rule that holds for it.
    pub rule: Option<u16>,
    /// The key that the client is given, if it needs one.
    pub new_key: Option<OwnKey>,
}

/// The versions that have been tried.
struct Tried<'q> {
    /// Those whose endpoints took no connection.
    dead: Vec<&'q Version>,
    /// Whether an endpoint was asked for a connection.
    asked: bool,
}

impl Tried<'_> {
    /// What a client is told when no version is left.
    fn no_version(&self) -> LocalReply {
        if self.asked {
            let detail = "no endpoint of a version with a share of this service takes a connection";
            LocalReply::new(RejectReason::ConnectFailed, detail)
        } else {
            let detail = "no version with a share of this service has a usable endpoint";
            LocalReply::new(RejectReason::NoEndpoint, detail)
        }
    }
}

/// Decides and dials, and decides again without the versions whose endpoints took no connection.
pub(crate) async fn route(
    worker: &Worker,
    query: &RouteQuery<'_>,
    context: &mut RequestContext,
) -> Result<Route, EarlyResponse> {
    let chance = worker.random();
    let mut tried = Tried { dead: Vec::new(), asked: false };
    let table = &query.acquired.table;
    let mut now = context.now();
    loop {
        let decision = decide(query, &tried, chance, worker.clock_ms(now), context)?;
        let destination = Destination::of_decision(table, &decision);
        context.note_decision(destination.clone(), &decision, &query.view);
        // Once, however often it is decided.
        if let Some(fault) = table.faults().of(decision.service_index).filter(|_| tried.dead.is_empty()) {
            let (view, trusted) = (&query.view, query.admitted.trusted);
            chaos_draw::begin(fault, &DecidedRequest { table, view, decision: &decision, trusted }, context)?;
        }
        if let BodyFraming::Length(length) = query.admitted.body {
            body_limit::check_length(length, &decision.service.spec.policy.limits)?;
        }
        match dial(worker, &destination, false, now, context).await {
            Ok(connection) => {
                let Decision { cause, slot, rule, new_key, .. } = decision;
                return Ok(Route { destination, cause, connection, slot, rule, new_key });
            }
            Err(NoConnection::Own(reply)) => return Err(reply.into()),
            Err(NoConnection::Endpoints { tried: asked }) => {
                tried.asked |= asked;
                tried.dead.push(decision.version());
            }
        }
        now = context.read_clock();
    }
}

/// Decides by rule, key or chance, without the versions that are known to be dead.
fn decide<'q>(
    query: &RouteQuery<'q>,
    tried: &Tried<'q>,
    chance: u128,
    now_ms: u64,
    context: &mut RequestContext,
) -> Result<Decision<'q>, EarlyResponse> {
    let available = |version: &Candidate<'_>| {
        let available = version.availability(now_ms);
        let dead = tried.dead.iter().any(|dead| std::ptr::eq(*dead, &**version));
        if dead { available.after_attempt() } else { available }
    };
    decide_at(&query.acquired.table, query.acquired.target.service, &query.view, chance, available).map_err(|error| {
        match error {
            RouteError::NoService => {
                context.note_revision(query.acquired.table.revision);
                LocalReply::new(RejectReason::NoService, "no service answers this host and path").into()
            }
            RouteError::Responds { service, rule } => {
                context.note_revision(query.acquired.table.revision);
                edge_reply::by_rule(service, rule, query)
            }
            RouteError::NoVersion { service_index, assigned, cause, slot, .. } => {
                let draw = Draw { assigned, cause, slot };
                context.note_no_version(
                    Destination::at(&query.acquired.table, service_index, assigned),
                    draw,
                    &query.view,
                );
                tried.no_version().into()
            }
        }
    })
}
