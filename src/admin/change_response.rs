//! The response to a change, and what the audit trail shows of it.

use std::borrow::Cow;

use axum::Json;
use axum::http::header::ETAG;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::difference::{Difference, WeightDifference};
use crate::control::handle::Applied;
use crate::control::hold_registry::HoldReport;
use crate::metrics::rollout_gauges::RolloutGauge;
use crate::table::{Table, Traffic, Version};

use super::flag_view::FlagDifferenceView;
use super::flag_warnings::{drawn_anew, without_effect};
use super::fleet_reach_view::FleetReachView;
use super::hold_body::HoldOutcome;
use super::mirror_share::MirrorShareView;
use super::run_difference::RunDifferenceView;

/// What came of a change; with a dry run, what would.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ChangeAnswer)]
pub(crate) struct ChangeResponse {
    /// The revision in force now.
    revision: u64,
    /// Whether there is something to change. If not, no revision is made.
    changed: bool,
    /// Whether this only tells what would happen.
    dry_run: bool,
    /// The revision that is restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    restores: Option<u64>,
    /// What changes, per service.
    difference: Vec<DifferenceView>,
    /// What changes, per flag.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<FlagDifferenceView>,
    /// What changes, per experiment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    experiments: Vec<RunDifferenceView>,
    /// How the hold went, if one was asked for and there was something to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldOutcome>,
    /// Requests that the drained endpoint, or those behind the drained name, are still answering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_flight: Option<u32>,
    /// How far the change has come in the fleet, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fleet: Option<FleetReachView>,
    /// What the caller will want to know: versions that get requests and cannot answer them at this moment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What changes for a service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DifferenceView {
    /// The service.
    service: String,
    /// The weights of its versions.
    weights: Vec<WeightChange>,
    /// Share of the users that get another version, 0 to 1.
    moved_ratio: f64,
    /// The least share that the weights allow.
    minimum_ratio: f64,
    /// Whether users are drawn anew, because a release begins or another one is restored.
    new_salt: bool,
    /// What is mirrored, if that changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<MirrorMoveView>,
    /// Endpoints that are drained or come back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    endpoints: Vec<EndpointChange>,
}

/// What was mirrored, and what is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MirrorMoveView {
    /// Before; none: nothing.
    from: Option<MirrorShareView>,
    /// After.
    to: Option<MirrorShareView>,
}

/// The weights of a version, in per cent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WeightChange {
    /// The version.
    version: String,
    /// Before; none when the service is new.
    from: Option<f64>,
    /// After.
    to: f64,
}

/// What happens to an endpoint.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct EndpointChange {
    /// Its version.
    version: String,
    /// Its address, or the name whose addresses are meant.
    address: String,
    /// `drained` or `ready`.
    state: &'static str,
}

impl ChangeResponse {
    /// The response to a change.
    #[must_use]
    pub(crate) fn new(applied: Applied, dry_run: bool, table: &Table, now_ms: u64) -> Self {
        let Applied { revision, changed, restores, difference, flags, experiments } = applied;
        let unanswered = difference.iter().flat_map(|difference| unanswered(difference, table, now_ms));
        let drawn_anew = difference.iter().flat_map(|difference| drawn_anew(difference, table));
        let warnings = unanswered.chain(drawn_anew).chain(flags.iter().filter_map(without_effect)).collect();
        Self {
            revision,
            changed,
            dry_run,
            restores,
            difference: difference.iter().map(DifferenceView::of).collect(),
            flags: flags.iter().map(FlagDifferenceView::of).collect(),
            experiments: experiments.iter().map(RunDifferenceView::of).collect(),
            hold: None,
            in_flight: None,
            fleet: None,
            warnings,
        }
    }

