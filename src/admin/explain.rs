//! `POST /v1/explain`: which version a request would get, and why, by the data path's own function.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::table::effective::{EffectiveShare, shares};
use crate::table::spec::edge::RuleTarget;
use crate::table::spec::experiment::ExperimentArm;
use crate::table::spec::{Condition, KeySource};
use crate::table::user_facts::UserFacts;
use crate::table::{
    Availability, Candidate, Cause, Decision, Name, RequestView, RouteError, Service, Table, Takeover, decide,
};

use super::AdminApi;
use super::asked_request::{AskedRequest, ExplainBody};
use super::call::ApiCall;
use super::change_response::Tagged;
use super::explained_edge::{ExplainedEdits, explained_edits, explained_response, explained_url};
use super::explained_fault::{ExplainedFault, explained_fault};
use super::explained_flag::{ExplainedFlag, explained_flags};
use super::explained_mirror::{ExplainedMirror, explained_mirror};
use super::jwt_view::JudgedToken;
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use super::view::{key_source, percent};

/// Where a request goes, and why.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Explanation {
    /// The revision in force.
    revision: u64,
    /// The service; none: no service answers this host and path.
    service: Option<String>,
    /// The version that answers; none when chance decides or the request is refused.
    version: Option<String>,
    /// The version of the rule or the split, which is another one if that has no usable endpoint.
    assigned: Option<String>,
    /// The rule that decides.
    rule: Option<String>,
    /// The experiment that took the user in.
    experiment: Option<String>,
    /// The user's arm in it: `control` or `treatment`.
    arm: Option<&'static str>,
    /// Where the user's key comes from.
    key_from: Option<String>,
    /// The slot of the user's key.
    slot: Option<u32>,
    /// What keys are hashed with.
    salt: Option<String>,
    /// When chance decides: the versions and how likely they are, in per cent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    chances: BTreeMap<String, f64>,
    /// The attributes of the user that the rules and experiments of the service look at, as far as the request has them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, String>,
    /// The segments that the rules and experiments of the service name, those of chaos too, and whether each holds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    segments: BTreeMap<String, bool>,
    /// The flags that the upstream is told with the request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    flags: BTreeMap<String, ExplainedFlag>,
    /// The chaos experiment on the service, and whether this user is in it; none: there is no such experiment at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    chaos: Option<ExplainedFault>,
    /// The mirror of the service, and what it does with such requests; none: nothing is copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<ExplainedMirror>,
    /// The zones of the endpoints of the versions that may answer, by address, where they have one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    zones: BTreeMap<String, String>,
    /// What became of the request's token, where a rule, the key or a flag looks at tokens: whether it is verified, good or
    /// not.
    token: Option<String>,
    /// What is edited of the request and of its response; none: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    edits: Option<ExplainedEdits>,
    /// What the proxy responds by itself, as a rule or the canonical URL of the service says: `308 to https://...`.
    #[serde(skip_serializing_if = "Option::is_none")]
    responds: Option<String>,
    /// Why the request would be refused.
    refused: Option<&'static str>,
    /// All of it in a sentence.
    why: String,
}

