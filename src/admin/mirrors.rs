//! `GET` and `PUT /v1/services/{service}/mirror`: what is copied to another version, and what the pairs came to.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::units::Setting;
use crate::control::change::Change;
use crate::problem::{Mismatch, ProblemKind, one_of};
use crate::shared::mirror_difference::{MirrorDifference, MirrorDrop, MirrorKind, MirrorValue};
use crate::shared::mirror_stats::{MirrorStats, MirrorTotals};
use crate::stats::Registry;
use crate::table::spec::mirror::{MirrorPointer, MirrorSpec};
use crate::table::{MirrorShare, Service, Weight};

use super::AdminApi;
use super::call::{ApiCall, NoParameters, PathSegments, service, version};
use super::change_response::{ChangeResponse, Tagged};
use super::openapi_terms::{Refusals, WriteTerms};
use super::problem::ProblemDetails;

/// Which version gets copies of how many requests.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct MirrorBodyOfCall {
    /// The version that gets copies; without it the one that does, or the one of the config file.
    #[schema(value_type = Option<String>)]
    pub to: Option<String>,
    /// The part of the requests that is copied, in per cent with up to three decimals; 0: none.
    #[schema(value_type = f64)]
    pub share: Option<Setting<Weight>>,
    /// Why.
    pub reason: Option<String>,
}

/// The mirror of a service, and what it has found since the start.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MirrorView {
    /// The service.
    service: String,
    /// The version that gets copies; none: nothing is copied.
    to: Option<String>,
    /// The part of the requests that is copied, in per cent.
    share: f64,
    /// The methods of requests that are copied.
    methods: Vec<String>,
    /// What of the two responses is compared.
    compare: MirrorCompareView,
    /// The most copies that are under way.
    in_flight_max: u32,
    /// The longest body of a request that is copied, and what is looked at of those of responses, in bytes.
    body_bytes_max: usize,
    /// Whether the values of differences are kept.
    samples: bool,
    /// The version whose copies all that follows is about: the one that gets copies, or the last one that got some.
    found_of: Option<String>,
    /// Requests with both responses.
    pairs: u64,
    /// Pairs whose responses differ in anything but their times.
    differing: u64,
    /// Pairs in which only the copy's response failed.
    candidate_failed_alone: u64,
    /// Pairs in which only the user's response failed.
    baseline_failed_alone: u64,
    /// Pairs in which both failed.
    both_failed: u64,
    /// Pairs whose bodies were to be compared and could not be: too long, without an end, or in a coding that is not read.
    bodies_not_compared: u64,
    /// Copies that are under way.
    in_flight: u32,
    /// Pairs whose times were compared.
    timed: u64,
    /// Those in which the copy took a tenth and a millisecond longer, or more.
    candidate_slower: u64,
    /// The reverse.
    baseline_slower: u64,
    /// Pairs that differ, by kind.
    differences: BTreeMap<&'static str, u64>,
    /// Requests that were drawn and not compared, by reason.
    dropped: BTreeMap<&'static str, u64>,
    /// What differed in how many pairs, the most frequent first.
    places: Vec<MirrorPlaceView>,
    /// The last differences, the youngest first.
    last: Vec<MirrorDifferenceView>,
}

/// What of two responses is compared.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MirrorCompareView {
    /// Their statuses.
    status: bool,
    /// These headers.
    headers: Vec<String>,
    /// Their bodies: `off`, `exact`, `json` or `length`.
    body: &'static str,
    /// JSON pointers that are left out.
    ignore: Vec<String>,
    /// How long they take.
    latency: bool,
}

/// A place in which pairs differ.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MirrorPlaceView {
    /// `status`, `header`, `body`, `length` or `latency`.
    kind: &'static str,
    /// A JSON pointer or the name of a header; empty for the whole.
    place: String,
    /// In how many pairs.
    pairs: u64,
}

