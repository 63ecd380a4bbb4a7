//! The call, and the stream of one client: how far it is, and then what came of it.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use tokio::time::sleep;
use utoipa::ToSchema;

use super::simulate_body::{SimulateBody, SimulationQuestion};
use super::simulations::{AskedSimulation, NoSimulation, RunningSimulation, Simulations};
use crate::admin::AdminApi;
use crate::admin::call::ApiCall;
use crate::admin::event_stream::{EventSource, StreamCall};
use crate::admin::openapi_terms::Refusals;
use crate::admin::problem::ProblemDetails;
use crate::config::RolloutSection;
use crate::problem::Problem;
use crate::release::bad_plan;
use crate::release::rollout_handle::{PreviewRequest, ReleasePreview, RolloutError};
use crate::rollout::judge::Assignment;
use crate::simulation::simulation_options::PresentTraffic;

/// Time between two words on how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// How far a simulation is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SimulationProgress {
    /// Releases that were simulated.
    runs: u64,
    /// Of how many.
    of: u64,
    /// Since it began.
    seconds: f64,
}

/// Simulates releases by a plan, with the traffic that the call tells or that a service has at present. An event `progress` at once and
/// then at most four a second, and at the end one `result`.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "simulate",
    path = "/v1/simulate",
    tag = "rollouts",
    request_body(content = SimulateBody, content_type = "application/json", example = r#"{"service": "shop", "to": "v2", "candidate_errors": 0.02, "runs": 300}"#),
    responses((status = 200, description = "Events: `progress` (`SimulationProgress`), and `result` (`SimulationResult`), which is the last", content_type = "text/event-stream", body = String), Refusals)
)]
pub(crate) async fn post(
    State(admin): State<Arc<AdminApi>>,
    Extension(simulations): Extension<Arc<Simulations>>,
    stream: StreamCall,
    mut call: ApiCall,
) -> Result<Response, ProblemDetails> {
    let body: SimulateBody = call.read();
    let question = body.question(&mut call.report);
    let (_, problems) = call.author_of_unconditional();
    let preview = preview(&admin, &question, problems).await;
    let ReleasePreview { plan, present, metrics, sticky } = preview.map_err(|error| question.at_options(error))?;
    let batch = question.batch(plan, &present).map_err(ProblemDetails::of_problems)?;
    let count = batch.count;
    let plays = batch.all() / count;
    match simulations.begin(AskedSimulation { batch, metrics, sticky, budget: question.budget }) {
        Ok(running) => Ok(stream.respond(SimulationReader { running, count, plays, greeted: false, over: false })),
        Err(no) => Ok(refused(no)),
    }
}

fn refused(no: NoSimulation) -> Response {
    let word = match no {
        NoSimulation::TooMany => "too_many_simulations",
        NoSimulation::NoThread => "no_thread",
    };
    let mut refused = ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, word, no.to_string()).into_response();
    refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    refused
}

/// The release that is asked about, unless something is wrong with the question.
async fn preview(
    admin: &AdminApi,
    question: &SimulationQuestion,
    mut problems: Vec<Problem>,
) -> Result<ReleasePreview, RolloutError> {
    let assignment = if question.world.users.is_some() { Assignment::PerKey } else { Assignment::PerRequest };
    let (to, plan) = (question.to.clone(), question.plan.clone());
    if let Some(target) = question.target.clone() {
        return admin.rollouts.preview(PreviewRequest { target, to, plan, assignment, problems }).await;
    }
    let release = plan.over(&RolloutSection::default()).release().map_err(bad_plan::for_caller);
    let present = PresentTraffic::default();
    let endpoints = question.world.endpoints.unwrap_or(present.endpoints);
    let planned = release.and_then(|release| {
        let plan = release.plan(endpoints, assignment);
        let plan = plan.map_err(|problems| problems.iter().map(|problem| problem.at("plan")).collect::<Vec<_>>())?;
        Ok(ReleasePreview { plan, present, metrics: 0, sticky: false })
    });
    match planned {
        Ok(planned) if problems.is_empty() => Ok(planned),
        planned => {
            problems.extend(planned.err().into_iter().flatten());
            Err(RolloutError::Problems(problems))
        }
    }
}

/// What one client is told.
#[derive(Debug)]
struct SimulationReader {
    running: RunningSimulation,
    /// Releases that are asked for.
    count: u64,
    /// How often each is played.
    plays: u64,
    /// Whether it was told anything.
    greeted: bool,
    /// Whether it was told the result.
    over: bool,
}

impl SimulationReader {
    fn progress(&self) -> Bytes {
        let RunningSimulation { watch, begun, .. } = &self.running;
        let seconds = begun.elapsed().as_secs_f64();
        event("progress", &SimulationProgress { runs: watch.done() / self.plays, of: self.count, seconds })
    }
}

impl EventSource for SimulationReader {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(self.progress());
        }
        tokio::select! {
            biased;
            result = &mut self.running.result => {
                self.over = true;
                result.ok().map(|result| event("result", &result))
            }
            () = sleep(PROGRESS_INTERVAL) => (!self.running.is_ended()).then(|| self.progress()),
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_value(data).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}