/// Explains the decision for a request.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "explain",
    path = "/v1/explain",
    tag = "state",
    request_body(content = ExplainBody, content_type = "application/json",
        example = r#"{"host": "shop.example.com", "path": "/cart", "headers": {"x-user-id": "42"}}"#),
    responses((status = 200, description = "The decision", body = Explanation), Refusals)
)]
pub(crate) async fn post(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Tagged<Explanation>, ProblemDetails> {
    let body: ExplainBody = call.read();
    let asked = AskedRequest::read(&body, &mut call.report);
    let problems = call.report.into_problems();
    if !problems.is_empty() {
        return Err(ProblemDetails::of_problems(problems));
    }
    let table = admin.table();
    let now_ms = admin.exporter.sources().now_ms();
    // Chance is only looked at where it decides, and there the answer is the chances.
    let Ok(path) = table.forwarded_path(&asked.host, asked.path.as_bytes()) else {
        let why = "the service wants its paths normalised, and this one climbs above the root or is badly encoded";
        let refused = Explanation { refused: Some("bad_target"), why: why.to_owned(), ..Explanation::default() };
        return Ok(Tagged(table.revision, Explanation { revision: table.revision, ..refused }));
    };
    let index = table.find(&asked.host, &path);
    let looked_at = index.is_some_and(|index| table.reads_tokens(index));
    let token = JudgedToken::of(admin.exporter.sources().jwt.as_deref(), looked_at, &asked.headers);
    let view = RequestView { path: &path, claims: token.claims(), ..asked.view() };
    let elsewhere = index.map(|index| table.service(index)).and_then(|service| {
        let responds = explained_url(service, &view, asked.secure)?;
        Some(sent_elsewhere(service, responds))
    });
    let decided = decide(&table, &view, 0, |version| availability(version, now_ms));
    let explanation = match decided {
        _ if elsewhere.is_some() => elsewhere.unwrap_or_default(),
        Ok(decision) => {
            let explained = Explained { table: &table, view: &view, decision: &decision, now_ms };
            let chaos = explained_fault(&table, &view, &decision, now_ms);
            let explained = explained.explanation().with_mirror(&view, &decision).with_zones(decision.service);
            let edits = explained_edits(&view, &decision, table.revision, explained.version.is_some());
            Explanation { flags: explained_flags(&table, &view, &decision), chaos, edits, ..explained }
        }
        Err(RouteError::NoService) => Explanation {
            refused: Some("no_service"),
            why: format!("no service answers host {:?} and path {:?}", asked.host, asked.path),
            ..Explanation::default()
        },
        Err(RouteError::NoVersion { service, assigned, .. }) => unavailable(service, assigned, now_ms),
        Err(RouteError::Responds { service, rule }) => responds(service, rule, &view),
    };
    let matched = index.map(|index| Matched::of(&table, index, &view));
    let Matched { attributes, segments } = matched.unwrap_or_default();
    let explanation = explanation.with_token(token.said);
    let explanation = Explanation { revision: table.revision, attributes, segments, ..explanation };
    Ok(Tagged(table.revision, explanation))
}

/// What rules look at besides the request itself.
#[derive(Default)]
struct Matched {
    attributes: BTreeMap<String, String>,
    segments: BTreeMap<String, bool>,
}

impl Matched {
    fn of(table: &Table, service: u32, view: &RequestView<'_>) -> Self {
        let mut matched = Self::default();
        for rule in &*table.service(service).rules {
            matched.add(&rule.when, view);
        }
        for segment in table.experiments().deciding(service).filter_map(|experiment| experiment.spec.segment.as_ref()) {
            matched.add(segment, view);
        }
        let of_fault = table.faults().of(service).and_then(|fault| fault.target.segment.as_ref());
        if let Some(segment) = of_fault {
            matched.segments.insert(segment.name.to_string(), segment.when.holds(view));
            matched.add(&segment.when, view);
        }
        matched
    }

    fn add(&mut self, condition: &Condition, view: &RequestView<'_>) {
        for (attribute, _) in &condition.attributes {
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let value = view.with_attribute(attribute, text);
            self.attributes.extend(value.map(|value| (attribute.name.to_string(), value)));
        }
        for segment in &condition.segments {
            self.segments.insert(segment.name.to_string(), segment.when.holds(view));
            self.add(&segment.when, view);
        }
        for other in condition.any.iter().chain(condition.not.as_deref()) {
            self.add(other, view);
        }
    }
}

/// Whether a version answers. One that is only tried as the last resort does not: a request that tried would be told so.
fn availability(version: &Candidate<'_>, now_ms: u64) -> Availability {
    match version.availability(now_ms) {
        Availability::Ready => Availability::Ready,
        other @ (Availability::LastResort(_) | Availability::Out(_)) => other.after_attempt(),
    }
}

fn unavailable(service: &Service, assigned: u16, now_ms: u64) -> Explanation {
    let version = &service.versions[usize::from(assigned)];
    let (refused, why) = match version.availability(now_ms) {
        Availability::LastResort(takeover) => {
            let others = match takeover {
                Takeover::Bounded => ", and the other versions do not take over all of its requests yet",
                Takeover::Full => ", and no other version takes its requests over",
            };
            let refuses = "refuse connections (they are tried again all the time)";
            ("connect_failed", format!("the endpoints of {} {refuses}{others}", version.name))
        }
        Availability::Ready | Availability::Out(_) => {
            ("no_endpoint", "no version that may answer has a usable endpoint".to_owned())
        }
    };
    let (service, assigned) = (Some(service.spec.name.to_string()), Some(version.name.to_string()));
    Explanation { service, assigned, refused: Some(refused), why, ..Explanation::default() }
}

/// A rule responds.
fn responds(service: &Service, rule: u16, view: &RequestView<'_>) -> Explanation {
    let definition = &service.spec.rules[usize::from(rule)];
    let responds = match &definition.target {
        RuleTarget::Respond(response) => explained_response(response, view),
        RuleTarget::Version(_) | RuleTarget::Split => String::new(),
    };
    Explanation {
        service: Some(service.spec.name.to_string()),
        rule: Some(definition.name.to_string()),
        why: format!("rule {} responds {responds}", definition.name),
        responds: Some(responds),
        ..Explanation::default()
    }
}

/// The service wants to be asked by another URL.
fn sent_elsewhere(service: &Service, responds: String) -> Explanation {
    let why = format!("the service wants to be asked by another URL: {responds}");
    let service = Some(service.spec.name.to_string());
    Explanation { service, why, responds: Some(responds), ..Explanation::default() }
}

/// A decision that is explained.
struct Explained<'t> {
    table: &'t Table,
    view: &'t RequestView<'t>,
    decision: &'t Decision<'t>,
    now_ms: u64,
}