/// A difference between two responses.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MirrorDifferenceView {
    /// `status`, `header`, `body`, `length` or `latency`.
    kind: &'static str,
    /// When.
    at: String,
    /// The request's method.
    method: String,
    /// Its path, without the query.
    path: String,
    /// The version that responded to the user.
    version: String,
    /// A JSON pointer or the name of a header; empty for the whole.
    place: String,
    /// What the user got.
    user: MirrorValueView,
    /// What the copy got.
    mirror: MirrorValueView,
}

/// One side of a difference.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MirrorValueView {
    /// Equal values have equal hashes, while the process lives.
    hash: String,
    /// The value; statuses and times always, others with `samples = true`.
    sample: Option<String>,
}

/// Shows the mirror of a service.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "get_mirror",
    path = "/v1/services/{service}/mirror",
    tag = "state",
    params(("service" = String, Path, description = "The service")),
    responses((status = 200, description = "The mirror", body = MirrorView), Refusals)
)]
pub(crate) async fn get(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    _: NoParameters,
) -> Result<Tagged<MirrorView>, ProblemDetails> {
    let table = admin.table();
    let service = service(&table, "service", &text)?;
    let found = FoundMirror::of(service, &admin.exporter.sources().registry);
    Ok(Tagged(table.revision, MirrorView::of(service, found.as_ref())))
}