    /// The same, with the rollouts that the change pauses.
    #[must_use]
    pub(crate) fn with_rollouts(mut self, shown: &[RolloutGauge]) -> Self {
        let going = || shown.iter().filter(|shown| matches!(shown.phase, "going" | "waiting"));
        let of_service = |name: &&str| going().any(|shown| shown.moves_split && shown.service == *name);
        let of_flag = |name: &&str| going().any(|shown| shown.flags.iter().any(|flag| flag == name));
        let changed = self.difference.iter().filter(|difference| !difference.weights.is_empty());
        let services = changed.map(|difference| difference.service.as_str()).filter(of_service);
        let flags = self.flags.iter().map(|difference| difference.flag.as_str()).filter(of_flag);
        let says = |name| format!("{name} is being rolled out: this pauses the rollout; resume or abort it");
        let said: Vec<String> = services.chain(flags).map(says).collect();
        self.warnings.extend(said);
        self
    }

    /// The same, with how its hold went.
    #[must_use]
    pub(crate) fn with_hold(self, report: Option<HoldReport>) -> Self {
        Self { hold: report.map(HoldOutcome::of), ..self }
    }
}

/// The versions that have a share after a change and no endpoint that takes requests at this moment.
fn unanswered(difference: &Difference, table: &Table, now_ms: u64) -> Vec<String> {
    let Some(service) = table.service_named(&difference.service) else { return Vec::new() };
    let traffic = changed(&service.traffic, difference);
    let versions = service.versions.iter().zip(&service.spec.versions);
    let with_share = versions.filter(|(version, _)| difference.to.of(&version.name).slots() > 0);
    let unable = with_share.filter(|(version, spec)| {
        !version.endpoints.iter().any(|endpoint| {
            let drained = traffic.drains(spec, endpoint.address, &service.addresses);
            !drained && endpoint.stats.health.reachable(now_ms)
        })
    });
    let warn = |(version, _): (&Version, _)| {
        let weight = difference.to.of(&version.name);
        format!("{} {} has {weight} % and no usable endpoint now", difference.service, version.name)
    };
    unable.map(warn).collect()
}

/// The traffic with the endpoints of a change, which may be in it already, or only planned.
fn changed<'t>(traffic: &'t Traffic, difference: &Difference) -> Cow<'t, Traffic> {
    let mut traffic = Cow::Borrowed(traffic);
    for change in &difference.endpoints {
        let entry = (change.version.clone(), change.address.clone());
        let drained = &mut traffic.to_mut().drained;
        if change.drained {
            drained.insert(entry)
        } else {
            drained.remove(&entry)
        };
    }
    traffic
}

impl DifferenceView {
    /// The view of a difference.
    #[must_use]
    pub(crate) fn of(difference: &Difference) -> Self {
        let weight = |share: WeightDifference<'_>| {
            let from = difference.from.is_some().then(|| share.from.percent());
            WeightChange { version: share.version.to_string(), from, to: share.to.percent() }
        };
        let endpoint = |change: &crate::control::difference::EndpointDifference| EndpointChange {
            version: change.version.to_string(),
            address: change.address.to_string(),
            state: if change.drained { "drained" } else { "ready" },
        };
        Self {
            service: difference.service.to_string(),
            weights: difference.weights().into_iter().map(weight).collect(),
            moved_ratio: difference.moved,
            minimum_ratio: difference.minimum,
            new_salt: difference.new_salt,
            mirror: difference.mirror.as_ref().map(|moved| MirrorMoveView {
                from: moved.from.as_ref().map(MirrorShareView::of),
                to: moved.to.as_ref().map(MirrorShareView::of),
            }),
            endpoints: difference.endpoints.iter().map(endpoint).collect(),
        }
    }
}

/// A response that holds for a revision, which its `ETag` names.
#[derive(Clone, Debug)]
pub(crate) struct Tagged<T>(pub u64, pub T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::OK, Json(self.1)).into_response();
        let tag = HeaderValue::from_str(&format!("\"{}\"", self.0));
        response.headers_mut().insert(ETAG, tag.expect("digits and quotes are a header value"));
        response
    }
}