impl Explained<'_> {
    fn explanation(&self) -> Explanation {
        let Decision { service, slot, cause, new_key, .. } = *self.decision;
        match cause {
            Cause::Rule(index) => {
                let rule = &service.rules[usize::from(index)].name;
                let why = format!("rule {rule} picks {}", self.assigned());
                Explanation { rule: Some(rule.to_string()), ..self.certain(&why) }
            }
            Cause::Key(_) | Cause::Experiment(_) if new_key.is_some() => {
                let why =
                    "the request has no key: it gets a random one in our cookie and stays with that one's version";
                self.by_chance(why).with_key(key_source(&KeySource::OwnCookie))
            }
            Cause::Experiment(index) => self.by_experiment(index),
            Cause::Key(index) => {
                let key_from = key_source(&service.spec.sticky[usize::from(index)]);
                let at = slot.map_or_else(String::new, |slot| format!("slot {slot}, which {} owns", self.assigned()));
                let why = format!("the key from {key_from} falls on {at}");
                Explanation { slot, ..self.certain(&why) }.with_key(key_from)
            }
            Cause::Chance => self.by_chance("the request has no key: each such request is drawn anew"),
        }
    }

    /// The version of the rule, the experiment or the split.
    fn assigned(&self) -> &Name {
        &self.decision.service.versions[usize::from(self.decision.assigned)].name
    }

    fn known(&self) -> Explanation {
        let service = self.decision.service;
        Explanation {
            service: Some(service.spec.name.to_string()),
            salt: Some(service.traffic.salt.to_string()),
            ..Explanation::default()
        }
    }

    /// The version is known, because of this.
    fn certain(&self, why: &str) -> Explanation {
        let (responds, assigned) = (&self.decision.version().name, self.assigned());
        let passed_on = match self.decision.failed_over() {
            true => format!("; {assigned} has no usable endpoint, so {responds} answers"),
            false => String::new(),
        };
        let (version, assigned) = (Some(responds.to_string()), Some(assigned.to_string()));
        Explanation { version, assigned, why: format!("{why}{passed_on}"), ..self.known() }
    }

    fn by_experiment(&self, index: u16) -> Explanation {
        let service = self.decision.service;
        let experiment = self.table.experiments().at(index);
        let arm = experiment.arm_of(self.decision.assigned).map(ExperimentArm::word);
        let mut sources = service.spec.sticky.iter();
        let source = sources.find(|source| source.with_key(self.view, |_| ()).is_some());
        let key_from = source.map_or_else(String::new, key_source);
        let (name, assigned) = (&experiment.spec.name, self.assigned());
        let why =
            format!("experiment {name} has the key from {key_from} in {}, which is {assigned}", arm.unwrap_or(""));
        Explanation { experiment: Some(name.to_string()), arm, ..self.certain(&why) }.with_key(key_from)
    }

    /// Chance decides, or the random key that the user gets: by experiments, and of those whom none takes in by the
    /// split.
    fn by_chance(&self, why: &str) -> Explanation {
        let Decision { service, service_index, new_key, .. } = *self.decision;
        let experiments = self.table.experiments();
        let chances = new_key.map(|_| experiments.chances(service_index, self.view)).unwrap_or_default();
        let in_none = 1.0 - chances.iter().map(|(_, chance)| chance).sum::<f64>();
        let shares = shares(service, |version| version.availability(self.now_ms));
        let chance_of = |(index, share): (u16, &EffectiveShare)| {
            let given = chances.iter().filter(|(arms, _)| arms.contains(&index)).map(|(_, chance)| chance / 2.0);
            share.ratio * in_none + given.sum::<f64>()
        };
        let named = (0..).zip(&service.versions).zip(&shares);
        let named = named.map(|((index, version), share)| (version.name.to_string(), chance_of((index, share))));
        let chances: BTreeMap<_, _> =
            named.filter(|(_, chance)| *chance > 0.0).map(|(name, chance)| (name, percent(chance))).collect();
        let listed: Vec<_> = chances.iter().map(|(version, chance)| format!("{version} {chance} %")).collect();
        Explanation { chances, why: format!("{why} ({})", listed.join(", ")), ..self.known() }
    }
}