/// Copies a part of a service's requests to another version, or none any more.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    put,
    operation_id = "set_mirror",
    path = "/v1/services/{service}/mirror",
    tag = "traffic",
    params(("service" = String, Path, description = "The service"), WriteTerms),
    request_body(content = MirrorBodyOfCall, content_type = "application/json", example = r#"{"to": "v3", "share": 10}"#),
    responses((status = 200, description = "Durable and in force", body = ChangeResponse), Refusals)
)]
pub(crate) async fn put(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeResponse>, ProblemDetails> {
    let table = admin.table();
    let body: MirrorBodyOfCall = call.read();
    let reason = call.reason(body.reason.clone());
    let found = service(&table, "service", &text).map_err(|problem| call.report.add(problem)).ok();
    let share_at = ConfigPath::Root.key("share");
    let Some(share) = body.share.map(|read| read.0) else {
        let mismatch =
            Mismatch::new("none", "the part of the requests, in per cent", "add \"share\": 10, or 0 to end it");
        call.report.missing(&share_at, mismatch);
        return call.apply(&admin, None, reason).await;
    };
    let to = match &body.to {
        Some(to) => found.and_then(|service| {
            version(service, ProblemKind::Invalid, "to", to).map_err(|problem| call.report.add(problem)).ok()
        }),
        None => found.and_then(|service| {
            let of_file = || service.spec.mirror.as_ref().filter(|spec| spec.share > Weight::ZERO).map(|spec| &spec.to);
            service.traffic.mirror.as_ref().map(|mirror| &mirror.to).or_else(of_file).cloned()
        }),
    };
    if to.is_none() && body.to.is_none() && share > Weight::ZERO && found.is_some() {
        call.report.missing(&ConfigPath::Root.key("to"), no_target(found));
    }
    let mirror = to.filter(|_| share > Weight::ZERO).map(|to| MirrorShare { to, share });
    let change = found.map(|service| Change::Mirror { service: service.spec.name.clone(), mirror });
    call.apply(&admin, change, reason).await
}

/// No version is named, and none is known.
fn no_target(service: Option<&Service>) -> Mismatch {
    let split = service.map(Service::weights);
    let holder = split.as_ref().and_then(|split| split.sole_holder()).map(|name| name.as_str());
    let versions = service.into_iter().flat_map(|service| &service.versions).map(|version| version.name.as_str());
    let mut others = versions.filter(|name| holder != Some(*name)).peekable();
    let remedy = match others.peek() {
        Some(_) => format!("name {}", one_of(others)),
        None => "add another version to the service first".to_owned(),
    };
    Mismatch::new("none", "the version that gets the copies", remedy)
}

/// What was found of the copies of a version.
struct FoundMirror {
    to: Box<str>,
    stats: Arc<MirrorStats>,
}

impl FoundMirror {
    /// Of the version that gets copies. If none does, of the last one: a rollout ends its copies with their step, and
    /// what they came to is looked at afterwards.
    fn of(service: &Service, registry: &Registry) -> Option<Self> {
        let active = service.mirror.as_ref().map(|active| {
            let to = service.versions[usize::from(active.to)].name.as_str().into();
            Self { to, stats: Arc::clone(&active.stats) }
        });
        let known = || registry.mirrors(&service.spec.name).into_iter().map(|(to, stats)| Self { to, stats });
        let when = |stats: &MirrorStats| stats.last().first().map(|difference| difference.at_ms);
        active.or_else(|| known().max_by_key(|found| (when(&found.stats), found.stats.totals().pairs)))
    }
}

impl MirrorView {
    /// The mirror of a service, and what was found.
    #[must_use]
    fn of(service: &Service, found: Option<&FoundMirror>) -> Self {
        let spec = service.traffic.mirror.as_ref().map(|mirror| service.spec.mirror_to(&mirror.to));
        let spec = spec.or_else(|| service.spec.mirror.clone());
        let spec = spec.unwrap_or_else(|| service.spec.mirror_to(&service.versions[0].name));
        let MirrorSpec { methods, compare, in_flight_max, body_bytes_max, samples, to: _, share: _ } = &*spec;
        let stats = found.map(|found| &found.stats);
        let totals = stats.map_or_else(MirrorTotals::default, |stats| stats.totals());
        let kinds = MirrorKind::ALL.into_iter().map(|kind| (kind.word(), totals.differences[kind as usize]));
        let dropped = MirrorDrop::ALL.into_iter().map(|why| (why.word(), totals.dropped[why as usize]));
        let share = service.traffic.mirror.as_ref();
        Self {
            service: service.spec.name.to_string(),
            to: share.map(|mirror| mirror.to.to_string()),
            share: share.map_or(0.0, |mirror| mirror.share.percent()),
            methods: methods.iter().map(ToString::to_string).collect(),
            compare: MirrorCompareView {
                status: compare.status,
                headers: compare.headers.iter().map(ToString::to_string).collect(),
                body: compare.body.word(),
                ignore: compare.ignore.iter().map(MirrorPointer::to_string).collect(),
                latency: compare.latency,
            },
            in_flight_max: *in_flight_max,
            body_bytes_max: *body_bytes_max,
            samples: *samples,
            found_of: found.map(|found| found.to.to_string()),
            pairs: totals.pairs,
            differing: totals.differing,
            candidate_failed_alone: totals.candidate_failed_alone,
            baseline_failed_alone: totals.baseline_failed_alone,
            both_failed: totals.both_failed,
            bodies_not_compared: totals.bodies_left_out,
            in_flight: stats.map_or(0, |stats| stats.in_flight()),
            timed: totals.timed,
            candidate_slower: totals.candidate_slower,
            baseline_slower: totals.baseline_slower,
            differences: kinds.collect(),
            dropped: dropped.collect(),
            places: stats.map_or_else(Vec::new, |stats| stats.places()).iter().map(MirrorPlaceView::of).collect(),
            last: stats.map_or_else(Vec::new, |stats| stats.last()).iter().map(MirrorDifferenceView::of).collect(),
        }
    }
}

impl MirrorPlaceView {
    fn of(found: &crate::shared::mirror_difference::MirrorPlace) -> Self {
        Self { kind: found.kind.word(), place: found.place.to_string(), pairs: found.pairs }
    }
}

impl MirrorDifferenceView {
    fn of(found: &MirrorDifference) -> Self {
        let at = i64::try_from(found.at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        Self {
            kind: found.kind.word(),
            at: at.map_or_else(String::new, |at| at.to_string()),
            method: found.method.to_string(),
            path: found.path.to_string(),
            version: found.version.to_string(),
            place: found.place.to_string(),
            user: MirrorValueView::of(&found.user),
            mirror: MirrorValueView::of(&found.mirror),
        }
    }
}

impl MirrorValueView {
    fn of(value: &MirrorValue) -> Self {
        Self { hash: format!("{:016x}", value.hash), sample: value.sample.as_deref().map(str::to_owned) }
    }
}