impl Explanation {
    fn with_token(self, token: Option<String>) -> Self {
        let why = token.as_ref().map_or(String::new(), |said| format!("; its token is {said}"));
        Self { why: self.why + &why, token, ..self }
    }

    /// The same with what is copied of such requests.
    fn with_mirror(self, view: &RequestView<'_>, decision: &Decision<'_>) -> Self {
        let mirror = explained_mirror(view, decision, &self.answering());
        let copied = mirror.as_ref().filter(|mirror| mirror.copied);
        let why = copied.map_or_else(String::new, |mirror| format!("; {}", mirror.why));
        Self { why: self.why + &why, mirror, ..self }
    }

    /// The version that answers, or those that may.
    fn answering(&self) -> Vec<&str> {
        self.version.as_deref().into_iter().chain(self.chances.keys().map(String::as_str)).collect()
    }

    /// The same with the zones of the endpoints of the versions that may answer.
    fn with_zones(self, service: &Service) -> Self {
        let answering = self.answering();
        let versions = service.versions.iter().filter(|version| answering.contains(&version.name.as_str()));
        let endpoints = versions.flat_map(|version| &*version.endpoints);
        let zoned = endpoints.filter_map(|found| Some((found.address.to_string(), found.zone.as_ref()?.to_string())));
        Self { zones: zoned.collect(), ..self }
    }

    fn with_key(self, key_from: String) -> Self {
        Self { key_from: Some(key_from), ..self }
    }
}
